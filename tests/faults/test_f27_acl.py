"""F27: credentials are wrong or revoked, and commands are not permitted."""

from __future__ import annotations

import itertools
import logging
import threading

import pytest

from redpony import connections, events
from redpony.errors import (
    AuthenticationFailed,
    CircuitOpen,
    NoPermission,
    RedponyError,
    Unavailable,
)
from tests.cache.test_unavailable import CALLS
from tests.colours import Both
from tests.servers import until

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")
FLAVOURS = ("valkey", "redis")

SECRET = "hunter2-hunter2-hunter2"
WRONG = "wrong-hunter2-hunter2"
PATIENT = {"CONNECT_TIMEOUT": 2, "DEADLINE": 2}


_guards = itertools.count()


class Guard:
    """The user "app" of a place, on every server of it."""

    def __init__(self, place, cache_on) -> None:
        self.place = place
        self._cache_on = cache_on
        # Of its own, so that no breaker is open from the test before.
        self._deadline = 2 + next(_guards) / 1e6
        self.set("reset", "on", f">{SECRET}", "~*", "&*", "+@all")

    def set(self, *rules: str) -> None:
        for server in self.place.servers:
            server.ask("ACL", "SETUSER", "app", *rules)

    def restore(self) -> None:
        self.set("reset", "on", f">{SECRET}", "~*", "&*", "+@all")

    def delete(self) -> None:
        """Remove the user, which ends its connections."""
        for server in self.place.servers:
            server.ask("ACL", "DELUSER", "app")

    def drop_clients(self) -> None:
        for server in self.place.servers:
            server.ask("CLIENT", "KILL", "USER", "app")

    def cache(self, password: str = SECRET, **options):
        location = self.place.location.replace("://", f"://app:{password}@")
        options = {**PATIENT, "DEADLINE": self._deadline, **options}
        return self._cache_on(None, LOCATION=location, **options)


@pytest.fixture
def guard(place, cache_on):
    yield Guard(place, cache_on)
    # Else it is looked at, without a user, until the next test gives it one.
    connections.close_all()


def tell(error: BaseException | None) -> str:
    """Return everything that an error says, with what caused it."""
    said = []
    while error is not None:
        said += [str(error), repr(error), *getattr(error, "__notes__", ())]
        error = error.__cause__ or error.__context__
    return "\n".join(said)


def greetings(counted) -> int:
    return counted.commands["hello"] + counted.commands["auth"]


# -- who we are ----------------------------------------------------------------


@pytest.mark.topologies("single")
def test_a_wrong_password_is_told_with_the_user_and_without_the_secret(guard, caller):
    cache = caller(guard.cache(WRONG))
    for method, args in (("get", ("key",)), ("incr", ("n",)), ("set", ("key", 1))):
        met = cache.meets(method, *args)
        assert isinstance(met, AuthenticationFailed)
        assert met.outcome == "not_sent"
        assert "'app'" in str(met)
        assert "PASSWORD" in str(met)
        assert "hunter2" not in tell(met)


@pytest.mark.topologies("single")
def test_a_wrong_password_is_not_tried_by_every_request(guard, place, caller):
    """A server, or whoever watches it, may lock an account that fails too often."""
    with place.handle.counting() as counted:
        cache = caller(guard.cache(WRONG, BREAKER={"COOLDOWN": 30}, RETRIES=5))
        met = [cache.meets("get", "key") for _ in range(200)]
    assert isinstance(met[0], AuthenticationFailed)
    assert {type(each) for each in met[3:]} == {CircuitOpen}
    assert "hunter2" not in tell(met[-1])
    assert greetings(counted) == 3


