"""Any order of coming, going and killing: each that asks is served, none is left."""

from __future__ import annotations

import os
import random
import signal
from functools import partial

import pytest

from tests.embedded.world import User, World, until


def _disturb(world: World, chance: random.Random, users: list[User]) -> None:
    deed = chance.choice(("come", "come", "leave", "kill", "server", "supervisor"))
    status = world.status()
    if deed == "come" and len(users) < 5:
        users.append(world.user(grace=chance.choice((0.01, 0.1, 0.5))))
    elif deed == "leave" and users:
        users.pop(chance.randrange(len(users))).leave()
    elif deed == "kill" and users:
        users.pop(chance.randrange(len(users))).kill()
    elif deed in ("server", "supervisor"):
        pid = status.pid if deed == "server" else status.supervisor_pid
        if pid is not None and pid in world.processes():
            os.kill(pid, signal.SIGKILL)


def _served(user: User) -> bool:
    # A connection to a server that is being killed may still be accepted.
    return "socket" in user.do("resolve") and user.do("alive")


def _run(world: World, seed: int, steps: int) -> None:
    chance = random.Random(seed)
    users: list[User] = []
    for _ in range(steps):
        _disturb(world, chance, users)
        for user in users:
            until(partial(_served, user), f"user {user.pid} is served (seed {seed})")
        if users:
            until(lambda: len(world.servers()) == 1, f"one server (seed {seed})")
    for user in users:
        user.kill()
    world.until_empty()


@pytest.mark.parametrize("seed", [1, 2])
def test_any_order_of_deaths_ends_well(world: World, seed: int) -> None:
    _run(world, seed, 25)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 120))
def test_any_order_of_deaths_ends_well_for_long(world: World, seed: int) -> None:
    _run(world, seed, 200)
