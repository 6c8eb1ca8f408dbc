"""Forks, autoreloaders and daemons are users like any other."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.embedded.world import World


def test_a_forked_child_takes_a_lock_of_its_own(world: World) -> None:
    parent = world.joined()
    pid = world.status().pid
    child = parent.do("fork", True)
    assert child["socket"] == world.status().socket
    assert world.status().users == tuple(sorted((parent.pid, child["pid"])))
    parent.kill()
    assert world.status().users == (child["pid"],)
    assert world.status().pid == pid
    os.kill(child["pid"], signal.SIGKILL)
    world.until_empty()


def test_a_forked_child_keeps_the_server_before_it_asks_for_it(world: World) -> None:
    parent = world.joined()
    child = parent.do("fork", False)
    parent.kill()
    assert len(world.status().users) == 1
    os.kill(child["pid"], signal.SIGKILL)
    world.until_empty()


def test_a_child_that_exits_breaks_nothing_of_its_parent(world: World) -> None:
    parent = world.joined()
    pid = world.status().pid
    parent.do("ask", "SET", "kept", "yes")
    assert parent.do("fork_and_exit") == 0
    assert world.status().users == (parent.pid,)
    assert parent.do("resolve")["news"] == []
    assert parent.do("ask", "GET", "kept") == "yes"
    assert world.status().pid == pid


def test_a_child_forked_while_another_thread_resolves_can_resolve(
    world: World,
) -> None:
    parent = world.joined()
    child = parent.do("fork_amid_resolve")
    assert child["socket"] == world.status().socket


@pytest.mark.parametrize("lock", ["held", "passing"])
def test_a_child_forked_in_the_wrong_moment_keeps_no_lock(
    world: World, lock: str
) -> None:
    assert world.user().do("fork_within", lock) is False


def test_a_daemon_that_closed_its_files_joins_again(world: World) -> None:
    user = world.joined()
    user.do("close_all_files")
    assert "socket" in user.do("resolve")
    assert world.status().users == (user.pid,)


def test_forget_makes_the_next_resolve_look_again(world: World) -> None:
    user = world.joined()
    assert user.do("resolve")["news"] == []
    user.do("forget")
    assert user.do("resolve")["news"] == ["joined"]
    assert world.status().users == (user.pid,)


RELOADED = """
    import sys, time
    import django
    from django.conf import settings
    settings.configure(DEBUG=True)
    django.setup()
    from django.utils import autoreload
    from redpony.embedded import Embedded, server, talk
    from pathlib import Path

    server.GRACE_SECONDS = 0.05
    project, output = sys.argv[1:]

    def main():
        path = Path(Embedded(project).resolve().path)
        count = talk.ask(path, "INCR", "generation", timeout=10).decode()
        with open(output, "a") as file:
            file.write(f"{count} {talk.peer(path)}\\n")
        while True:
            time.sleep(1)

    autoreload.run_with_reloader(main)
"""


def test_django_s_autoreloader_keeps_the_server_and_its_data(world: World) -> None:
    script = world.project / "site.py"
    script.write_text(textwrap.dedent(RELOADED))
    output = world.base / "output"
    output.touch()
    with subprocess.Popen(
        [sys.executable, str(script), str(world.project), str(output)],
        env=world.environment(),
        start_new_session=True,
    ) as reloader:
        try:
            changes = itertools.count(script.stat().st_mtime + 10)
            for generation in range(1, 4):
                # A change before the reloader's first look is not seen: repeat.
                while not _lines_within(output, generation, seconds=3):
                    assert reloader.poll() is None
                    if generation > 1:
                        os.utime(script, (0, next(changes)))
        finally:
            os.killpg(reloader.pid, signal.SIGKILL)
    lines = output.read_text().splitlines()
    counts, pids = zip(*(line.split() for line in lines[:3]), strict=True)
    assert counts == (":1", ":2", ":3")
    assert len(set(pids)) == 1
    world.until_empty()


def _lines_within(output: Path, count: int, *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while len(output.read_text().splitlines()) < count:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def test_the_parent_of_reloaded_children_keeps_the_server(world: World) -> None:
    # The pause between two children may last longer than any grace period.
    world.variables["RUN_MAIN"] = "true"
    first = world.joined(grace=0.05)
    first.do("ask", "SET", "kept", "yes")
    first.leave()
    second = world.joined(grace=0.05)
    assert second.do("ask", "GET", "kept") == "yes"


def test_users_may_ignore_and_block_signals(world: World) -> None:
    script = textwrap.dedent(
        """
        import signal, sys
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
        from redpony.embedded import Embedded
        Embedded(sys.argv[1], persist=True).resolve()
        """
    )
    subprocess.run(
        [sys.executable, "-c", script, str(world.project)],
        env=world.environment(),
        check=True,
    )
    assert world.status(persist=True).answering
    world.until_empty()
