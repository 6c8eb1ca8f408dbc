"""The rights of a user of several servers, and of one of the sentinels."""

from __future__ import annotations

import contextlib
import itertools
from functools import partial

import pytest
import redis
from redis.exceptions import NoPermissionError, RedisClusterException

import redpony
from redpony.management.rights import sentinel_user, user_for
from tests.management.guard import SECRET, VERSIONS, exercise, in_topology, refused
from tests.servers import Sentinel, until

FORMS = [
    f"{flavour}-{form}"
    for form in ("replicated", "sentinel", "cluster")
    for flavour in ("valkey", "redis_debian")
]
EXTRA = {
    "replicated": {"role"},
    "sentinel": {"role"},
    "cluster": {
        "asking",
        "cluster|info",
        "cluster|slots",
        "dump",
        "exec",
        "multi",
        "readonly",
        "restore",
    },
}


class Group:
    """Several servers, and their user "app"."""

    def __init__(self, name, group, cache_on) -> None:
        self.form = name.rpartition("-")[2]
        self.group = group
        self.features = VERSIONS[group.flavour]
        self.each("ACL", "SETUSER", "app", "reset", "on", f">{SECRET}", "-@all")
        location = group.url().replace("://", f"://app:{SECRET}@")
        self._deadlines = itertools.count(30)
        self._make = partial(cache_on, None, LOCATION=location, READ_FROM="replica")
        self.user = user_for([self.cache().alias.config], server=self.features)

    def each(self, *words) -> list:
        return [server.ask(*words) for server in self.group.nodes]

    def allow(self, *more: str) -> None:
        rules = self.user.rules(f">{SECRET}")
        self.each("ACL", "SETUSER", "app", *rules, *more)
        self.each("ACL", "LOG", "RESET")

    @property
    def refused(self) -> set[str]:
        found = {each for server in self.group.nodes for each in refused(server)}
        return {each.removeprefix("command ") for each in found}

    def cache(self):
        """Return a cache that has no connection yet, and knows nobody."""
        return self._make(DEADLINE=next(self._deadlines))

    def exercise(self, both) -> None:
        """Do all that the cache does, also where keys lie on several servers."""
        cache = both(self.cache())
        exercise(cache)
        if self.form != "cluster":
            # redis-py's client asks each server who it is. (One for clusters asks
            # what commands there are, which is no right of ours.)
            cache.client.get_client(True).get(cache.make_key("key"))
        for number in range(8):
            cache.set(f"moves:{number}", 1)
            cache.incr_version(f"moves:{number}")
            cache.sadd(f"set:{number}", 1, 2)
        sets = [f"set:{number}" for number in range(8)]
        cache.sunionstore("union", *sets)
        if self.form == "cluster":
            slot = self.group.slot_of(":1:moves:0")
            source = self.group.node_for(slot)
            target = next(each for each in self.group.primaries if each is not source)
            with self.group.migrating(slot, target):
                assert cache.get("moves:0") is None


@pytest.fixture(params=FORMS)
def several(request, places, cache_on):
    group = places.fresh(request.param)
    yield Group(request.param, group, cache_on)
    for server in group.nodes:
        server.ask("ACL", "DELUSER", "app")


def test_nothing_is_missing_where_there_are_several_servers(several, both):
    several.allow()
    several.exercise(both)

    assert several.refused == set()


def test_nothing_is_superfluous_where_there_are_several_servers(several, both):
    extra = set(several.user.commands) - set(
        user_for([in_topology(None)], server=several.features).commands
    )
    assert extra == EXTRA[several.form]

    def is_missed(right):
        with contextlib.suppress(
            redpony.RedponyError, redis.RedisError, RedisClusterException
        ):
            several.exercise(both)
        return right in several.refused

    for right in sorted(extra):
        several.allow(f"-{right}")
        # (What was missing before it may have left a breaker open.)
        until(lambda right=right: is_missed(right), f"{right} is missed")


@pytest.mark.parametrize("flavour", ["valkey", "redis"])
def test_sentinels_have_a_user_of_their_own(flavour, cache_on, both):
    """He finds the primary, hears of a failover, and changes nothing."""
    rules = ["user finder on >nothing -@all"]
    with Sentinel(flavour, sentinel_acl=rules) as group:
        make = partial(
            cache_on,
            None,
            LOCATION=group.url(),
            SENTINEL_USERNAME="finder",
            SENTINEL_PASSWORD=SECRET,
        )
        cache = make()
        user = sentinel_user([cache.alias.config], server=VERSIONS[flavour])
        assert user.name == "finder"
        for sentinel in group.sentinels:
            sentinel.ask("ACL", "SETUSER", "finder", *user.rules(f">{SECRET}"))
            sentinel.ask("ACL", "LOG", "RESET")
        both(cache).set("key", "value")
        group.settled()
        assert both(cache).get("key") == "value"
        until(
            lambda: any(
                client["user"] == "finder" and client["sub"] != "0"
                for sentinel in group.sentinels
                for client in sentinel.users()
            ),
            "somebody listens",
        )
        for sentinel in group.sentinels:
            assert refused(sentinel) == set()
        for number, right in enumerate(user.commands):
            for sentinel in group.sentinels:
                sentinel.ask("ACL", "SETUSER", "finder", f"-{right}")
            with contextlib.suppress(redpony.RedponyError):
                both(make(DEADLINE=30 + number)).get("key")
            until(
                lambda right=right: any(
                    f"command {right}" in refused(each) for each in group.sentinels
                ),
                f"{right} is asked for",
            )
            for sentinel in group.sentinels:
                sentinel.ask("ACL", "SETUSER", "finder", f"+{right}")
        client = redis.Redis(
            port=group.sentinels[0].port,
            username="finder",
            password=SECRET,
            retry=None,
        )
        for words in (
            ["SENTINEL", "FAILOVER", "main"],
            ["SENTINEL", "REMOVE", "main"],
            ["SENTINEL", "SET", "main", "quorum", "9"],
            ["SENTINEL", "RESET", "*"],
            ["PSUBSCRIBE", "*"],
            ["SHUTDOWN"],
        ):
            with pytest.raises(NoPermissionError):
                client.execute_command(*words)
        client.close()
