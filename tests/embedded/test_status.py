"""What people see of the server, and how they end it."""

from __future__ import annotations

import os
import signal

import pytest

from redpony import events
from redpony.embedded import Embedded, log_tail, server, status, stop
from redpony.wire.config import LinkConfig, Unix
from tests.embedded.world import World


def test_status_of_nothing_makes_nothing(world: World) -> None:
    shown = world.status()
    assert not shown.running
    assert not shown.answering
    assert shown.pid is shown.supervisor_pid is shown.version is shown.memory is None
    assert shown.users == ()
    assert log_tail(world.embedded()) == []
    assert stop(world.embedded()) is False
    assert list(world.temporary.iterdir()) == []


def test_status_shows_who_and_where(world: World) -> None:
    user = world.joined()
    shown = world.status()
    assert shown.running
    assert shown.answering
    assert [shown.pid] == world.servers()
    assert [shown.supervisor_pid] == world.supervisors()
    assert shown.users == (user.pid,)
    assert shown.version.startswith("valkey 9.")
    assert 500_000 < shown.memory < 50_000_000
    assert 0 <= shown.uptime < 60
    assert shown.clients == 1
    assert shown.directory == str(world.project)
    assert shown.socket == f"{shown.state}/s"
    assert shown.persist is False
    assert shown.data is None
    assert world.status(persist=True).data == f"{world.project}/.redpony"


def test_looking_is_not_joining(world: World) -> None:
    user = world.joined()
    for _ in range(3):
        assert status(world.embedded()).users == (user.pid,)


def test_the_log_s_tail_has_as_many_lines_as_asked(world: World) -> None:
    world.joined()
    everything = log_tail(world.embedded(), 1000)
    assert any("Ready to accept connections" in line for line in everything)
    assert log_tail(world.embedded(), 2) == everything[-2:]
    assert log_tail(world.embedded(), 0) == []


def test_stop_ends_the_server_at_once_and_users_start_another(
    world: World, news: list[events.Server]
) -> None:
    user = world.joined()
    first = world.status()
    assert stop(world.embedded()) is True
    assert [(each.alias, each.change) for each in news] == [("", "ended")]
    assert first.pid not in world.processes()
    assert not world.status().running
    assert stop(world.embedded()) is False
    assert user.do("resolve")["news"] == ["ended", "started"]


def test_stop_ends_a_server_that_hangs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SILENCE_SECONDS", 0.1)
    world.joined()
    hanging = world.status().pid
    os.kill(hanging, signal.SIGSTOP)
    shown = world.status()
    assert shown.running
    assert not shown.answering
    assert shown.pid == hanging
    assert stop(world.embedded()) is True
    assert hanging not in world.processes()


def test_resolve_tells_what_happened(world: World, news: list[events.Server]) -> None:
    address = world.embedded().resolve()
    assert address == Unix(world.status().socket)
    world.embedded().resolve()
    assert news == [events.Server("", "started", address.path)]


def test_once_joined_resolve_asks_the_server_nothing(world: World) -> None:
    user = world.joined()
    counts = []
    for _ in range(3):
        user.do("resolve")
        line = next(
            line
            for line in user.do("ask", "INFO", "commandstats").splitlines()
            if line.startswith("cmdstat_ping")
        )
        counts.append(line)
    assert len(set(counts)) == 1


def test_a_handler_may_use_the_server(world: World) -> None:
    embedded = world.embedded()
    unsubscribe = events.subscribe(lambda _: embedded.resolve(), events.Server)
    try:
        embedded.resolve()
    finally:
        unsubscribe()
    assert world.status().answering


def test_an_embedded_is_an_address_of_a_link(world: World) -> None:
    link = LinkConfig(address=Embedded(str(world.project)))
    assert link == LinkConfig(address=world.embedded())
    assert hash(link) == hash(LinkConfig(address=world.embedded()))
    assert link != LinkConfig(address=world.embedded(persist=True))
    assert link.label == "embedded/0"
