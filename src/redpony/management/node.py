"""What servers say of themselves: two commands each, PING and INFO."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Final

import redis
from redis.exceptions import NoPermissionError

from redpony import embedded
from redpony.clients import single
from redpony.conf import AliasConfig
from redpony.connections import link_for
from redpony.errors import InvalidSetting, RedponyError
from redpony.wire.config import LinkConfig, Sentinels
from redpony.wire.topology.link import TopologyLink
from redpony.wire.topology.shape import Shape, Shard
from redpony.wire.topology.slots import SLOTS

OLDEST: Final = (6, 2)

_ROLES: Final = {"master": "primary", "slave": "replica"}


@dataclass(frozen=True, slots=True)
class Node:
    """A server as it was a moment ago.

    `reason` is empty if it answered. `idle` is the embedded server when nobody
    uses it. What it would not tell is None. `slots` is how many a cluster's primary
    has; `behind` is how many bytes a replica lacks, None where its link is down;
    `others` is how many sentinels a sentinel knows, itself included. `waits` is whether
    it refuses writes while too few replicas follow it (`min-replicas-to-write`).
    """

    address: str
    reason: str = ""
    idle: bool = False
    name: str = ""
    version: str = ""
    mode: str = ""
    role: str = ""
    ping: float | None = None
    memory: int | None = None
    limit: int | None = None
    policy: str | None = None
    hits: int | None = None
    misses: int | None = None
    connections: int | None = None
    offset: int | None = None
    linked: bool = True
    behind: int | None = None
    slots: int | None = None
    others: int | None = None
    waits: bool = False

    @property
    def hit_ratio(self) -> float | None:
        """Hits of all reads of the whole server, from 0 to 1."""
        if self.hits is None or self.misses is None or not self.hits + self.misses:
            return None
        return self.hits / (self.hits + self.misses)

    @property
    def too_old(self) -> bool:
        """Whether Redpony needs a later server."""
        numbers = tuple(
            int(each) for each in self.version.split(".")[:2] if each.isdigit()
        )
        return self.name == "redis" and bool(numbers) and numbers < OLDEST

    @property
    def standing(self) -> str:
        """What it is among the others; empty for a server that stands alone."""
        if self.role == "sentinel":
            return "" if self.others is None else f"one of {self.others}"
        if self.slots is not None:
            return f"{self.slots} slots"
        if self.role != "replica" or self.reason:
            return ""
        if not self.linked:
            return "cut off from its primary"
        return "" if self.behind is None else f"{self.behind} bytes behind"


@dataclass(frozen=True, slots=True)
class Survey:
    """The servers of an alias, and what is wrong with all of them together."""

    nodes: list[Node]
    faults: list[str] = field(default_factory=list[str])


def survey(config: AliasConfig) -> Survey:
    """Ask every server of an alias; an embedded one is not started for it."""
    link = config.link
    if config.topology is not None:
        return _several(config)
    if isinstance(link.address, embedded.Embedded):
        try:
            running = embedded.status(link.address).running
        except (RedponyError, OSError) as error:
            return Survey([Node(link.label, reason=str(error))])
        if not running:
            return Survey([Node(link.label, idle=True)])
    return Survey([_ask(link)])


def _several(config: AliasConfig) -> Survey:
    link = link_for(config.link, config.topology)
    assert isinstance(link, TopologyLink)
    sentinels = _sentinels(config)
    # The last look may be a minute old, and the first has yet to be.
    error = link.look(config.link.connect_timeout)
    try:
        shape = link.shape
    except RedponyError as unknown:
        reason = _said(error or unknown)
        return Survey([*sentinels, Node(link.label, reason=reason)])
    shards = sorted(shape.shards, key=lambda each: str(each.primary.address))
    servers = [
        [shard.primary, *sorted(shard.replicas, key=lambda each: str(each.address))]
        for shard in shards
    ]
    asked = iter(_ask_all([each.config for group in servers for each in group]))
    nodes: list[Node] = []
    for shard, group in zip(shards, servers, strict=True):
        primary, *replicas = (next(asked) for _ in group)
        slots = _slots_of(shape, shard) if shape.table else None
        nodes.append(replace(primary, slots=slots, role=primary.role or "primary"))
        nodes.extend(
            replace(_behind(each, primary), role=each.role or "replica")
            for each in replicas
        )
    return Survey([*nodes, *sentinels], _faults(shape, nodes))


def _faults(shape: Shape, nodes: list[Node]) -> list[str]:
    found: list[str] = []
    if shape.table:
        missing = sum(shard is None for shard in shape.table)
        if missing:
            found.append(
                f"The cluster has no server for {missing} of its {SLOTS} slots: what "
                "lies in them cannot be read or written."
            )
    elif not any(node.role == "primary" and not node.reason for node in nodes):
        found.append("None of the servers is a primary now: nothing can be written.")
    return found


def _sentinels(config: AliasConfig) -> list[Node]:
    topology = config.topology
    if not isinstance(topology, Sentinels):
        return []
    return [
        replace(node, role="sentinel")
        for node in _ask_all(topology.sentinels, topology.service)
    ]


def _ask_all(
    configs: list[LinkConfig] | tuple[LinkConfig, ...], service: str = ""
) -> list[Node]:
    # At once: one that hangs holds none of the others up.
    with ThreadPoolExecutor(max(len(configs), 1)) as threads:
        return list(threads.map(lambda each: _ask(each, service), configs))


def _ask(config: LinkConfig, service: str = "") -> Node:
    try:
        client: Any = single.blocking(config)
    except (RedponyError, OSError) as error:
        return Node(config.label, reason=_said(error))
    try:
        return _answers(config, client, service)
    finally:
        client.connection_pool.disconnect()


def _answers(config: LinkConfig, client: Any, service: str) -> Node:
    label = str(config.address) if service else config.label
    try:
        client.ping()
        start = time.perf_counter()
        client.ping()
        ping = time.perf_counter() - start
    except NoPermissionError as error:
        # It answers, and does not let this user look: still up.
        return Node(label, mode=_said(error))
    except (redis.RedisError, InvalidSetting, OSError) as error:
        return Node(label, reason=_said(error))
    try:
        info: Mapping[str, Any] = client.info()
    except redis.RedisError as error:
        return Node(label, ping=ping, mode=_said(error))
    name = "valkey" if "valkey_version" in info else "redis"
    role = str(info.get("role", ""))
    return Node(
        address=label,
        name=name,
        version=str(info.get(f"{name}_version", "")),
        mode=str(info.get("server_mode", info.get("redis_mode", ""))),
        role=_ROLES.get(role, ""),
        ping=ping,
        memory=info.get("used_memory"),
        limit=info.get("maxmemory"),
        policy=info.get("maxmemory_policy"),
        hits=info.get("keyspace_hits"),
        misses=info.get("keyspace_misses"),
        connections=info.get("connected_clients"),
        offset=info.get(
            "slave_repl_offset" if role == "slave" else "master_repl_offset"
        ),
        linked=role != "slave" or info.get("master_link_status") == "up",
        others=_others(info, service),
        waits="min_slaves_good_slaves" in info,
    )


def _others(info: Mapping[str, Any], service: str) -> int | None:
    """How many sentinels watch a service, by one of them."""
    for name, value in info.items():
        if (
            name.startswith("master")
            and isinstance(value, dict)
            and value.get("name") == service
        ):
            return int(value["sentinels"])
    return None


def _behind(replica: Node, primary: Node) -> Node:
    if replica.offset is None or primary.offset is None or not replica.linked:
        return replica
    # They were not asked in the same instant.
    return replace(replica, behind=max(primary.offset - replica.offset, 0))


def _slots_of(shape: Shape, shard: Shard) -> int:
    return sum(each is shard for each in shape.table or ())


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
