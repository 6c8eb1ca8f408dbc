"""Long runs of what tests/faults does briefly to Sentinel and to a cluster."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redpony.wire.topology.slots import slot_of
from tests.faults.workload import Load
from tests.servers import Cluster, Replication, Sentinel, until

pytestmark = pytest.mark.soak

ROOT = Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("REDPONY_SOAK_SEED", "20261122"))
EVENTS = int(os.environ.get("REDPONY_SOAK_EVENTS", "20"))
"""How often something happens to each group of servers."""

THREADS, TASKS = 8, 50
TOLERATED = frozenset({"lost", "stale"})
"""What the servers do by nature when one of them takes another one's place."""


class Trouble:
    """What may happen to a group; each ends with all servers up and in sync."""

    def __init__(self, group: Any, rng: random.Random) -> None:
        self.group = group
        self.rng = rng

    def happens(self) -> str:
        """Let something happen; return what."""
        names = [name for name in dir(self) if name.startswith("on_")]
        name = self.rng.choice(names)
        getattr(self, name)()
        return name.removeprefix("on_")

    def on_restart_of_a_replica(self) -> None:
        replica = self.rng.choice(self.group.replicas)
        replica.kill()
        replica.start()
        self.group.await_sync()

    def on_connections_closed(self) -> None:
        self.group.hang_up()

    def on_pause_that_is_too_short(self) -> None:
        server = self.rng.choice(self.group.nodes)
        server.ask("CLIENT", "PAUSE", 100, "ALL")


class TroubleOfReplication(Trouble):
    def on_promotion(self) -> None:
        self.group.promote(self.rng.randrange(len(self.group.replicas)))


class TroubleOfSentinel(Trouble):
    def on_death_of_the_primary(self) -> None:
        self._without(self.group.primary.kill)

    def on_sleep_of_the_primary(self) -> None:
        self._without(self.group.primary.pause)

    def on_failover_on_request(self) -> None:
        self.group.failover()
        self._in_order()

    def on_restart_of_a_sentinel(self) -> None:
        sentinel = self.rng.choice(self.group.sentinels)
        sentinel.kill()
        sentinel.launch()
        sentinel.await_answer()
        self._in_order()

    def _without(self, fault: Callable[[], None]) -> None:
        old = self.group.primary
        fault()
        self.group.await_primary_other_than(old)
        if old.is_paused:
            old.resume()
        else:
            old.start()
        self._in_order()

    def _in_order(self) -> None:
        """Wait until the sentinels have made all others replicas: ten seconds or so."""
        primary = self.group.primary
        until(
            lambda: all(
                node.follows(primary) for node in self.group.nodes if node != primary
            ),
            "all others follow the primary",
            60,
        )


class TroubleOfCluster(Trouble):
    def on_death_of_a_primary(self) -> None:
        old = self.rng.choice(self.group.primaries)
        (heir,) = self.group.replicas_of(old)
        old.kill()
        until(lambda: heir.role == "primary", f"{heir} is a primary", 60)
        old.start()
        self.group.await_sync()

    def on_failover_on_request(self) -> None:
        self.group.failover(self.rng.choice(self.group.primaries))

    def on_move_of_a_slot_that_is_used(self) -> None:
        for _ in range(10):
            slot = slot_of(f":1:t{self.rng.randrange(THREADS)}:count")
            self.group.move_slot(slot, self.rng.choice(self.group.primaries))

    def on_move_of_slots(self) -> None:
        source, target = self.rng.sample(self.group.primaries, 2)
        self.group.reshard(100, source, target)


GROUPS = {
    "replicated": (Replication, TroubleOfReplication),
    "sentinel": (Sentinel, TroubleOfSentinel),
    "cluster": (Cluster, TroubleOfCluster),
}


@pytest.mark.parametrize("flavour", ["valkey", "redis"])
@pytest.mark.parametrize("topology", GROUPS)
def test_a_crowd_gets_over_one_trouble_after_the_other(
    topology: str,
    flavour: str,
    cache_on: Callable[..., Any],
    say: Callable[[str], None],
    record: Callable[..., None],
) -> None:
    make, trouble = GROUPS[topology]
    rng = random.Random(f"{SEED} {topology} {flavour}")
    happened: list[str] = []
    with make(flavour) as group:
        cache = cache_on(None, LOCATION=group.url())
        load = Load(
            cache,
            threads=THREADS,
            tasks=TASKS,
            pace=0.01,
            seed=SEED,
            quiet=group.settled,
            tolerates=TOLERATED,
        )
        with load:
            for _ in range(EVENTS):
                load.go_on(3)
                happened.append(trouble(group, rng).happens())
            load.go_on(3)
        figures = load.verdict()
    record(
        f"one trouble after the other, {topology}",
        operations=figures["operations"],
        stopped=0,
        wrong=figures["wrong"],
        duplicates=figures["duplicates"],
    )
    say(f"{topology} of {flavour}: {dict(figures)}, {dict(load.failures)}, {happened}")


def test_the_figures_of_failovers_are_reached(
    tmp_path: Path, say: Callable[[str], None]
) -> None:
    target = tmp_path / "failover.json"
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.failover", "--check", "--json", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    say(ran.stdout)
    assert ran.returncode == 0, ran.stderr
    assert not json.loads(target.read_text())["meta"]["quick"]