@pytest.mark.topologies("single")
def test_threads_that_all_have_a_wrong_password_do_not_storm_the_server(
    guard, place, record
):
    cache = guard.cache(WRONG, BREAKER={"COOLDOWN": 30})
    together = threading.Barrier(30)
    met: list[RedponyError] = []

    def work() -> None:
        together.wait()
        for _ in range(20):
            try:
                cache.get("key")
            except RedponyError as error:
                met.append(error)

    threads = [threading.Thread(target=work) for _ in range(30)]
    with place.handle.counting() as counted:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(met) == 600
    # Each of those who were inside already, and the three that it takes.
    assert greetings(counted) <= 30 + 3
    assert cache.alias.link.blocking.pool.in_use == 0
    record(operations=600, wrong=0, duplicates=0, slots=0)


def test_a_user_who_is_deleted_and_comes_back(guard, place, caller):
    cache = caller(guard.cache(BREAKER={"COOLDOWN": 0.05}))
    assert cache.set("key", "value")
    guard.delete()
    met = cache.meets("incr", "n", ignore_key_check=True)
    assert isinstance(met, Unavailable)
    # The server closes the user's connections when it gets round to it: the command
    # may be on its way by then.
    assert met.outcome in ("not_sent", "unknown")
    assert "hunter2" not in tell(met)
    guard.restore()
    until(lambda: cache.tries("get", "key") == "value", "the user comes in again")
    until(lambda: cache.tries("get", "n", "none") == "none", "and nothing was counted")


@pytest.mark.topologies("single")
def test_a_password_is_changed_while_connections_live(guard, place, caller):
    """They go on; who comes anew is refused, until he has the new one."""
    cache = caller(guard.cache(BREAKER={"COOLDOWN": 0.05}))
    assert cache.set("key", "value")
    guard.set("resetpass", ">another-hunter2")
    assert cache.get("key") == "value"
    guard.drop_clients()
    until(lambda: not place.handle.users(), "the connections are closed")
    met = cache.meets("get", "key")
    assert isinstance(met, AuthenticationFailed)
    assert met.outcome == "not_sent"
    assert caller(guard.cache("another-hunter2")).get("key") == "value"
    guard.set(f">{SECRET}")
    until(lambda: cache.tries("get", "key") == "value", "the old one holds again")


def test_a_crowd_whose_user_is_deleted_and_comes_back(guard, workload):
    with workload(guard.cache(BREAKER={"COOLDOWN": 0.05})) as load:
        load.go_on()
        guard.delete()
        load.fails(50)
        guard.restore()
        load.go_on(3)
        guard.drop_clients()
        load.go_on(3)
    figures = load.verdict()
    assert figures["not_sent"] > 0


# -- what we may do --------------------------------------------------------------


@pytest.mark.topologies("single")
def test_a_right_that_is_revoked_is_missed_at_once_and_by_nobody_else(
    guard, place, caller
):
    cache = caller(guard.cache())
    assert cache.set("key", "value")
    guard.set("-unlink")
    with place.handle.counting() as counted:
        for _ in range(10):
            met = cache.meets("delete", "key")
            assert isinstance(met, NoPermission)
            assert met.outcome == "refused"
            assert cache.get("key") == "value"
    assert counted.connections == 0
    assert counted.commands["unlink"] <= 10
    assert cache.breakers == {"closed"}
    guard.restore()
    assert cache.delete("key")


@pytest.mark.topologies("single")
def test_each_method_tells_which_right_it_misses(guard, place, colour, record):
    """One right after the other is taken away; the error names what was refused."""
    target = guard.cache()
    cache = Both(target, colour)
    done = 0
    for name, (args, _) in CALLS.items():
        place.handle.flush()
        for command in sorted(commands_of(cache, name, args)):
            place.handle.flush()
            guard.set(*rights(command, "-"))
            with pytest.raises(NoPermission) as caught:
                getattr(cache, name)(*args)
            guard.set(*rights(command, "+"))
            said = tell(caught.value)
            assert caught.value.code == "NOPERM"
            assert command.lower() in said, (name, command, said)
            assert "'app'" in said
            assert f"{name}()" in said
            assert "manage.py redpony acl" in said
            assert "hunter2" not in said
            done += 1
    assert done >= len(CALLS)
    assert len(place.handle.users()) == 1
    assert target.alias.link.breaker.state == "closed"
    assert target.alias.link.blocking.pool.in_use == 0
    record(operations=done, wrong=0, duplicates=0, slots=0)


