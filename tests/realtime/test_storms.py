"""Nothing is missing, doubled or out of order without a word, whatever is done."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from redpony.testing.chaos import Proxy
from tests.realtime.storms import Storm
from tests.servers import Cluster, Replication, Sentinel, Server, until

Run = Callable[[Any], Any]


@pytest.fixture
def storm(run: Run, cache_on: Any) -> Callable[..., Storm]:
    """Return what makes a storm over a place, and looks for breaches."""

    def blow(place: Any, hurt: Callable[[], Any], **options: Any) -> Storm:
        location = options.pop("location", None)
        if location is None:
            cache_on(place)
        else:
            cache_on(None, LOCATION=location, DEADLINE=1.0)
        storm = Storm(**options)
        run(storm.run(hurt))
        assert storm.breaches() == []
        assert storm.published > 20
        return storm

    return blow


@pytest.mark.parametrize("flavour", ["valkey", "redis"])
def test_connections_that_are_killed(storm: Any, flavour: str) -> None:
    with Server(flavour) as server:

        def kill() -> None:
            for _ in range(10):
                server.hang_up()
                time.sleep(0.2)

        assert storm(server, kill).counts()["resets"] == 0


@pytest.mark.parametrize("flavour", ["valkey", "redis"])
@pytest.mark.parametrize("keeps", [True, False])
def test_a_server_that_is_restarted(storm: Any, flavour: str, keeps: bool) -> None:
    settings = ["appendonly yes", "appendfsync always"] if keeps else []
    with Server(flavour, settings=settings) as server:

        def restart() -> None:
            server.kill()
            time.sleep(2)
            server.start()

        counts = storm(server, restart).counts()
        # Every reader is told of the loss, in each of its channels.
        assert (counts["resets"] == 0) == keeps


def test_a_server_that_is_away_for_eight_seconds(storm: Any) -> None:
    with Server("valkey", settings=["appendonly yes", "appendfsync always"]) as server:

        def restart() -> None:
            server.kill()
            time.sleep(8)
            server.start()

        assert storm(server, restart).counts()["resets"] == 0


def test_all_data_lost_while_it_runs(storm: Any) -> None:
    with Server("valkey") as server:

        def flush() -> None:
            for _ in range(3):
                server.flush()
                time.sleep(0.5)

        assert storm(server, flush).counts()["resets"] > 0


def test_a_network_that_cuts_and_stalls(storm: Any) -> None:
    with (
        Server("valkey") as server,
        Proxy((server.host, server.port), seed=1) as proxy,
    ):

        def hurt() -> None:
            for turn in range(20):
                with proxy.limit_data(turn * 37 % 700):
                    time.sleep(0.05)
                time.sleep(0.1)
            with proxy.stall(), proxy.stall(stream="upstream"):
                time.sleep(1.5)

        location = f"redis://{proxy.host}:{proxy.port}"
        assert storm(server, hurt, location=location).counts()["resets"] == 0


def test_fifty_who_keep_coming_back(storm: Any) -> None:
    with Server("valkey") as server:
        found = storm(server, lambda: time.sleep(4), channels=2, readers=0, restless=50)
        counts = found.counts()
        assert counts["resets"] == 0
        assert counts["comings"] > 100


def test_a_subscription_that_the_server_cuts_off(storm: Any) -> None:
    """Its output buffer is full: the server closes the connection, with what was in it."""
    limit = "client-output-buffer-limit pubsub 16kb 8kb 1"
    with Server("redis", settings=[limit]) as server:

        def flood() -> None:
            for turn in range(5):
                for each in range(3):
                    name = f"stormy:{each}"
                    client = server.client()
                    client.publish(_stream(name), "x" * 200_000)
                    client.close()
                time.sleep(0.1 * turn)

        assert storm(server, flood).counts()["resets"] == 0


def _stream(name: str) -> bytes:
    from redpony.realtime.channel import channel_of

    return channel_of(name).keys.stream


@pytest.mark.parametrize("flavour", ["valkey", "redis"])
def test_a_failover_by_sentinel(storm: Any, flavour: str) -> None:
    with Sentinel(flavour) as group:

        def failover() -> None:
            old = group.primary
            old.kill()
            group.await_primary_other_than(old)
            old.start()
            until(lambda: old.follows(group.primary), "it follows", 60)

        storm(group, failover)


def test_a_replica_that_is_promoted(storm: Any) -> None:
    with Replication("valkey") as group:

        def promote() -> None:
            group.promote(0)
            group.await_sync()

        storm(group, promote)


@pytest.mark.parametrize("flavour", ["valkey", "redis"])
def test_a_cluster_whose_slots_move(storm: Any, flavour: str) -> None:
    rng = random.Random(7)
    with Cluster(flavour) as group:

        def move() -> None:
            for number in range(3):
                slot = group.slot_of(_stream(f"stormy:{number}"))
                here = group.node_for(slot)
                others = [each for each in group.primaries if each is not here]
                group.move_slot(slot, rng.choice(others))
                time.sleep(0.2)

        assert storm(group, move).counts()["resets"] == 0


def test_a_cluster_s_primary_that_dies(storm: Any) -> None:
    with Cluster("valkey") as group:

        def die() -> None:
            old = group.node_for(_stream("stormy:0"))
            (heir,) = group.replicas_of(old)
            old.kill()
            until(lambda: heir.role == "primary", f"{heir} is a primary", 60)
            with contextlib.suppress(Exception):
                old.start()

        storm(group, die)
