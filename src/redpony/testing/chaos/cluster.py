"""A cluster of real servers that can lose nodes, fail over and be resharded."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from typing import Any

import redis

from redpony.testing.chaos.clients import ClusterClient
from redpony.testing.chaos.group import Group
from redpony.testing.chaos.migration import Carrier, Migration
from redpony.testing.chaos.process import until
from redpony.testing.chaos.programs import free_port
from redpony.testing.chaos.server import HARNESS, Server
from redpony.testing.chaos.views import View, owner_of
from redpony.wire.topology.slots import SLOTS, slot_of


class Cluster(Group):
    """`primaries` primaries with `replicas` replicas each; a context manager.

    The first of `nodes` are the primaries, then come their replicas, in the same
    order. A node that has been silent for `node_timeout_ms` is replaced.
    """

    def __init__(
        self,
        flavour: str = "valkey",
        primaries: int = 3,
        replicas: int = 1,
        node_timeout_ms: int = 1000,
        **options: Any,
    ) -> None:
        super().__init__(flavour, **options)
        self._count = primaries
        self.nodes = [
            Server(
                flavour,
                settings=[
                    "cluster-enabled yes",
                    "cluster-config-file nodes.conf",
                    f"cluster-port {free_port()}",
                    f"cluster-node-timeout {node_timeout_ms}",
                    "cluster-announce-ip 127.0.0.1",
                    # A replica stays with its primary: the shape is the test's.
                    "cluster-allow-replica-migration no",
                    f"tls-cluster {'yes' if self.certificates else 'no'}",
                    *self._settings,
                ],
                **self._given,
            )
            for _ in range(primaries * (1 + replicas))
        ]
        self._ids: dict[Server, str] = {}
        self._shape: object = None

    # -- who is what --------------------------------------------------------

    @property
    def primaries(self) -> list[Server]:
        """The nodes that are primaries with slots, in the order of `nodes`."""
        views = self._views()
        owners = {owner_of(slot, views) for slot in _borders(views)}
        return [node for node in self.nodes if self._ids[node] in owners]

    @property
    def replicas(self) -> list[Server]:
        """The nodes that are not among the primaries."""
        primaries = self.primaries
        return [node for node in self.nodes if node not in primaries]

    def replicas_of(self, primary: Server) -> list[Server]:
        """Return the nodes that follow one, by what they say themselves."""
        views = self._views()
        return [
            node
            for node in self.nodes
            if node is not primary
            and self._ids[node] in views
            and views[self._ids[node]].myself.primary == self._ids[primary]
        ]

    @staticmethod
    def slot_of(key: str | bytes) -> int:
        """Return the slot of a key, 0 to 16383."""
        return slot_of(key)

    def node_for(self, key: str | bytes | int) -> Server:
        """Return the primary in charge of a key, or of a slot."""
        slot = key if isinstance(key, int) else slot_of(key)
        owner = owner_of(slot, self._views())
        for node in self.nodes:
            if self._ids[node] == owner:
                return node
        raise RuntimeError(f"Nobody in {self!r} is in charge of slot {slot}.")

    def id_of(self, node: Server) -> str:
        """Return the id that the cluster knows a node by."""
        return self._ids[node]

    def slots(self, node: Server) -> list[int]:
        """Return the slots that a node is in charge of, in order."""
        views = self._views()
        return [
            slot for slot in range(SLOTS) if owner_of(slot, views) == self._ids[node]
        ]

    # -- what tests use -----------------------------------------------------

    def url(
        self, db: int = 0, *, user: str | None = None, password: str | None = None
    ) -> str:
        """Return what stands in LOCATION: all nodes. A cluster has database 0 alone."""
        scheme = "rediss" if self.certificates else "redis"
        first = self.nodes[0].url(user=user, password=password).partition("://")[2]
        credentials, at, _ = first.rpartition("@")
        hosts = ",".join(node.address for node in self.nodes)
        return f"{scheme}+cluster://{credentials}{at}{hosts}"

    def client(self, **options: Any) -> redis.RedisCluster:
        """Return redis-py's cluster client of the harness user; closed with the group.

        What a command of it has written is on the replicas when it returns (what
        a pipeline has, after `settled()`).
        """
        user, password = HARNESS
        if self.certificates:
            options.update(ssl=True, ssl_ca_certs=str(self.certificates.ca))
        first = self._up[0]
        client = ClusterClient(
            host=first.host,
            port=first.port,
            username=user,
            password=password,
            **options,
        )
        client.settle = self._settle
        self._clients.append(client)
        return client

    def ask(self, *words: Any) -> Any:
        """Return redis-py's answer to one command of the node in charge of its key.

        A command without a key is the first primary's that is up. What it has
        written is on the replicas, too.
        """
        with self._up[0].connect() as client:
            try:
                keys = client.execute_command("COMMAND GETKEYS", *words)
            except redis.ResponseError:
                keys = []
        if keys:
            node = self.node_for(keys[0])
        else:
            node = next(each for each in self.primaries if each.is_up)
        answer = node.ask(*words)
        self._settle(str(words[0]))
        return answer

    # -- trouble ------------------------------------------------------------

    def kill(self, node: Server) -> None:
        """Kill a node's process."""
        node.kill()

    def failover(self, node: Server) -> Server:
        """Have a primary and a replica of it change places, and return the new primary.

        `node` is either of the two. A primary that is not up is replaced by force.
        Returns when all nodes that are up agree.
        """
        said = self._views()
        own = said.get(self._ids[node])
        if own is not None and own.myself.primary is not None:
            replica = node
            primary = self._node(own.myself.primary)
        else:
            primary = node
            up = [each for each in self.replicas_of(node) if each.is_up]
            if not up:
                raise RuntimeError(f"{node!r} has no replica that is up")
            replica = up[0]
        how = () if primary.is_up else ("FORCE",)
        until(
            lambda: self._link_is_up(replica) or how,
            f"{replica!r} is in sync",
        )
        replica.ask("CLUSTER", "FAILOVER", *how)
        until(lambda: replica.role == "primary", f"{replica!r} is a primary")
        if primary.is_up:
            until(lambda: primary.role == "replica", f"{primary!r} is a replica")
        self.await_agreement()
        return replica

    def move_slot(self, slot: int, target: Server) -> None:
        """Move a slot with its keys to another primary, while clients go on.

        Returns when all nodes that are up know.
        """
        self._move([slot], self.node_for(slot), target)

    def reshard(self, count: int, source: Server, target: Server) -> list[int]:
        """Move the first `count` slots of one primary to another; return them.

        Live, slot by slot, as `redis-cli --cluster reshard` does. Returns when all
        nodes that are up know.
        """
        slots = self.slots(source)[:count]
        self._move(slots, source, target)
        return slots

    @contextlib.contextmanager
    def migrating(self, slot: int, target: Server) -> Generator[Migration]:
        """Hold a slot half way between its primary and another one.

        Within the block keys move by `Migration.move` alone: the source answers
        ASK for a key that it does not have, and either answers TRYAGAIN when a
        command names keys on both sides. After it the slot is back, with its
        keys, unless `Migration.finish` was called.
        """
        with self._open(self.node_for(slot), target) as carrier:
            migration = Migration(carrier, slot)
            migration.begin()
            try:
                yield migration
            finally:
                migration.end()

    # -- waiting ------------------------------------------------------------

    def await_agreement(self) -> None:
        """Return when all nodes that are up tell the same, and replicas are in sync."""
        until(self._agree, f"the nodes of {self!r} agree", 60)

    def await_sync(self) -> None:
        """Return when the replicas that are up are in sync with their primaries."""
        self.await_agreement()
        self.settled()

    # -- parts --------------------------------------------------------------

    def _node(self, id: str) -> Server:
        return next(node for node in self.nodes if self._ids[node] == id)

    def _views(self) -> dict[str, View]:
        """Return what each node that is up says of all, by the node's id."""
        views: dict[str, View] = {}
        for node in self._up:
            with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
                view = View.of(self._kept(node))
                views[view.myself.id] = view
        if not views:
            raise RuntimeError(f"No node of {self!r} is up.")
        return views

    def _agree(self) -> bool:
        views = self._views()
        shapes = {view.shape for view in views.values()}
        states = {view.state for view in views.values()}
        return (
            len(shapes) == 1
            and states == {"ok"}
            and all(
                self._link_is_up(self._node(id))
                for id, view in views.items()
                if view.myself.primary in views
            )
        )

    def _link_is_up(self, replica: Server) -> bool:
        return self._replication(replica).get("master_link_status") == "up"

    def _move(self, slots: Sequence[int], source: Server, target: Server) -> None:
        if source is target:
            return
        with self._open(source, target) as carrier:
            for slot in slots:
                migration = Migration(carrier, slot)
                migration.begin()
                migration.finish()
        self.await_agreement()

    @contextlib.contextmanager
    def _open(self, source: Server, target: Server) -> Generator[Carrier]:
        with contextlib.ExitStack() as stack:
            clients = {
                node: stack.enter_context(node.connect())
                for node in (target, source, *self.primaries)
                if node.is_up
            }
            yield Carrier(source, target, clients, self._ids)

    def _form(self) -> None:
        primaries, replicas = self.nodes[: self._count], self.nodes[self._count :]
        self._ids = {node: node.ask("CLUSTER", "MYID").decode() for node in self.nodes}
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        bounds = [SLOTS * number // self._count for number in range(self._count + 1)]
        for number, node in enumerate(primaries):
            node.ask("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        for number, node in enumerate(self.nodes):
            for other in self.nodes[number + 1 :]:
                bus = next(
                    line.split()[1]
                    for line in other.settings
                    if line.startswith("cluster-port ")
                )
                node.ask("CLUSTER", "MEET", other.host, other.port, bus)
        everybody = set(self._ids.values())
        until(
            lambda: all(
                set(view.known) == everybody for view in self._views().values()
            ),
            f"the nodes of {self!r} have met",
        )
        for number, replica in enumerate(replicas):
            primary = primaries[number % self._count]
            replica.ask("CLUSTER", "REPLICATE", self._ids[primary])
        until(
            lambda: all(
                self.replicas_of(primary) or not replicas for primary in primaries
            ),
            f"the replicas of {self!r} have a primary",
        )
        self.await_agreement()
        self._shape = self._views()[self._ids[self.nodes[0]]].shape

    def _stands(self) -> bool:
        views = self._views()
        return (
            not any(view.is_open for view in views.values())
            and {view.shape for view in views.values()} == {self._shape}
            and self._agree()
        )


def _borders(views: dict[str, View]) -> set[int]:
    """Return slots such that every owner of any slot owns one of these."""
    return {
        start
        for view in views.values()
        for node in view.known.values()
        for start, _ in node.slots
    }
