"""Where there are replicas, redis-py's clients are those of the primary, wherever it is."""

from __future__ import annotations

import asyncio

import pytest
import redis

from redpony import aget_redis, get_redis
from redpony.errors import NotPrimary, Unavailable
from redpony.testing.chaos import Proxies
from tests.servers import Replication, Sentinel, Server, free_port, until

FLAVOURS = ["valkey", "redis"]
PATIENT = {"CONNECT_TIMEOUT": 10, "DEADLINE": 10}


@pytest.fixture(params=["valkey-replicated", "redis_debian-sentinel"])
def place(request, places):
    return places.fresh(request.param)


def test_writes_go_to_the_primary_and_are_read_there(cache_on, place, ask):
    cache_on(place)

    assert ask("set", "k", "v") is True
    assert ask("get", "k") == b"v"
    assert place.primary.client().get("k") == b"v"


def test_one_client_serves_the_whole_process(cache_on, place):
    cache_on(place)

    assert isinstance(get_redis(), redis.Redis)
    assert get_redis() is get_redis()


def test_it_does_not_retry(cache_on, place):
    cache_on(place)

    assert get_redis().get_retry()._retries == 0


def test_a_transaction_stays_on_its_connection(cache_on, place):
    cache_on(place)
    with get_redis().pipeline() as pipe:
        pipe.watch("k")
        pipe.multi()
        pipe.set("k", 1)
        pipe.incr("k")

        assert pipe.execute() == [True, 2]


def test_messages_are_received(cache_on, place):
    cache_on(place)
    with get_redis().pubsub() as pubsub:
        pubsub.subscribe("news")
        assert pubsub.get_message(timeout=10)["type"] == "subscribe"
        get_redis().publish("news", "hello")

        assert pubsub.get_message(timeout=10)["data"] == b"hello"


def test_the_pool_is_bounded_and_waits(cache_on, place):
    cache_on(place, POOL_SIZE=2)

    async def work():
        client = aget_redis()
        return await asyncio.gather(*(client.incr("n") for _ in range(50)))

    assert sorted(asyncio.run(work())) == list(range(1, 51))


def test_connections_close_with_their_loop(cache_on, place):
    cache_on(place)
    get_redis().ping()

    async def work():
        await aget_redis().set("k", 1)
        return len(place.primary.users())

    during = asyncio.run(work())
    until(lambda: len(place.primary.users()) < during, "a connection has closed")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_promotion_is_followed_by_the_same_client(cache_on, flavour, ask):
    with Replication(flavour) as servers:
        # Nobody looks by itself: what the client meets has to be enough.
        seldom = {"READ_FROM": "primary", "TOPOLOGY_REFRESH": 600}
        cache_on(servers, **seldom, **PATIENT)
        ask("set", "before", 1)
        new = servers.promote()

        def writes() -> bool:
            try:
                return bool(ask("set", "after", 1))
            except redis.ReadOnlyError:
                return False  # a connection of before; the servers are looked at now

        until(writes, "the client has found the new primary")
        assert new.client().get("after") == b"1"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_failover_is_followed_by_the_same_client(cache_on, flavour, ask):
    with Sentinel(flavour) as servers:
        cache_on(servers, **PATIENT)
        ask("set", "before", 1)
        old = servers.primary
        old.kill()
        new = servers.await_primary_other_than(old)

        def writes() -> bool:
            try:
                return bool(ask("set", "after", 1))
            except redis.ConnectionError:
                return False

        until(writes, "the client has found the new primary")
        assert new.client().get("after") == b"1"


def test_a_paused_primary_that_comes_back_is_not_written_to(cache_on, ask):
    with Sentinel("valkey") as servers:
        cache_on(servers, **PATIENT)
        ask("set", "k", "before")
        old = servers.primary
        old.pause()
        new = servers.await_primary_other_than(old)
        old.resume()

        def writes() -> bool:
            try:
                return bool(ask("set", "k", "after"))
            except (redis.ConnectionError, redis.TimeoutError):
                return False

        until(writes, "the client has found the new primary")
        assert new.client().get("k") == b"after"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_whoever_stands_first_is_asked_whether_it_leads(cache_on, flavour, ask, places):
    servers = places.fresh(
        f"{'redis_debian' if flavour == 'redis' else flavour}-replicated"
    )
    replica, primary = servers.replicas[0], servers.primary
    cache_on(None, LOCATION=[replica.url(), primary.url()], **PATIENT)

    assert ask("set", "k", 1) is True
    assert primary.client().get("k") == b"1"


def test_where_no_server_leads_nothing_is_written(cache_on, places, ask):
    servers = places.fresh("valkey-replicated")
    replicas = [each.url() for each in servers.replicas]
    cache_on(None, LOCATION=replicas, **PATIENT)

    with pytest.raises(NotPrimary, match="no primary any more"):
        ask("set", "k", 1)


def test_each_server_of_a_list_is_met_with_its_own_credentials(cache_on, ask):
    with Server(password="one") as one, Server(password="two") as two:
        for each, password in ((one, "two"), (two, "one")):
            each.ask("CONFIG", "SET", "masteruser", "default")
            each.ask("CONFIG", "SET", "masterauth", password)
        two.follow(one)
        until(lambda: two.follows(one), "the replica follows")
        cache_on(None, LOCATION=[one.url(), two.url()], **PATIENT)
        ask("set", "k", 1)
        two.lead()
        one.follow(two)

        def writes() -> bool:
            try:
                return bool(ask("set", "k", 2))
            except redis.ReadOnlyError:
                return False

        until(writes, "the client has found the new primary")
        assert two.client().get("k") == b"2"


def test_sentinels_have_a_password_and_tls_of_their_own(cache_on, ask):
    with Sentinel(
        "redis", tls=True, password="servers", sentinel_password="sentinels"
    ) as servers:
        trusted = {"CA_FILE": str(servers.certificates.ca)}
        cache_on(servers, TLS=trusted, SENTINEL_PASSWORD="sentinels", **PATIENT)

        assert servers.url().startswith("rediss+sentinel://")
        assert ask("set", "k", 1) is True


def test_sentinels_may_speak_plain_text_where_servers_speak_tls(cache_on, ask):
    with Sentinel("redis", tls=True, sentinel_tls=None) as servers:
        trusted = {"CA_FILE": str(servers.certificates.ca)}
        cache_on(servers, TLS=trusted, SENTINEL_TLS=False, **PATIENT)

        assert ask("set", "k", 1) is True


def test_an_address_behind_nat_is_reached_by_its_remap(cache_on, places, ask):
    servers = places.fresh("valkey-sentinel")
    with Proxies(servers.nodes) as proxies:
        cache_on(servers, ADDRESS_REMAP=proxies.remap, **PATIENT)
        ask("set", "k", 1)

        assert proxies[servers.primary].accepted > 0


def test_no_sentinel_that_answers_is_unavailable(cache_on, ask):
    cache_on(None, LOCATION=f"redis+sentinel://127.0.0.1:{free_port()}/main", **PATIENT)

    with pytest.raises(Unavailable, match='No sentinel of "main" answers'):
        ask("set", "k", 1)


def test_a_service_that_nobody_watches_is_named(cache_on, places, ask):
    servers = places.fresh("valkey-sentinel")
    cache_on(None, LOCATION=servers.url().replace("/main/", "/mian/"), **PATIENT)

    with pytest.raises(Unavailable, match='No sentinel watches a service "mian"'):
        ask("set", "k", 1)
