"""Locks that are broken on purpose, and the tests that see it.

`python -m tests.locks.mutants [NAME ...]` breaks a copy of the package in one way at
a time, and runs the tests that stand beside it: at least one has to fail. On a whole
copy all of them pass. Part of `make soak`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Mutant:
    """One breakage: in a file, some text in place of another, and who sees it."""

    what: str
    file: str
    old: str
    new: str
    seen_by: str
    named: str = ""
    """Of that file, the tests whose names have this."""
    room: str = "locks"
    """The directory of that file, below `tests`."""


LUA = "scripts/lua"
SCRIPTS, PROMISES, STEPS = "test_scripts.py", "test_promises.py", "test_steps.py"
LINE, LOCK, SEMAPHORE = "test_line.py", "test_lock.py", "test_semaphore.py"
HISTORY, STORMS = "test_history.py", "test_storms.py"

MUTANTS = [
    Mutant(
        "release without a look at who holds",
        f"{LUA}/lock_release.lua",
        "if not is_of(owner, ARGV[1]) then",
        "if not owner then",
        SCRIPTS,
        "not_got_it",
    ),
    Mutant(
        "extend without a look at who holds",
        f"{LUA}/lock_extend.lua",
        "if owner ~= ARGV[1] and owner ~= ARGV[1] .. '+' then",
        "if not owner then",
        SCRIPTS,
        "not_got_it",
    ),
    Mutant(
        "a fence that is the server's time and nothing else",
        f"{LUA}/_line.lua",
        "if last and tonumber(last) >= now then",
        "if false then",
        HISTORY,
        "clock",
    ),
    Mutant(
        "acquire without a look at the line",
        f"{LUA}/lock_acquire.lua",
        "if is_free and ARGV[5] ~= '1' and redis.call('EXISTS', KEYS[2]) == 0 then",
        "if is_free and ARGV[5] ~= '1' then",
        SCRIPTS,
        "newcomer",
    ),
    Mutant(
        "acquire that does not know its own token",
        f"{LUA}/lock_acquire.lua",
        "if is_of(owner, token) then",
        "if false then",
        SCRIPTS,
        "comes_twice",
    ),
    Mutant(
        "grant to the dead",
        f"{LUA}/_lock.lua",
        "if alive and tonumber(alive) * 1000 >= now then",
        "if true then",
        SCRIPTS,
        "dead_in_line",
    ),
    Mutant(
        "cancel that forgets the mailbox",
        f"{LUA}/lock_cancel.lua",
        "redis.call('DEL', mailbox_of(ARGV[1]))\n",
        "",
        SCRIPTS,
        "nowhere",
    ),
    Mutant(
        "cancel that keeps the lock",
        f"{LUA}/lock_cancel.lua",
        "if not grant(now_in_us()) then",
        "if false then",
        STEPS,
    ),
    Mutant(
        "release that wakes nobody",
        f"{LUA}/lock_release.lua",
        "if not (first[1] and grant(now)) then",
        "if true then",
        SCRIPTS,
    ),
    Mutant(
        "a line in the order of the first round trip",
        f"{LUA}/_line.lua",
        "redis.call('ZADD', KEYS[2], 'NX', now - waited, token)",
        "redis.call('ZADD', KEYS[2], 'NX', now, token)",
        LINE,
        "equals",
    ),
    Mutant(
        "a line that nobody takes down",
        f"{LUA}/_line.lua",
        "redis.call('PEXPIRE', KEYS[2], lives * 2)",
        "",
        SCRIPTS,
        "without_an_end",
    ),
    Mutant(
        "a semaphore that counts before it admits",
        f"{LUA}/semaphore_acquire.lua",
        "and sum + weight(token) <= limit then",
        "and sum <= limit then",
        HISTORY,
        "valkey and single",
    ),
    Mutant(
        "a light one that passes by a heavy one",
        f"{LUA}/_semaphore.lua",
        "if is_alive and sum + weight(first) > limit then\n      return sum",
        "if is_alive and sum + weight(first) > limit then\n"
        "      first = redis.call('ZRANGE', KEYS[2], 1, 1)[1]\n"
        "    end\n    if not first or sum + weight(first) > limit then\n"
        "      return sum",
        SEMAPHORE,
        "heavy",
    ),
    Mutant(
        "a count that outlives whom it counts",
        f"{LUA}/_semaphore.lua",
        "if sum > 0 and redis.call('EXISTS', KEYS[1]) == 0 then",
        "if false then",
        SEMAPHORE,
        "whatever_was_counted",
    ),
    Mutant(
        "a watchdog that waits for a server that hangs",
        "leases.py",
        "in_thread(errand.link, errand.run)",
        "errand.run()",
        PROMISES,
        "hangs_costs",
    ),
    Mutant(
        "a lease that is not renewed",
        "leases.py",
        "elif lease.is_due(now):",
        "elif lease.ends and lease.is_due(now):",
        LOCK,
        "renewed",
    ),
    Mutant(
        "a lease that is counted from the answer",
        "locks/held.py",
        "self.until = asked + lasts",
        "self.until = monotonic() + lasts",
        PROMISES,
        "before_the_request",
    ),
    Mutant(
        "a watchdog that ignores what the server says",
        "leases.py",
        "        if not reply:\n",
        "        if reply is None:\n",
        PROMISES,
        "deadline",
    ),
    Mutant(
        "a watchdog that ignores the time",
        "leases.py",
        "if lease.until <= now:",
        "if lease.until + 9 <= now:",
        PROMISES,
        "deadline",
    ),
    Mutant(
        "one who is cancelled, and stays in line",
        "locks/claim.py",
        "            if contender.has_asked:\n",
        "            if contender.has_asked and contender.fence:\n",
        STEPS,
    ),
    Mutant(
        "a release that is cancelled, and left at that",
        "locks/held.py",
        "            undo(self.alias.link, terms.cancel(self.token))\n",
        "",
        STEPS,
        "forgotten",
    ),
    Mutant(
        "what is cancelled while somebody listens, and not undone",
        "alias.py",
        "            abandon(plan)\n",
        "            pass\n",
        STEPS,
        "forgotten",
    ),
    Mutant(
        "a release that is cancelled, and forgets whom it has named",
        "locks/gate.py",
        "                first.has_asked = True\n",
        "                pass\n",
        STEPS,
        "both_cancelled",
    ),
    Mutant(
        "a release that is cancelled after the one it has named",
        "locks/held.py",
        "if after is not None and after.place is Place.GONE:",
        "if False:",
        STEPS,
        "is_withdrawn_before",
    ),
    Mutant(
        "a release that is cancelled while it passes on what came back",
        "locks/held.py",
        "if token != self.token:",
        "if False:",
        STEPS,
        "is_withdrawn_before",
    ),
    Mutant(
        "a child that believes to be its parent",
        "leases.py",
        "        lease.is_lost = lease.is_parents = True\n",
        "        pass\n",
        PROMISES,
        "child",
    ),
    Mutant(
        "who leaves the inner one leaves the outer one",
        "locks/claim.py",
        "        if held.count > 1:\n            held.count -= 1\n",
        "        if held.count > 1 and False:\n            held.count -= 1\n",
        LOCK,
        "reentrance",
    ),
    Mutant(
        "a mailbox in a slot of its own",
        "locks/terms.py",
        'self.mailboxes = f"{base}wake:".encode()',
        'self.mailboxes = b"wake:"',
        PROMISES,
        "slot",
    ),
]


def broken(mutant: Mutant, home: Path) -> None:
    """Break a copy of the package."""
    path = home / "redpony" / mutant.file
    text = path.read_text("utf-8")
    if mutant.old not in text:
        raise LookupError(f"{mutant.what!r}: {mutant.file} has no {mutant.old!r} now")
    path.write_text(text.replace(mutant.old, mutant.new), "utf-8")


def is_seen(mutant: Mutant, *, breaks: bool = True) -> tuple[bool, str]:
    """Return whether tests fail on a mutant (or on a whole copy), and their words."""
    with tempfile.TemporaryDirectory(prefix="rp-mutant-") as directory:
        home = Path(directory) / "src"
        shutil.copytree(ROOT / "src", home)
        if breaks:
            broken(mutant, home)
        places = "most" if mutant.seen_by in (HISTORY, STORMS) else "few"
        words = [sys.executable, "-m", "pytest", "-q", "-x", "--places", places]
        words += ["-p", "no:cacheprovider", f"tests/{mutant.room}/{mutant.seen_by}"]
        if mutant.named:
            words += ["-k", mutant.named]
        ran = subprocess.run(
            words,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(home), str(ROOT)])},
            capture_output=True,
            text=True,
            check=False,
        )
    said = [line for line in ran.stdout.splitlines() if line.startswith("E  ")]
    if ran.returncode not in (0, 1):
        raise RuntimeError(f"{mutant.what!r}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    return ran.returncode == 1, " ".join(said[0].split()[1:])[:90] if said else ""


def survivors(
    wanted: list[str] | None = None, mutants: list[Mutant] = MUTANTS
) -> list[str]:
    """Return the mutants that no test sees; print a line for each that there is."""
    left = []
    for mutant in mutants:
        if wanted and not any(each in mutant.what for each in wanted):
            continue
        seen, said = is_seen(mutant)
        print(
            f"{'seen' if seen else 'SURVIVES'}: {mutant.what} ({mutant.seen_by}) {said}"
        )
        sys.stdout.flush()
        if not seen:
            left.append(mutant.what)
    return left


if __name__ == "__main__":
    sys.exit(1 if survivors(sys.argv[1:]) else 0)
