"""A cluster: which server has which slot, by `CLUSTER SLOTS`.

A few servers are asked at once, and the one with the highest epoch whose cluster
is in a good state is believed. `CLUSTER SLOTS` is what every release has, names the
port that fits the connection (TLS or not), and leaves out replicas that have failed.

Source: the cluster specification, https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from redpony.commands import CLUSTER_INFO, CLUSTER_SLOTS
from redpony.errors import InvalidSetting, RedponyError, ServerError, Unavailable
from redpony.wire.config import Cluster, LinkConfig
from redpony.wire.topology.asking import ask_all, text
from redpony.wire.topology.nodes import Node, Nodes
from redpony.wire.topology.shape import Shape, Shard
from redpony.wire.topology.slots import SLOTS

ASKED = 4
"""How many servers are asked at a time."""


class Answer:
    """What one server says of the slots."""

    def __init__(self, node: Node, slots: list[Any], info: dict[str, str]) -> None:
        self.node = node
        self.slots = slots
        self.epoch = int(info.get("cluster_current_epoch", 0))
        self.rank = (
            info.get("cluster_state", "ok") == "ok",
            self.epoch,
            int(info.get("cluster_slots_ok", 0)),
        )
        """The higher, the sooner it is believed."""


class ClusterView:
    """Finds out which server has which slot."""

    restless = False
    epoch = 0

    def __init__(self, topology: Cluster, config: LinkConfig) -> None:
        reads = topology.read_from == "replica"
        self.nodes = Nodes(replace(config, readonly=reads), topology.remap)
        self._seeds = [self.nodes.given(each) for each in topology.seeds]
        self._last: tuple[list[Any], Shape] | None = None

    def first(self) -> Shape | None:
        return None

    def look(self, before: Shape | None) -> Shape:
        """Return the shape by what the servers say; raise if none of them answers."""
        known = [node for node in before.nodes if node.is_fit] if before else []
        random.shuffle(known)
        rounds = [known[:ASKED], known[ASKED : 3 * ASKED], self._rest(before)]
        failures: list[RedponyError] = []
        best: Answer | None = None
        for nodes in rounds:
            for answer in self._ask(nodes, failures):
                if best is None or answer.rank > best.rank:
                    best = answer
            # Those who have not heard yet what others knew already are not enough.
            if best is not None and best.epoch >= self.epoch:
                break
        if best is None:
            raise _nobody(failures, self._seeds)
        self.epoch = best.epoch
        return self._shape(best.node, best.slots)

    def _rest(self, before: Shape | None) -> list[Node]:
        seen = dict.fromkeys([*self._seeds, *(before.nodes if before else ())])
        return list(seen)

    def _ask(self, nodes: list[Node], failures: list[RedponyError]) -> list[Answer]:
        """Return what servers say of the slots, of those who know any."""
        found: list[Answer] = []
        questions = (CLUSTER_SLOTS(), CLUSTER_INFO())
        for node, (slots, info) in ask_all(nodes, questions) if nodes else ():
            assert isinstance(node, Node)
            if isinstance(slots, RedponyError):
                failures.append(slots)
            elif slots:
                found.append(Answer(node, slots, _lines(info)))
        return found

    def _shape(self, asked: Node, slots: list[Any]) -> Shape:
        last = self._last
        if last is not None and last[0] == slots and not last[1].patched:
            # Comparing replies costs less than making a table of 16384 slots.
            return last[1]
        shape = self._read(asked, slots)
        self._last = (slots, shape)
        return shape

    def _read(self, asked: Node, slots: list[Any]) -> Shape:
        replicas: dict[Node, list[Node]] = {}
        ranges: list[tuple[int, int, Node]] = []
        for start, end, *servers in slots:
            found = [self._node(asked, each) for each in servers]
            primary = found[0]
            ranges.append((int(start), int(end), primary))
            mine = replicas.setdefault(primary, [])
            mine += [node for node in found[1:] if node not in mine]
        shards = {node: Shard(node, others) for node, others in replicas.items()}
        table: list[Shard | None] = [None] * SLOTS
        for start, end, primary in ranges:
            table[start : end + 1] = [shards[primary]] * (end + 1 - start)
        return Shape(list(shards.values()), table)

    def _node(self, asked: Node, server: list[Any]) -> Node:
        host = text(server[0]) if server[0] else ""
        if host in ("", "?"):
            # It does not know its own address: it is where it was asked.
            host = str(getattr(asked.address, "host", ""))
        return self.nodes.at(host, int(server[1]))

    def ear(self) -> Any:
        return None

    def hear(self) -> bool:
        return False

    def deafen(self) -> None:
        pass

    def close(self) -> None:
        self.nodes.close()

    def reset_after_fork(self) -> None:
        self.nodes.reset_after_fork()


def _lines(info: Any) -> dict[str, str]:
    if isinstance(info, RedponyError):
        return {}
    pairs = (line.split(":", 1) for line in text(info).splitlines() if ":" in line)
    return {name: value.strip() for name, value in pairs}


def _nobody(failures: list[RedponyError], seeds: list[Node]) -> RedponyError:
    for each in failures:
        if isinstance(each, ServerError) and "cluster support disabled" in str(each):
            return InvalidSetting(
                "LOCATION names a cluster, and the server is not part of one; write "
                "redis:// for one server"
            )
        if isinstance(each, (InvalidSetting, ServerError)):
            return each
    places = ", ".join(str(each.address) for each in seeds)
    why = f"; the last error was: {failures[-1]}" if failures else ""
    return Unavailable(f"No server of the cluster answers ({places}){why}")
