"""Six local nodes: three primaries with a third of the keys each, and their replicas.

`redpony.testing.chaos` starts and ends them; they die with this process, whatever
kills it. What the page shows of roles and slots is what the nodes say themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from redis.exceptions import RedisError

from outage.nodes import Node, breakers
from redpony.testing.chaos import Cluster, Server, until

HURRY = 0.3
"""Seconds in which a node answers the page, or is left out of the picture."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the cluster knows of a node."""

    is_replica: bool
    follows: str
    epoch: int
    slots: tuple[str, ...]


class LocalCluster:
    """A cluster of this process' own, from `begin` to `end`."""

    engine = "cluster"

    def __init__(self) -> None:
        self._cluster = Cluster()

    @property
    def url(self) -> str:
        """What stands in LOCATION."""
        return self._cluster.url()

    def begin(self) -> None:
        self._cluster.start()

    def end(self) -> None:
        self._cluster.close()

    def look(self) -> list[Node]:
        known, breaker = self._known(), breakers()
        return [
            Node(
                number=number,
                name=f"Node {number}",
                place=f":{node.port}",
                state=_state(node),
                breaker=breaker.get(node.address, "closed"),
                role=self._role(known, node),
                duty=self._duty(known, node),
                can_fail_over=self._heir(known, node) is not None,
            )
            for number, node in self._numbered()
        ]

    def do(self, verb: str, number: int) -> None:
        node = dict(self._numbered())[number]
        verbs = {
            "pause": node.pause,
            "continue": node.resume,
            "kill": node.kill,
            "start": lambda: _start(node),
            "failover": lambda: self._fail_over(node),
        }
        verbs[verb]()

    def freeze(self) -> None:
        for _, node in self._numbered():
            if node.is_up:
                node.pause()

    def thaw(self) -> None:
        for _, node in self._numbered():
            if node.is_paused:
                node.resume()

    def stands(self) -> str:
        up = [node.is_up for _, node in self._numbered()]
        return "on" if all(up) else "part" if any(up) else "off"

    def name_of(self, node: str) -> str:
        # A node of the wire's events has a database number; a cluster's is 0.
        address = node.partition("/")[0]
        for number, each in self._numbered():
            if each.address == address:
                return f"node {number}"
        return node

    def _numbered(self) -> list[tuple[int, Server]]:
        return list(enumerate(self._cluster.nodes, start=1))

    # -- who is what --------------------------------------------------------

    def _known(self) -> dict[str, Known]:
        """Return what the node says, by id, that heard of the latest change."""
        views = []
        for _, node in self._numbered():
            if node.is_up:
                try:
                    views.append(_asked(node))
                except RedisError:
                    continue  # paused or killed just now
        return max(views, key=_latest, default={})

    def _of(self, known: dict[str, Known], node: Server) -> Known | None:
        return known.get(self._cluster.id_of(node))

    def _role(self, known: dict[str, Known], node: Server) -> str:
        found = self._of(known, node)
        if found is None:
            return ""
        if found.is_replica:
            return "replica"
        return "primary" if found.slots else "replaced"

    def _duty(self, known: dict[str, Known], node: Server) -> str:
        found = self._of(known, node)
        if found is None:
            return ""
        if not found.is_replica:
            return "slots " + ", ".join(found.slots) if found.slots else "no slots"
        for number, each in self._numbered():
            if self._cluster.id_of(each) == found.follows:
                return f"copies node {number}"
        return ""

    def _heir(self, known: dict[str, Known], node: Server) -> Server | None:
        """Return the replica that could take over from a primary that runs."""
        if not node.is_up or self._role(known, node) != "primary":
            return None
        for _, each in self._numbered():
            found = self._of(known, each)
            if found and found.follows == self._cluster.id_of(node) and each.is_up:
                return each
        return None

    def _fail_over(self, node: Server) -> None:
        replica = self._heir(self._known(), node)
        if replica is None:
            raise RuntimeError("there is no replica that could take over")
        replica.ask("CLUSTER", "FAILOVER")
        until(lambda: replica.role == "primary", "the replica leads", within=3)


def _start(node: Server) -> None:
    if not node.is_running:
        node.kill()  # forgets a process that ended by itself
        node.start()


def _state(node: Server) -> str:
    if not node.is_running:
        return "gone"
    return "running" if node.is_up else "paused"


def _latest(known: dict[str, Known]) -> tuple[int, int]:
    # Of those who have heard of an election some may not know yet who follows now.
    replicas = sum(each.is_replica for each in known.values())
    return max(each.epoch for each in known.values()), replicas


def _asked(node: Server) -> dict[str, Known]:
    with node.connect(socket_timeout=HURRY) as client:
        lines = client.execute_command("CLUSTER", "NODES").decode().splitlines()
    known = {}
    for line in lines:
        id, _, flags, follows, _, _, epoch, _, *slots = line.split()
        known[id] = Known(
            "slave" in flags.split(","),
            follows,
            int(epoch),
            tuple(each.replace("-", "–") for each in slots if each[0] != "["),
        )
    return known
