"""One server, as long as somebody uses it, and not a moment of it orphaned."""

from __future__ import annotations

import itertools
import os
import signal

import pytest

from redpony.embedded import server
from tests.embedded.world import World, until


def test_sixteen_processes_at_once_start_one_server(world: World) -> None:
    users = [world.user() for _ in range(16)]
    for user in users:
        user.send("resolve")
    answers = [user.receive() for user in users]
    assert {answer["socket"] for answer in answers} == {world.status().socket}
    changes = [change for answer in answers for change in answer["news"]]
    assert sorted(changes) == ["joined"] * 15 + ["started"]
    assert len(world.servers()) == 1
    assert len(world.supervisors()) == 1
    assert world.status().users == tuple(sorted(user.pid for user in users))


def test_nothing_starts_before_the_first_use(world: World) -> None:
    world.user()
    world.embedded()
    assert not world.status().running
    assert world.servers() == []
    assert not world.root.exists()


def test_sixteen_threads_join_once(world: World) -> None:
    user = world.user()
    assert user.do("threads", 16)["answers"] == 16
    assert len(world.servers()) == 1
    assert world.status().users == (user.pid,)


def test_the_server_goes_with_the_last_user(world: World) -> None:
    first, second = world.joined(), world.joined()
    server_pid = world.status().pid
    first.leave()
    assert world.status().pid == server_pid
    second.leave()
    world.until_empty()
    assert not os.path.lexists(world.status().socket)


def test_the_server_goes_when_all_users_are_killed_at_once(world: World) -> None:
    users = [world.joined() for _ in range(4)]
    for user in users:
        os.kill(user.pid, signal.SIGKILL)
    for user in users:
        user.close()
    world.until_empty()


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL]
)
def test_the_server_goes_whatever_ends_the_user(world: World, number: int) -> None:
    world.joined().kill(number)
    world.until_empty()


def test_a_killed_server_is_started_by_the_next_that_connects(world: World) -> None:
    user = world.joined()
    killed = world.status().pid
    os.kill(killed, signal.SIGKILL)
    world.until_stopped()
    assert user.do("resolve")["news"] == ["ended", "started"]
    assert world.status().pid != killed
    assert len(world.servers()) == len(world.supervisors()) == 1


def test_a_killed_server_is_started_by_a_process_that_joins_then(world: World) -> None:
    world.joined()
    os.kill(world.status().pid, signal.SIGKILL)
    world.until_stopped()
    assert world.user().do("resolve")["news"] == ["started"]
    assert len(world.supervisors()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_server_dies_with_its_supervisor(world: World, number: int) -> None:
    user = world.joined()
    os.kill(world.status().supervisor_pid, number)
    world.until_stopped()
    assert user.do("resolve")["news"] == ["ended", "started"]
    assert len(world.servers()) == len(world.supervisors()) == 1


PARTIES = ("users", "supervisor", "server")


@pytest.mark.parametrize(
    "victims",
    [
        victims
        for count in (1, 2, 3)
        for victims in itertools.combinations(PARTIES, count)
    ],
    ids="+".join,
)
def test_whatever_is_killed_nothing_is_left(
    world: World, victims: tuple[str, ...]
) -> None:
    users = [world.joined() for _ in range(2)]
    status = world.status()
    targets = {
        "users": [user.pid for user in users],
        "supervisor": [status.supervisor_pid],
        "server": [status.pid],
    }
    for victim in victims:
        for pid in targets[victim]:
            os.kill(pid, signal.SIGKILL)
    if "users" not in victims:
        world.until_stopped()
        for user in users:
            assert "socket" in user.do("resolve")
        assert len(world.servers()) == 1
    for user in users:
        user.kill()
    world.until_empty()


def test_a_frozen_user_keeps_the_server(world: World) -> None:
    user = world.joined()
    os.kill(user.pid, signal.SIGSTOP)
    try:
        world.joined().leave()
        assert world.status().users == (user.pid,)
        assert world.status().answering
    finally:
        os.kill(user.pid, signal.SIGCONT)


def test_thirty_short_processes_in_turn_share_one_server(world: World) -> None:
    pids = set()
    counts = []
    for _ in range(30):
        user = world.user(grace=server.GRACE_SECONDS)  # as in life
        counts.append(user.do("ask", "INCR", "visits"))
        pids.add(world.status().pid)
        user.leave()
    assert counts == [f":{count}" for count in range(1, 31)]
    assert len(pids) == 1
    world.until_empty()


def test_processes_that_come_as_the_server_goes_are_all_served(world: World) -> None:
    # With so short a grace each meets another moment of the server's end.
    for _ in range(12):
        users = [world.user(grace=0.01) for _ in range(2)]
        for user in users:
            user.send("ask", "PING")
        assert [user.receive() for user in users] == ["+PONG", "+PONG"]
        assert len(world.servers()) <= 1 or until(
            lambda: len(world.servers()) == 1, "one server"
        )
        for user in users:
            user.leave()
    world.until_empty()


def test_a_second_project_gets_a_second_server(world: World) -> None:
    other = world.base / "other"
    other.mkdir()
    first, second = world.joined(), world.joined(directory=str(other))
    first.do("ask", "SET", "name", "first")
    assert second.do("ask", "EXISTS", "name") == ":0"
    assert len(world.servers()) == 2


def test_two_spellings_of_a_directory_are_one_project(world: World) -> None:
    (world.base / "link").symlink_to(world.project)
    world.joined()
    detour = world.joined(directory=str(world.base / "link" / ".." / "project"))
    assert detour.do("resolve")["socket"] == world.status().socket
    assert len(world.servers()) == 1
