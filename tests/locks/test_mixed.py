"""One lock, several libraries: what a rolling migration and an old script rely on.

redis-py's lock, django-redis' and a SET ... NX PX by hand hold the key that ours holds.
None of them says a word when it gives the lock back; how late ours notices is counted in
its looks, of which there is one a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import caches

from redpony.locks import Lock
from redpony.locks.gate import Gate
from redpony.locks.terms import SLICE
from tests.locks.both import InBoth
from tests.servers import Server, until

pytestmark = pytest.mark.forms("single")

KEY = ":1:job"
"""What Django's caches make of "job"."""

RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
"""


class ByHand:
    """The recipe, in its right form."""

    def __init__(self, client: Any, timeout: float) -> None:
        self.client = client
        self.timeout = timeout
        self.token = ""

    def acquire(self, blocking: bool = True) -> bool:
        token = f"{id(self)}-{threading.get_ident()}"
        while not self.client.set(KEY, token, nx=True, px=int(self.timeout * 1000)):
            if not blocking:
                return False
            threading.Event().wait(0.005)
        self.token = token
        return True

    def release(self) -> None:
        assert self.client.eval(RELEASE, 1, KEY, self.token) == 1


@pytest.fixture
def makers(server: Server, cache_on: Any) -> Iterator[dict[str, Callable[..., Any]]]:
    """Return what makes each one's lock on the same key: `makers["by hand"](timeout=60)`."""
    cache = cache_on(server)
    cache_on(server, alias="theirs", BACKEND="django_redis.cache.RedisCache")
    client = caches["theirs"].client.get_client()

    yield {
        "redpony": lambda timeout=60: cache.lock("job", timeout=timeout),
        "redpony elsewhere": lambda timeout=60: elsewhere(timeout=timeout),
        "redis-py": lambda timeout=60: client.lock(KEY, timeout=timeout, sleep=0.005),
        "django-redis": lambda timeout=60: caches["theirs"].lock(
            "job", timeout=timeout, sleep=0.005
        ),
        "by hand": lambda timeout=60: ByHand(client, timeout),
    }
    client.connection_pool.disconnect()


class Elsewhere(Lock):
    """A lock that does not share this process' line, as one of another process."""

    gate = None  # type: ignore[assignment]


def elsewhere(**options: Any) -> Lock:
    made = Elsewhere("job", key=KEY, **options)
    made.gate = Gate()
    return made


theirs = pytest.mark.parametrize("whose", ["redis-py", "django-redis", "by hand"])


@theirs
def test_theirs_and_ours_exclude_each_other(
    makers: Any, colour: Any, server: Server, whose: str
) -> None:
    their, our = makers[whose](), InBoth(makers["redpony"](), colour)
    assert their.acquire(blocking=False)
    assert our.locked()
    assert not our.owned()
    assert not our.acquire(blocking=False)
    assert not our.acquire(blocking_timeout=0.02)
    their.release()
    assert our.acquire(blocking=False)
    assert not their.acquire(blocking=False)
    our.release()
    assert their.acquire(blocking=False)
    their.release()
    assert server.ask("EXISTS", KEY) == 0


@theirs
def test_their_token_is_seen_as_the_owner(makers: Any, whose: str) -> None:
    their = makers[whose]()
    assert their.acquire()
    token = their.token if whose == "by hand" else their.local.token.decode()
    assert makers["redpony"]().owner() == token
    their.release()


def waiting(server: Server) -> int:
    """Return how many of ours stand in the server's line."""
    return int(server.ask("ZCARD", f"redpony{{{KEY}}}:key-line:queue"))


def in_line(server: Server, lock: Any, got: list[Any]) -> threading.Thread:
    """Have a thread take and give back a lock; return when it stands in line."""
    before = waiting(server)

    def work() -> None:
        with lock as held:
            got.append(held.fence)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    until(lambda: waiting(server) == before + 1, "it stands in line")
    return thread


@theirs
def test_who_waits_for_them_has_the_lock_at_its_next_look(
    makers: Any, server: Server, whose: str
) -> None:
    """They say nothing when they release: the key is gone, and ours looks for it."""
    assert SLICE <= 1
    their, got = makers[whose](), []
    assert their.acquire()
    waiter = in_line(server, makers["redpony"](), got)
    their.release()
    with server.counting() as counted:
        waiter.join(60)
    assert len(got) == 1
    # The look that found it free, and the release.
    assert counted.commands["evalsha"] <= 2
    assert counted.commands.get("blpop", 0) <= 2
    assert waiting(server) == 0


@theirs
def test_a_line_that_waits_for_them_is_handed_on_by_push(
    makers: Any, server: Server, whose: str
) -> None:
    """Only the first one has to look; who comes after it is told."""
    their, got = makers[whose](), []
    assert their.acquire()
    waiters = [in_line(server, elsewhere(), got) for _ in range(4)]
    their.release()
    with server.counting() as counted:
        for waiter in waiters:
            waiter.join(60)
    assert got == sorted(got)
    assert len(got) == 4
    # Three were told, and the first one perhaps: by the look of another one.
    assert 3 <= counted.commands.get("rpush", 0) <= 4


@theirs
def test_a_holder_of_theirs_that_died_is_replaced_when_its_time_is_over(
    makers: Any, server: Server, whose: str
) -> None:
    their, got = makers[whose](timeout=0.7), []
    assert their.acquire()
    waiter = in_line(server, makers["redpony"](), got)
    with server.counting() as counted:
        waiter.join(60)
    assert len(got) == 1
    # It knew for how long to wait: no look was in vain, but for a clock's step.
    assert counted.commands["evalsha"] <= 3


@theirs
def test_they_get_what_we_give_back(makers: Any, whose: str) -> None:
    our, their = makers["redpony"](), makers[whose]()
    assert our.acquire()
    got: list[Any] = []

    def work() -> None:
        got.append(their.acquire())
        their.release()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert got == []
    our.release()
    thread.join(60)
    assert got == [True]


def test_all_of_them_together_exclude_each_other(makers: Any, server: Server) -> None:
    """Threads of each library; what they count under the lock comes out right."""
    rounds = 15
    inside: list[str] = []
    most = 0
    count = 0
    failed: list[BaseException] = []

    def work(whose: str) -> None:
        nonlocal most, count
        try:
            lock = makers[whose]()
            for _ in range(rounds):
                assert lock.acquire()
                inside.append(whose)
                most = max(most, len(inside))
                seen = count
                server.ask("PING")  # others may run meanwhile
                count = seen + 1
                inside.remove(whose)
                lock.release()
        except BaseException as error:
            failed.append(error)

    threads = [
        threading.Thread(target=work, args=(whose,), daemon=True)
        for whose in makers
        for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failed == []
    assert most == 1
    assert count == rounds * len(threads)
    assert server.ask("EXISTS", KEY) == 0
    assert waiting(server) == 0
