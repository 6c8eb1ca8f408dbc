"""What can go wrong between contenders and servers, by the form of the servers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import redis

from redpony.testing.chaos import Proxy
from tests.locks.clock import Clocked
from tests.locks.diary import LIMITS
from tests.locks.run import Run
from tests.servers import Cluster, Replication, Sentinel, Server, until

Trouble = Callable[[], Any]


def of_network(run: Run, proxy: Proxy) -> list[Trouble]:
    """Return what a network does: answers and requests that are lost or late."""
    numbers = itertools.count()

    def cut() -> None:
        """Let answers get lost, after some bytes of them."""
        with proxy.limit_data(next(numbers) % 60):
            time.sleep(0.02)

    def cut_requests() -> None:
        with proxy.limit_data(next(numbers) * 37 % 500, stream="upstream"):
            time.sleep(0.02)

    def hold_back() -> None:
        with proxy.latency(20, jitter=20):
            time.sleep(0.1)

    def stall() -> None:
        """Deliver nothing for longer than a deadline, and then all of it."""
        with run.outage(), proxy.stall(), proxy.stall(stream="upstream"):
            time.sleep(0.4)

    return [cut, cut_requests, hold_back, stall]


def of_server(run: Run, server: Server) -> list[Trouble]:
    """Return what one server does, but for losing data."""

    def hang_up() -> None:
        server.hang_up()

    def forget_scripts() -> None:
        server.ask("SCRIPT", "FLUSH")

    def pause() -> None:
        with run.outage():
            server.ask("CLIENT", "PAUSE", 300, "ALL")
            time.sleep(0.3)

    def out_of_memory() -> None:
        with run.outage():
            server.ask("CONFIG", "SET", "maxmemory", "1")
            time.sleep(0.2)
            server.ask("CONFIG", "SET", "maxmemory", "0")

    return [hang_up, forget_scripts, pause, out_of_memory]


def of_memory(run: Run, server: Server) -> list[Trouble]:
    """Return how a server loses its data."""

    def flush() -> None:
        with run.outage(forgets=True):
            server.ask("FLUSHALL")

    def restart() -> None:
        with run.outage(forgets=True):
            server.kill()
            server.start()

    return [flush, restart]


def of_clock(run: Run, server: Clocked) -> list[Trouble]:
    """Return how a clock is set: by at most three seconds, and five in all."""

    def forward() -> None:
        seconds = run.rng.uniform(0.5, 3)
        if server.offset + seconds < 5:
            with run.outage(forgets=True):
                server.step(seconds)

    def back() -> None:
        seconds = run.rng.uniform(0.5, 3)
        if server.offset - seconds > -5:
            server.step(-seconds)
            # Whatever has a time has it for longer; so do the dead.
            run.delay(seconds + 1)

    return [forward, back, forward, back]


def of_replication(run: Run, group: Replication) -> list[Trouble]:
    def promote() -> None:
        with run.outage(forgets=True):
            group.promote(run.rng.randrange(len(group.replicas)))
            group.await_sync()

    return [promote]


def of_sentinel(run: Run, group: Sentinel) -> list[Trouble]:
    """Return how a primary goes; each ends with all servers up and in order."""

    def is_in_order() -> bool:
        try:
            primary = group.primary
            others = [node for node in group.nodes if node != primary]
            return all(node.follows(primary) for node in others)
        except redis.ConnectionError:
            return False  # a sentinel has just told it whom to follow

    def in_order() -> None:
        until(is_in_order, "all others follow the primary", 60)

    def failover() -> None:
        with run.outage(forgets=True):
            group.failover()
            in_order()

    def death_of_the_primary() -> None:
        old = group.primary
        with run.outage(forgets=True):
            old.kill()
            group.await_primary_other_than(old)
            old.start()
            in_order()

    def sleep_of_the_primary() -> None:
        """It wakes up, and goes on to give out locks until it is told."""
        old = group.primary
        with run.outage(forgets=True):
            old.pause()
            group.await_primary_other_than(old)
            old.resume()
            in_order()

    return [failover, death_of_the_primary, sleep_of_the_primary]


def of_cluster(run: Run, group: Cluster) -> list[Trouble]:
    def keys() -> list[str]:
        return [f":{name}" for name in LIMITS]

    def failover() -> None:
        with run.outage(forgets=True):
            group.failover(group.node_for(run.rng.choice(keys())))

    def death_of_a_primary() -> None:
        old = group.node_for(run.rng.choice(keys()))
        (heir,) = group.replicas_of(old)
        with run.outage(forgets=True):
            old.kill()
            until(lambda: heir.role == "primary", f"{heir} is a primary", 60)
            old.start()
            group.await_sync()

    def move_a_slot() -> None:
        with run.outage():
            slot = group.slot_of(run.rng.choice(keys()))
            group.move_slot(slot, run.rng.choice(group.primaries))

    return [failover, death_of_a_primary, move_a_slot]


def of_group(run: Run, group: Any) -> list[Trouble]:
    """Return what any group does."""

    def hang_up() -> None:
        group.hang_up()

    def forget_scripts() -> None:
        for node in group.nodes:
            node.ask("SCRIPT", "FLUSH")

    return [hang_up, forget_scripts]
