"""Topologies for the wire's tests: real ones, and links to them in either colour.

`replication`, `sentinel` and `cluster` are the run's own, whole and without data when
a test begins: of one flavour in the one colour, and of the other in the other; where
`@pytest.mark.flavour("valkey")` names flavours, of those in both. `topo` makes links
to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from redpony.wire.config import (
    Cluster,
    Elsewhere,
    LinkConfig,
    Replicated,
    Sentinels,
    Tcp,
)
from tests import servers
from tests.colours import Colour
from tests.places import SINGLE, Places
from tests.wire.topology.topologies import Topo

MakeTopo = Callable[..., Topo]
COLOURS = ("sync", "async")
FORMS = {"replication": "replicated", "sentinel": "sentinel", "cluster": "cluster"}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "flavour(*names): on these flavours alone")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    definition = metafunc.definition
    marked = definition.get_closest_marker("flavour")
    wanted = set(metafunc.fixturenames)
    given = {mark.args[0] for mark in definition.iter_markers("parametrize")}
    free = "colour" in wanted and "colour" not in given
    for name in FORMS.keys() & wanted:
        if free and not marked:
            pairs = list(zip(SINGLE, COLOURS, strict=True))
            metafunc.parametrize([name, "colour"], pairs, indirect=True)
            free = False
        else:
            flavours = marked.args if marked else SINGLE
            metafunc.parametrize(name, flavours, indirect=True)
    if free:
        metafunc.parametrize("colour", COLOURS, indirect=True)


@pytest.fixture
def colour(request: pytest.FixtureRequest) -> Iterator[Colour]:
    """Run the test in one colour; `pytest_generate_tests` says in which."""
    with Colour(request.param) as colour:
        yield colour


def _place(name: str) -> Any:
    @pytest.fixture(name=name)
    def place(request: pytest.FixtureRequest, places: Places) -> Any:
        return places.fresh(f"{request.param}-{FORMS[name]}")

    return place


replication = _place("replication")
sentinel = _place("sentinel")
cluster = _place("cluster")


@pytest.fixture
def topo(colour: Colour) -> Iterator[MakeTopo]:
    """Return a function that makes a link to a topology.

    `topo(cluster, deadline=5)`: what a topology takes (`read_from`, `refresh` ...)
    goes there, the rest to the servers' configuration. Deadlines are generous unless
    given: a busy machine must not decide a test.
    """
    made: list[Topo] = []

    def make(handle: Any, **given: Any) -> Topo:
        names = ("read_from", "read_your_writes", "remap", "refresh")
        about = {name: given.pop(name) for name in names if name in given}
        addresses = given.pop("at", None)
        config = {"deadline": 5.0, "connect_timeout": 5.0, **given}
        if isinstance(handle, servers.Cluster):
            seeds = tuple(addresses or map(tcp, handle.nodes))
            first = LinkConfig(address=seeds[0], **config)
            topology: Any = Cluster(seeds=seeds, **about)
        elif isinstance(handle, servers.Sentinel):
            first = LinkConfig(address=Elsewhere(handle.service), **config)
            sentinels = tuple(
                LinkConfig(address=each, connect_timeout=config["connect_timeout"])
                for each in addresses or map(tcp, handle.sentinels)
            )
            topology = Sentinels(service=handle.service, sentinels=sentinels, **about)
        else:
            nodes = tuple(
                LinkConfig(address=each, **config)
                for each in addresses or map(tcp, handle.nodes)
            )
            first, topology = nodes[0], Replicated(nodes=nodes, **about)
        made.append(Topo.to(colour, first, topology))
        return made[-1]

    yield make
    for each in made:
        each.close()


def tcp(server: Any) -> Tcp:
    return Tcp(server.host, server.port)