def commands_of(cache, name, args) -> set[str]:
    """Return the commands that a method sends."""
    seen: list[events.Operation] = []
    stop = events.subscribe(seen.append, events.Operation)
    try:
        getattr(cache, name)(*args)
    except (RedponyError, ValueError):
        pass
    finally:
        stop()
    return {command for each in seen for command in each.commands}


def rights(command: str, sign: str) -> list[str]:
    words = ["evalsha", "eval"] if command == "EVALSHA" else [command.lower()]
    return [f"{sign}{each}" for each in words]


@pytest.mark.topologies("single")
def test_what_a_script_may_not_call_is_not_permitted(guard, caller):
    cache = caller(guard.cache())
    assert cache.set("n", 1)
    guard.set("-incrby")
    met = cache.meets("incr", "n")
    assert isinstance(met, NoPermission)
    assert "manage.py redpony acl" in str(met)
    assert "hunter2" not in tell(met)
    assert met.outcome == "refused"
    assert cache.get("n") == 1


def test_a_key_that_is_not_permitted_is_refused_and_no_other(guard, caller):
    cache = caller(guard.cache())
    assert cache.set_many({"mine": 1, "theirs": 2}) == []
    guard.set("resetkeys", "~:1:mine")
    assert cache.get("mine") == 1
    for method, args in (
        ("get", ("theirs",)),
        ("get_many", (["mine", "theirs"],)),
        ("set_many", ({"mine": 3, "theirs": 4},)),
        ("incr", ("theirs",)),
    ):
        met = cache.meets(method, *args)
        assert isinstance(met, NoPermission), method
        assert f"{method}()" in tell(met)
    guard.restore()
    assert cache.get("theirs") == 2


def test_to_degrade_does_not_hide_a_missing_right(guard, caller):
    cache = caller(guard.cache(ON_ERROR="degrade"))
    assert cache.set("key", "value")
    guard.set("-get", "-mget")
    assert isinstance(cache.meets("get", "key"), NoPermission)
    assert isinstance(cache.meets("get_many", ["key"]), NoPermission)


@pytest.mark.topologies("single")
def test_what_is_refused_of_the_introduction_does_no_harm(guard, caller):
    guard.set("-client")
    cache = caller(guard.cache(CLIENT_NAME="shop"))
    assert cache.set("key", "value")
    assert cache.get("key") == "value"


@pytest.mark.topologies("single")
def test_nothing_that_is_written_down_holds_a_secret(guard, caller, caplog):
    caplog.set_level(logging.DEBUG)
    seen: list[object] = []
    stop = events.subscribe(seen.append)
    try:
        cache = caller(guard.cache(WRONG, ON_ERROR="degrade"))
        for _ in range(5):
            assert cache.get("key") is None
        right = caller(guard.cache())
        guard.set("-get")
        assert isinstance(right.meets("get", "key"), NoPermission)
    finally:
        stop()
    assert len(seen) > 5
    assert caplog.text
    assert "hunter2" not in caplog.text
    for each in seen:
        assert "hunter2" not in repr(each)
        assert "hunter2" not in tell(getattr(each, "error", None))


@pytest.mark.topologies("single")
def test_a_crowd_whose_rights_come_and_go(guard, workload):
    with workload(guard.cache()) as load:
        for _ in range(3):
            load.go_on()
            guard.set("-set", "-get", "-rpush")
            load.fails(50)
            guard.restore()
        load.go_on(3)
    figures = load.verdict()
    assert figures["refused"] >= 100
    assert set(load.failures) == {"NoPermission"}
