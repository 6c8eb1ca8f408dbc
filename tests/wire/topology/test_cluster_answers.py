"""Servers of a cluster that do not say the same: which one is believed."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence

import pytest

from redpony.wire.config import Cluster as ClusterTopology
from redpony.wire.config import LinkConfig, Tcp
from tests.colours import Colour
from tests.hostile import HELLO, FakeServer, Peer
from tests.wire.topology.topologies import Topo

ONE_COLOUR = pytest.mark.parametrize("colour", ["sync"], indirect=True)


class Says:
    """What a made-up server of a cluster says: who has which part of the slots."""

    def __init__(self, epoch: int, state: str, ports: Sequence[int]) -> None:
        self.epoch = epoch
        self.state = state
        self.ports = ports

    def __call__(self, peer: Peer) -> None:
        command = peer.greet(HELLO.replace(b"standalone", b"cluster"))
        while True:
            name = b" ".join(command[:2]).upper()
            peer.send(self._slots() if name == b"CLUSTER SLOTS" else self._info())
            command = peer.read()

    def _slots(self) -> bytes:
        count = len(self.ports)
        edges = [16384 * number // count for number in range(count + 1)]
        parts = [
            b"*3\r\n:%d\r\n:%d\r\n*3\r\n$9\r\n127.0.0.1\r\n:%d\r\n$2\r\nid\r\n"
            % (start, end - 1, port)
            for (start, end), port in zip(
                itertools.pairwise(edges), self.ports, strict=True
            )
        ]
        return b"*%d\r\n" % count + b"".join(parts)

    def _info(self) -> bytes:
        lines = (f"cluster_state:{self.state}", f"cluster_current_epoch:{self.epoch}")
        text = "".join(f"{line}\r\n" for line in lines).encode()
        return b"$%d\r\n%b\r\n" % (len(text), text)


def made_up(stack: contextlib.ExitStack, colour: Colour, said: list[Says]) -> Topo:
    """Return a link to made-up servers, all of which are its seeds."""
    fakes = [stack.enter_context(FakeServer(each)) for each in said]
    seeds = tuple(Tcp(each.host, each.port) for each in fakes)
    link = Topo.to(colour, LinkConfig(address=seeds[0]), ClusterTopology(seeds=seeds))
    stack.callback(link.close)
    return link


@ONE_COLOUR
def test_of_what_several_say_the_newest_is_believed(colour: Colour) -> None:
    with contextlib.ExitStack() as stack:
        said = [(3, "ok", 1), (7, "ok", 2), (9, "fail", 3), (5, "ok", 4)]
        link = made_up(stack, colour, [Says(*each, [port]) for *each, port in said])
        assert link.look() is None
        assert link.ports["primaries"] == [2]


@ONE_COLOUR
def test_what_was_known_is_not_given_up_for_what_is_older(colour: Colour) -> None:
    """A few are asked at a time, and those may not have heard of it."""
    with contextlib.ExitStack() as stack:
        said = [Says(5, "ok", []) for _ in range(9)]
        link = made_up(stack, colour, said)
        ports = [each.port for each in link.link.topology.seeds]
        for each in said:
            each.ports = ports
        assert link.look() is None
        assert link.ports["primaries"] == ports
        said[0].epoch, said[0].ports = 9, ports[::-1]
        for _ in range(200):
            assert link.look() is None
            if link.ports["primaries"] == ports[::-1]:
                break
        for _ in range(30):
            assert link.look() is None
            assert link.ports["primaries"] == ports[::-1]
        # A cluster that was made anew counts from the beginning.
        said[0].epoch, said[0].ports = 1, ports
        for each in said:
            each.epoch = 1
        assert link.look() is None
        assert link.ports["primaries"] == ports
