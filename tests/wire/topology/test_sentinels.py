"""A primary that sentinels name: found, followed, and never mistaken for long."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from redpony.commands import GET, SET
from redpony.errors import Unavailable
from redpony.testing.chaos import Proxies
from redpony.wire.config import Elsewhere, LinkConfig, Secret, Sentinels, Tcp
from tests.colours import Colour
from tests.hostile import HELLO, FakeServer, Peer
from tests.servers import Sentinel, free_port
from tests.wire.links import INCR, until
from tests.wire.topology.conftest import MakeTopo, tcp
from tests.wire.topology.topologies import Topo

ONE_COLOUR = pytest.mark.parametrize("colour", ["sync"], indirect=True)
"""For what is the watcher's work alone."""

REPLICAS = {"read_from": "replica", "read_your_writes": 0.0}


def test_the_primary_and_its_replicas_are_found(
    sentinel: Sentinel, topo: MakeTopo
) -> None:
    link = topo(sentinel)
    assert link.ask(SET(b"k", b"v")) == b"OK"
    assert link.ports == {
        "primaries": [sentinel.primary.port],
        "replicas": sorted(node.port for node in sentinel.replicas),
    }


def test_replicas_are_read_from(sentinel: Sentinel, topo: MakeTopo) -> None:
    link = topo(sentinel, **REPLICAS)
    link.ask(SET(b"k", b"v"))
    sentinel.settled()
    with sentinel.primary.counting() as counted:
        assert [link.ask(GET(b"k")) for _ in range(8)] == [b"v"] * 8
    assert counted.commands["get"] == 0


@pytest.mark.flavour("redis_debian", "valkey")
def test_a_failover_is_followed_by_the_next_write(
    sentinel: Sentinel, topo: MakeTopo
) -> None:
    link = topo(sentinel)
    assert link.ask(INCR(b"n")) == 1
    sentinel.settled()
    old = sentinel.primary
    new = sentinel.failover()
    assert link.until_answered(INCR(b"n")) == 2
    assert new.ask("GET", "n") == b"2"
    assert link.ports["primaries"] == [new.port]
    until(lambda: old.port in link.ports["replicas"])


@pytest.mark.flavour("redis_debian")
@ONE_COLOUR
def test_a_failover_is_noticed_by_push_though_nobody_asks_for_anything(
    sentinel: Sentinel, topo: MakeTopo
) -> None:
    link = topo(sentinel, refresh=3600.0)
    assert link.ask(INCR(b"n")) == 1
    new = sentinel.failover()
    until(lambda: link.ports["primaries"] == [new.port])


@pytest.mark.flavour("valkey")
@ONE_COLOUR
def test_all_sentinels_are_listened_to_and_those_that_come_back(
    sentinel: Sentinel, topo: MakeTopo
) -> None:
    link = topo(sentinel, refresh=3600.0)
    assert link.ask(INCR(b"n")) == 1
    gone = sentinel.sentinels[0]
    all_ports = {each.port for each in sentinel.sentinels}
    until(lambda: listened_to(link) == all_ports)
    gone.kill()
    until(lambda: listened_to(link) == all_ports - {gone.port})
    new = sentinel.failover()
    until(lambda: link.ports["primaries"] == [new.port])
    gone.launch()
    gone.await_answer()
    # It is left alone for a moment after it failed; then the next look meets it.
    until(lambda: link.look() is None and listened_to(link) == all_ports)


def listened_to(link: Topo) -> set[int]:
    return {each.config.address.port for each in link.link.view._ears.links}


@pytest.mark.flavour("redis_debian")
def test_a_primary_that_dies_is_replaced(sentinel: Sentinel, topo: MakeTopo) -> None:
    link = topo(sentinel)
    assert link.ask(INCR(b"n")) == 1
    sentinel.settled()
    old = sentinel.primary
    old.kill()
    assert link.until_answered(INCR(b"n")) == 2
    new = sentinel.await_primary_other_than(old)
    assert new.ask("GET", "n") == b"2"
    # The old one comes back as it was: as a primary, until it is told.
    old.start()
    assert [link.until_answered(INCR(b"n")) for _ in range(3)] == [3, 4, 5]
    assert new.ask("GET", "n") == b"5"


# -- sentinels that are of no use -------------------------------------------------


