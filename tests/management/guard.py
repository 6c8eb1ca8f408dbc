"""A user who has the rights that an alias needs, and all that the alias does."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import replace

import redis
from django.test import override_settings

import redpony
from redpony.conf import alias_config
from redpony.errors import NoPermission
from redpony.locks import Barrier, Latch, Leader, Lock, LockError, Semaphore, once
from redpony.locks.gate import Gate
from redpony.management.rights import acl_rules
from redpony.wire.handshake import Features
from tests.cache.test_unavailable import BY_ARGUMENTS, CALLS, COUNTED
from tests.management.aliases import ours

SECRET = "hunter2hunter2hunter2"
VERSIONS = {
    "valkey": Features("valkey", (9, 1, 2)),
    "redis": Features("redis", (7, 0, 15)),
}


def allow(server, config, *more):
    rules = acl_rules(config, server=VERSIONS[server.flavour], password=f">{SECRET}")
    server.ask("ACL", "SETUSER", "app", *rules, *more)


def refused(server) -> set[str]:
    """Return what the server has refused, as its log has it: `command get`."""
    found = set()
    for entry in server.ask("ACL", "LOG"):
        said = dict(zip(entry[::2], entry[1::2], strict=True))
        found.add(f"{said[b'reason'].decode()} {said[b'object'].decode()}")
    return found


def raw(server) -> redis.Redis:
    return redis.Redis(
        unix_socket_path=server.socket_path,
        username="app",
        password=SECRET,
        protocol=2,
        retry=None,
    )


def in_topology(topology):
    with override_settings(CACHES={"default": ours("redis://127.0.0.1")}):
        config = alias_config("default")
    return replace(config, topology=topology)


ROWS = [
    (name, args)
    for name, (args, _) in (*CALLS.items(), *COUNTED.items(), *BY_ARGUMENTS.items())
]
MORE = [
    ("set", ("counter", 1, None)),
    ("set", ("key", 1, None)),
    ("touch", ("key", None)),
    ("expire", ("key", None)),
    ("set_many", ({"a": 1, "b": 2}, None)),
    ("set_many", ({"a": 1, "b": 2}, 10)),
    ("get_or_set", ("fresh", 1)),
    ("incr", ("counter",)),
    ("incr", ("new", 1, None, True)),
    ("incr_version", ("counter",)),
    ("zrange", ("z", 0, -1)),
]


def exercise(cache) -> None:
    """Call every method of a cache, and its lock."""
    for name, args in ROWS + MORE:
        try:
            getattr(cache, name)(*args)
        except NoPermission:
            raise
        except (ValueError, redpony.RedponyError, redis.ResponseError):
            pass  # a key that is missing, or holds another type
    list(cache.iter_keys("*"))
    list(cache.sscan_iter("set"))
    wait_for_nobody(cache.alias)
    if cache.colour.is_async:
        cache.colour.run(alocked(cache.target))
    else:
        locked(cache)


def contenders(cache, name):
    """Return two locks, or semaphores, that know of each other by the server alone."""
    found = []
    for _ in range(2):
        if name == "semaphore":
            claim = ElsewhereToo("job", 1, using=cache.alias, timeout=5)
            claim.gate = Gate(shared=True)
        else:
            key = cache.make_key("job")
            claim = Elsewhere("job", using=cache.alias, key=key, timeout=5)
            claim.gate = Gate()
        found.append(claim)
    return found


class Elsewhere(Lock):
    """A lock that does not share this process' line, as one of another process."""

    gate = None


class ElsewhereToo(Semaphore):
    """The same, as a semaphore."""

    gate = None


def locked(cache) -> None:
    for name in ("lock", "semaphore"):
        mine, other = contenders(cache, name)
        with mine as lock:
            assert lock.locked()
            assert lock.owned()
            assert lock.extend(5)
            assert lock.reacquire()
            assert not other.acquire(blocking_timeout=0.05)
            waiter = threading.Thread(target=taken, args=(other,))
            waiter.start()
            time.sleep(0.1)  # it is in line, or will be: both are handed over
        waiter.join()
    taken(Lock("plain", using=cache.alias, plain=True))
    with contextlib.suppress(LockError):  # there may be no replica
        taken(Lock("replicated", using=cache.alias, replicas=1))


async def alocked(cache) -> None:
    for name in ("lock", "semaphore"):
        mine, other = contenders(cache, name)
        async with mine as lock:
            assert await lock.alocked()
            assert await lock.aowned()
            assert await lock.aextend(5)
            assert await lock.areacquire()
            assert not await other.aacquire(blocking_timeout=0.05)
            waiter = asyncio.create_task(ataken(other))
            await asyncio.sleep(0.1)
        await waiter
    await ataken(Lock("plain", using=cache.alias, plain=True))
    with contextlib.suppress(LockError):
        await ataken(Lock("replicated", using=cache.alias, replicas=1))


def wait_for_nobody(alias) -> None:
    """Use what is built on locks, and what one waits for."""
    with Leader("job", using=alias) as held:
        assert held.valid
    for at_most_once in (False, True):
        options = {"ttl": 5, "at_most_once": at_most_once, "using": alias}
        done = once(f"job {at_most_once}", **options)(lambda: "done")
        assert done() == "done"
        assert done.forget()
    latch = Latch("job", 1, using=alias)
    assert not latch.wait(0.01)
    latch.count_down()
    assert latch.wait()
    latch.reset()
    barrier = Barrier("job", 1, using=alias)
    assert barrier.wait() == 0
    barrier.abort()
    assert barrier.broken()
    barrier.reset()


def taken(lock) -> None:
    with lock:
        pass


async def ataken(lock) -> None:
    async with lock:
        pass
