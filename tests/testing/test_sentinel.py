"""`Sentinel` replaces its primary as it says, and heals."""

from __future__ import annotations

import pytest
import redis

from redpony.testing import chaos
from tests.servers import Certificates


@pytest.fixture(params=["valkey", "redis_debian"])
def group(request, places):
    group = places.fresh(f"{request.param}-sentinel")
    yield group
    group.heal()


def test_it_is_one_primary_two_replicas_and_three_sentinels(group):
    assert group.primary.role == "primary"
    assert [node.role for node in group.replicas] == ["replica", "replica"]
    assert [each.role for each in group.sentinels] == ["sentinel"] * 3
    for each in group.sentinels:
        assert each.ask("SENTINEL", "CKQUORUM", group.service)


def test_its_url_names_the_sentinels_the_service_and_the_database(group):
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in group.sentinels)
    assert group.url(3) == f"redis+sentinel://{hosts}/main/3"
    assert group.url(user="a b", password="p/w") == (
        f"redis+sentinel://a%20b:p%2Fw@{hosts}/main/0"
    )


def test_an_operators_failover_loses_nothing(group):
    old = group.primary
    group.ask("SET", "a", 1)
    new = group.failover()
    assert new is not old
    assert group.primary is new
    assert old in group.replicas
    assert [node.follows(new) for node in group.replicas if node is not old] == [True]
    assert group.ask("GET", "a") == b"1"


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_a_primary_that_is_gone_is_replaced_and_all_of_it_heals(group, how):
    old = group.primary
    getattr(old, how)()
    new = group.await_primary_other_than(old)
    assert new is not old
    assert new.role == "primary"
    for each in group.sentinels:
        said = each.ask("SENTINEL GET-MASTER-ADDR-BY-NAME", group.service)
        assert int(said[1]) == new.port
    group.ask("SET", "a", 1)
    group.heal()
    assert [each for each in (*group.nodes, *group.sentinels) if not each.is_up] == []
    assert len(group.replicas) == 2
    assert group.keys() == []
    group.ask("SET", "b", 1)
    assert [node.ask("GET", "b") for node in group.nodes] == [b"1"] * 3


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_it_heals_from_the_loss_of_a_sentinel(group, how):
    getattr(group.sentinels[0], how)()
    assert group.primary.role == "primary"
    group.heal()
    assert group.failover().role == "primary"


@pytest.fixture(scope="module")
def certificates():
    made = Certificates()
    yield made
    made.close()


@pytest.mark.parametrize("inside", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("outside", [False, True], ids=["plain", "tls"])
def test_servers_and_sentinels_have_credentials_and_tls_of_their_own(
    certificates, inside, outside
):
    with chaos.Sentinel(
        "redis",
        replicas=1,
        password="of the servers",
        acl=["user app on >secret ~* &* +@all"],
        tls=certificates if inside else None,
        login=("app", "secret"),
        sentinel_password="of the sentinels",
        sentinel_tls=certificates if outside else None,
    ) as group:
        scheme = "rediss" if inside else "redis"
        assert group.url().startswith(f"{scheme}+sentinel://app:secret@127.0.0.1:")
        group.failover()
        trust = {"ssl_ca_certs": str(certificates.ca)}
        with redis.Redis.from_url(
            group.primary.url(), **(trust if inside else {})
        ) as client:
            assert client.set("a", 1)
        for sentinel in group.sentinels:
            with redis.Redis.from_url(
                sentinel.url(), **(trust if outside else {})
            ) as client:
                said = client.execute_command(
                    "SENTINEL GET-MASTER-ADDR-BY-NAME", group.service
                )
                assert int(said[1]) == group.primary.port
            with redis.Redis.from_url(
                sentinel.url(password="wrong"), **(trust if outside else {})
            ) as client:
                with pytest.raises(redis.AuthenticationError):
                    client.ping()