@pytest.mark.flavour("valkey")
@pytest.mark.parametrize("how", ["kill", "pause"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_sentinel_that_is_down_or_hangs_delays_nobody(
    how: str, which: int, sentinel: Sentinel, topo: MakeTopo
) -> None:
    getattr(sentinel.sentinels[which], how)()
    # The first answer has to come within CONNECT_TIMEOUT, and that is how long it
    # takes to find that a sentinel hangs.
    link = topo(sentinel, deadline=2.0, connect_timeout=2.0)
    with _impatient_asking():
        assert link.ask(SET(b"k", b"v")) == b"OK"
    assert link.ports["primaries"] == [sentinel.primary.port]


@contextlib.contextmanager
def _impatient_asking() -> Iterator[None]:
    """Let a server that hangs have more time than anybody here may take."""
    from redpony.wire.topology import asking

    before = asking.PATIENCE
    asking.PATIENCE = 30.0
    try:
        yield
    finally:
        asking.PATIENCE = before


@pytest.mark.flavour("valkey")
@ONE_COLOUR
def test_sentinels_that_location_does_not_name_are_met(
    sentinel: Sentinel, topo: MakeTopo
) -> None:
    first, *others = sentinel.sentinels
    link = topo(sentinel, at=[tcp(first)])
    assert link.ask(SET(b"k", b"v")) == b"OK"
    known = {each.config.address.port for each in link.link.view.sentinels}
    assert known == {each.port for each in sentinel.sentinels}
    first.kill()
    new = sentinel.failover()
    assert link.until_answered(INCR(b"n")) == 1
    assert new.ask("GET", "n") == b"1"
    assert others


@pytest.mark.flavour("valkey")
@ONE_COLOUR
def test_with_all_sentinels_down_what_was_known_is_gone_by(
    sentinel: Sentinel, topo: MakeTopo
) -> None:
    link = topo(sentinel)
    assert link.ask(INCR(b"n")) == 1
    for each in sentinel.sentinels:
        each.kill()
    assert [link.ask(INCR(b"n")) for _ in range(3)] == [2, 3, 4]
    assert isinstance(link.look(), Unavailable)
    assert link.ask(INCR(b"n")) == 5


@pytest.mark.flavour("valkey")
def test_with_all_sentinels_down_from_the_start_the_error_names_them(
    topo: MakeTopo, sentinel: Sentinel
) -> None:
    places = [Tcp("127.0.0.1", free_port()) for _ in range(3)]
    link = topo(sentinel, at=places)
    for command in (GET(b"k"), SET(b"k", b"v")):
        met = link.meet(command)
        assert isinstance(met, Unavailable)
        assert met.outcome == "not_sent"
        assert '"main"' in str(met)
        for place in places:
            assert str(place) in str(met)


@pytest.mark.flavour("valkey")
def test_a_service_that_nobody_watches_is_an_error_that_names_it(
    sentinel: Sentinel, colour: Colour
) -> None:
    sentinels = tuple(LinkConfig(address=tcp(each)) for each in sentinel.sentinels)
    link = Topo.to(
        colour,
        LinkConfig(address=Elsewhere("mian"), connect_timeout=5.0),
        Sentinels(service="mian", sentinels=sentinels),
    )
    met = link.meet(GET(b"k"))
    assert isinstance(met, Unavailable)
    assert '"mian"' in str(met)
    assert "sentinel monitor" in str(met)
    link.close()


@ONE_COLOUR
def test_sentinels_have_credentials_and_tls_of_their_own(colour: Colour) -> None:
    from tests.servers import Certificates

    certificates = Certificates()
    with Sentinel(
        "redis",
        password="the servers' own",
        sentinel_password="the sentinels' own",
        sentinel_tls=certificates,
        replicas=1,
        sentinels=1,
    ) as guarded:
        from redpony.wire.config import Tls

        servers = LinkConfig(
            address=Elsewhere("main"),
            password=Secret("the servers' own"),
            connect_timeout=5.0,
            deadline=5.0,
        )
        tls = Tls(ca_file=str(certificates.ca))
        sentinels = LinkConfig(
            address=tcp(guarded.sentinels[0]),
            password=Secret("the sentinels' own"),
            tls=tls,
            connect_timeout=5.0,
        )
        link = Topo.to(
            colour, servers, Sentinels(service="main", sentinels=(sentinels,))
        )
        assert link.ask(SET(b"k", b"v")) == b"OK"
        # The news come over TLS, too.
        assert link.link.view._ears.links
        link.close()
        wrong = LinkConfig(
            address=tcp(guarded.sentinels[0]), tls=tls, password=Secret("wrong")
        )
        link = Topo.to(colour, servers, Sentinels(service="main", sentinels=(wrong,)))
        met = link.meet(GET(b"k"))
        assert isinstance(met, Unavailable)
        assert "credentials" in str(met)
        link.close()
    certificates.close()


# -- behind addresses of its own ----------------------------------------------------


@pytest.mark.flavour("valkey")
def test_addresses_that_reach_nobody_are_mapped_to_those_that_do(
    sentinel: Sentinel, topo: MakeTopo
) -> None:
    with Proxies([*sentinel.nodes, *sentinel.sentinels]) as proxies:
        seeds = [proxies[each].address for each in sentinel.sentinels]
        link = topo(sentinel, at=seeds, remap=proxies.remap, **REPLICAS)
        assert link.ask(SET(b"k", b"v")) == b"OK"
        sentinel.settled()
        assert link.ask(GET(b"k")) == b"v"
        ports = {each.port for each in proxies}
        assert {*link.ports["primaries"], *link.ports["replicas"]} < ports
        known = {each.config.address.port for each in link.link.view.sentinels}
        assert known == {proxies[each].port for each in sentinel.sentinels}
        new = sentinel.failover()
        until(lambda: link.ports["primaries"] == [proxies[new].port])
        assert link.until_answered(INCR(b"n")) == 1
        link.close()


# -- sentinels that are made up -----------------------------------------------------


def says(epoch: int, port: int, replicas: tuple[int, ...] = ()) -> Any:
    """Return a sentinel that names a primary, with an epoch."""

    def bulk(text: Any) -> bytes:
        data = str(text).encode()
        return b"$%d\r\n%b\r\n" % (len(data), data)

    def fields(**said: Any) -> bytes:
        words = [bulk(each) for pair in said.items() for each in pair]
        return b"*%d\r\n" % len(words) + b"".join(words)

    def script(peer: Peer) -> None:
        command = peer.greet(HELLO.replace(b"master", b"sentinel"))
        while True:
            kind = command[1].upper() if len(command) > 1 else command[0].upper()
            if kind == b"MASTER":
                # With dashes, as the servers have it.
                said = {"name": "main", "ip": "127.0.0.1", "port": port}
                peer.send(fields(**said, **{"config-epoch": epoch}))
            elif kind == b"GET-MASTER-ADDR-BY-NAME":
                peer.send(b"*2\r\n" + bulk("127.0.0.1") + bulk(port))
            elif kind == b"REPLICAS":
                each = [
                    fields(ip="127.0.0.1", port=one, flags="slave") for one in replicas
                ]
                peer.send(b"*%d\r\n" % len(each) + b"".join(each))
            elif kind == b"SENTINELS":
                peer.send(b"*0\r\n")
            else:
                peer.send(b"-ERR not here\r\n")
            command = peer.read()

    return script


@pytest.mark.parametrize("order", [0, 1, 2])
@ONE_COLOUR
def test_the_newest_epoch_is_believed(
    order: int, colour: Colour, cold_server: Any
) -> None:
    server = cold_server()
    nobody = free_port()
    epochs = [(3, nobody), (7, server.port), (5, nobody)]
    epochs = epochs[order:] + epochs[:order]
    with contextlib.ExitStack() as stack:
        fakes = [stack.enter_context(FakeServer(says(*each))) for each in epochs]
        config = LinkConfig(
            address=Elsewhere("main"), connect_timeout=5.0, deadline=5.0
        )
        sentinels = tuple(LinkConfig(address=Tcp(f.host, f.port)) for f in fakes)
        link = Topo.to(colour, config, Sentinels(service="main", sentinels=sentinels))
        assert link.ask(SET(b"k", b"v")) == b"OK"
        assert link.ports["primaries"] == [server.port]
        link.close()


def test_a_primary_that_is_none_any_more_is_not_written_to(
    colour: Colour, cold_server: Any
) -> None:
    # All sentinels name it; it knows better.
    server, follower = cold_server(), cold_server()
    follower.follow(server)
    follower.await_sync()
    with FakeServer(says(1, follower.port)) as fake:
        config = LinkConfig(
            address=Elsewhere("main"), connect_timeout=5.0, deadline=5.0
        )
        sentinels = (LinkConfig(address=Tcp(fake.host, fake.port)),)
        link = Topo.to(colour, config, Sentinels(service="main", sentinels=sentinels))
        met = link.meet(SET(b"k", b"v"))
        assert isinstance(met, Unavailable)
        assert met.outcome == "not_sent"
        assert "is a replica now" in str(met)
        link.close()
