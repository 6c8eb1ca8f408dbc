"""A private corner for one test: a project, a state directory, its processes.

Every process that a test starts, or that starts in turn, carries the corner's
path in its environment or, as servers do, in its title. That is how they are
counted, and how `close` finds and ends each of them even if the test failed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redpony.embedded import Embedded, Status, status

USER = Path(__file__).with_name("user.py")
GONE_WITHIN = 10.0


def until(condition: Callable[[], Any], what: str, seconds: float = GONE_WITHIN) -> Any:
    """Return the first true answer of `condition`; fail if there is none."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise AssertionError(f"still not the case after {seconds} s: {what}")
        time.sleep(0.02)


class User:
    """A process that uses the server and does as it is told."""

    def __init__(self, world: World, options: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(USER), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=world.environment(),
            cwd=world.base,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, *words: Any) -> None:
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()

    def receive(self) -> Any:
        line = self.process.stdout.readline()
        assert line, f"the user process ended with {self.process.wait()}"
        return json.loads(line)

    def do(self, *words: Any) -> Any:
        self.send(*words)
        return self.receive()

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait()
        self.close()

    def leave(self) -> None:
        """End as a program ends."""
        self.process.stdin.close()
        assert self.process.wait(GONE_WITHIN) == 0
        self.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.stdout.close()


class World:
    def __init__(self) -> None:
        # Short, since a socket's path is; pytest's own directories are not.
        self.base = Path(tempfile.mkdtemp(prefix="redpony-embedded-", dir="/tmp"))
        self.temporary = self.base / "t"
        self.project = self.base / "project"
        self.temporary.mkdir(mode=0o700)
        self.project.mkdir()
        self.variables: dict[str, str] = {}
        self.users: list[User] = []

    @property
    def root(self) -> Path:
        return self.temporary / f"redpony-{os.geteuid()}"

    def embedded(self, **options: Any) -> Embedded:
        return Embedded(str(self.project), **options)

    def environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in ("XDG_RUNTIME_DIR", "RUN_MAIN")
        }
        return {**kept, "TMPDIR": str(self.temporary), **self.variables}

    def user(self, **options: Any) -> User:
        options = {"directory": str(self.project), "grace": 0.3, **options}
        user = User(self, options)
        self.users.append(user)
        return user

    def joined(self, **options: Any) -> User:
        user = self.user(**options)
        answer = user.do("resolve")
        assert "socket" in answer, answer
        return user

    def status(self, **options: Any) -> Status:
        return status(self.embedded(**options))

    def processes(self) -> dict[int, str]:
        """All living processes of this corner, by id, with their command line."""
        mark = os.fsencode(self.base)
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                if mark not in command and mark not in (entry / "environ").read_bytes():
                    continue
            except OSError:
                continue
            if command:  # a zombie has none
                found[int(entry.name)] = os.fsdecode(command)
        return found

    def servers(self) -> list[int]:
        return [
            pid
            for pid, command in self.processes().items()
            if "-server " in command and "supervisor.py" not in command
        ]

    def supervisors(self) -> list[int]:
        return [
            pid for pid, text in self.processes().items() if "supervisor.py" in text
        ]

    def until_stopped(self) -> None:
        """Wait for the kernel too: it closes a killed process's files at last."""

        def stopped() -> bool:
            now = self.status()
            return not now.running and now.supervisor_pid is None

        until(stopped, "server and supervisor are gone")

    def until_empty(self) -> None:
        until(lambda: not self.processes(), f"all gone: {self.processes()}")

    def close(self) -> None:
        for user in self.users:
            user.close()
        deadline = time.monotonic() + GONE_WITHIN
        while left := self.processes():
            assert time.monotonic() < deadline, left
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.02)
        shutil.rmtree(self.base)
