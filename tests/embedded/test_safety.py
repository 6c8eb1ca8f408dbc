"""The server is this user's alone, and what is not trusted is refused."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from redpony.embedded import log_tail
from redpony.errors import InvalidSetting
from tests.embedded.world import World, until


def refusal(world: World, **options: Any) -> str:
    with pytest.raises(InvalidSetting) as caught:
        world.embedded(**options).resolve()
    assert world.processes() == {}
    assert "redis://127.0.0.1:6379" in str(caught.value)
    return str(caught.value)


def test_a_state_directory_open_to_others_is_refused(world: World) -> None:
    world.root.mkdir(mode=0o700)
    for mode in (0o755, 0o710, 0o702):
        world.root.chmod(mode)
        assert f"open to other users (mode {mode:04o})" in refusal(world)


def test_a_state_directory_of_somebody_else_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: ours + 1)
    world.root.mkdir(mode=0o700)
    message = refusal(world)
    assert f"belongs to user {ours}, and this is user {ours + 1}" in message


def test_a_symbolic_link_in_the_directory_s_place_is_refused(world: World) -> None:
    elsewhere = world.base / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    world.root.symlink_to(elsewhere)
    assert "is a symbolic link" in refusal(world)
    assert list(elsewhere.iterdir()) == []


def test_a_file_in_the_directory_s_place_is_refused(world: World) -> None:
    world.root.touch(mode=0o700)
    assert "is not a directory" in refusal(world)


def test_a_linked_project_state_is_refused(world: World) -> None:
    state = Path(world.status().state)
    elsewhere = world.base / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    world.root.mkdir(mode=0o700)
    state.symlink_to(elsewhere)
    assert "is a symbolic link" in refusal(world)


@pytest.mark.parametrize("name", ["users", "start", "supervisor", "server.log"])
def test_a_linked_file_is_refused_and_its_target_untouched(
    world: World, name: str
) -> None:
    state = Path(world.status().state)
    state.mkdir(mode=0o700, parents=True)
    world.root.chmod(0o700)
    target = world.base / "target"
    target.write_text("precious")
    (state / name).symlink_to(target)
    assert "cannot open its file" in refusal(world)
    assert target.read_text() == "precious"


def test_a_directory_that_anybody_may_replace_is_refused(world: World) -> None:
    world.temporary.chmod(0o777)
    assert "anybody may replace it" in refusal(world)
    world.temporary.chmod(0o1777)
    world.embedded().resolve()


def test_a_linked_data_directory_is_refused(world: World) -> None:
    elsewhere = world.base / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (world.project / ".redpony").symlink_to(elsewhere)
    assert "is a symbolic link" in refusal(world, persist=True)
    assert list(elsewhere.iterdir()) == []


def test_a_socket_path_too_long_names_the_variables_to_shorten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = world.temporary / ("d" * 60)
    deep.mkdir()
    with monkeypatch.context() as patch:
        patch.setenv("TMPDIR", str(deep))
        message = refusal(world)
    assert "XDG_RUNTIME_DIR or TMPDIR" in message
    assert "allows 107" in message


def test_the_longest_path_that_fits_works(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare = 107 - len(world.status().socket) - 1
    deep = world.temporary / ("d" * spare)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    address = world.embedded().resolve()
    assert len(address.path) == 107
    assert world.status().answering


@pytest.mark.parametrize("without_wheel", [False, True], ids=["valkey", "redis"])
def test_paths_may_hold_spaces_and_any_letters(
    world: World, without_wheel: bool
) -> None:
    odd = world.temporary / "ä b'\"#"
    odd.mkdir()
    world.variables["TMPDIR"] = str(odd)
    project = world.base / "my projekt ü"
    project.mkdir()
    user = world.joined(
        directory=str(project), persist=True, without_wheel=without_wheel
    )
    assert user.do("ask", "PING") == "+PONG"
    assert (project / ".redpony" / "appendonlydir").is_dir()


def test_nothing_on_disk_can_be_read_by_others(world: World) -> None:
    before = os.umask(0)
    try:
        world.joined(persist=True).do("ask", "SET", "name", "value")
    finally:
        os.umask(before)
    assert stat.S_IMODE(world.root.stat().st_mode) == 0o700
    state = Path(world.status(persist=True).state)
    for place in (state, world.project / ".redpony"):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE((state / "s").stat().st_mode) == 0o700
    for file in (world.project / ".redpony" / "appendonlydir").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_server_listens_on_no_port(world: World) -> None:
    world.joined()
    ours = set()
    for link in Path(f"/proc/{world.status().pid}/fd").iterdir():
        match = re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink()))
        if match:
            ours.add(match[1])
    assert ours
    for family in ("tcp", "tcp6", "udp", "udp6"):
        table = Path("/proc/net", family).read_text().splitlines()[1:]
        assert [line for line in table if line.split()[9] in ours] == []


def test_a_runtime_directory_of_ours_is_preferred(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = world.temporary / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert world.status().state.startswith(f"{runtime}/redpony/")
    # After `su` it is another user's, or it was never made.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(world.base / "missing"))
    assert world.status().state.startswith(f"{world.root}/")


def test_a_file_system_that_cannot_lock_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    message = refusal(world)
    assert "cannot be locked (ENOLCK" in message
    assert "network file system" in message


def test_windows_says_what_to_do(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        assert "does not run on Windows" in refusal(world)


def test_a_state_directory_removed_under_its_users_is_made_again(
    world: World,
) -> None:
    first, second = world.joined(), world.joined()
    old = world.status()
    shutil.rmtree(world.root)
    assert first.do("resolve")["news"][-1] == "started"
    assert second.do("resolve")["news"] == ["joined"]
    # The old server has lost all its users and goes; the new one stays.
    until(lambda: old.supervisor_pid not in world.processes(), "the old one is gone")
    assert old.pid not in world.processes()
    assert world.status().answering
    assert len(world.servers()) == len(world.supervisors()) == 1


@pytest.mark.parametrize("persist", [False, True])
def test_a_server_whose_state_directory_was_removed_goes_too(
    world: World, persist: bool
) -> None:
    user = world.joined(persist=persist)
    shutil.rmtree(world.root)
    user.kill()
    world.until_empty()


def test_the_log_does_not_grow_without_bound(world: World) -> None:
    state = Path(world.status().state)
    state.mkdir(mode=0o700, parents=True)
    world.root.chmod(0o700)
    (state / "server.log").write_bytes(b"old line\n" * 200_000)
    world.joined()
    assert (state / "server.log").stat().st_size < 100_000
    assert "old line" not in log_tail(world.embedded(), 1000)
    assert (state / "server.log.1").stat().st_size == 1_800_000
