"""Which servers LOCATION and the options name together, and how they are used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from redpony.conf import links
from redpony.conf.reading import Reading
from redpony.errors import InvalidSetting
from redpony.wire.config import (
    Cluster,
    Elsewhere,
    LinkConfig,
    Replicated,
    Sentinels,
    Tcp,
    Topology,
)
from redpony.wire.topology_url import SENTINEL_EXAMPLE, ClusterUrl, SentinelUrl
from redpony.wire.url import EmbeddedUrl, ServerUrl, Url
from redpony.wire.url_parts import SERVER_PORT

Linked = tuple[LinkConfig, Topology | None]

_ONE_SERVER: Final = "LOCATION names one server"

_SHARED: Final = (
    "deadline",
    "connect_timeout",
    "protocol",
    "client_name",
    "keepalive",
    "breaker_failures",
    "breaker_cooldown",
)
"""What connections to sentinels have in common with those to servers."""


def linked(reading: Reading, urls: Sequence[Url]) -> Linked | None:
    """Return the link that an alias has, and its topology; None if there is a fault.

    Raises `InvalidSetting` for a LOCATION that cannot be used.
    """
    by_name = reading.part("sentinel").get("addresses")
    servers = [each for each in urls if isinstance(each, ServerUrl)]
    first = urls[0]
    if by_name and servers:
        found = _named(reading, servers, by_name)
    elif isinstance(first, SentinelUrl):
        _refuse_second_list(reading)
        reading.settle("sentinels")
        found = _sentinels(reading, first, first.service, first.sentinels)
    else:
        _refuse_sentinels(reading)
        if isinstance(first, ClusterUrl):
            reading.settle("cluster")
            found = _cluster(reading, first)
        else:
            reading.settle(None)
            _refuse_roles(reading, servers)
            if isinstance(first, EmbeddedUrl):
                found = _alone(reading, links.embedded(reading, first))
            elif len(servers) == 1:
                made = links.link(reading, servers[0], servers[0].address)
                hint = links.hint(servers[0].address)
                found = _alone(reading, made and replace(made, hint=hint))
            else:
                found = _replicated(reading, servers)
    return None if reading.problems else found


def _alone(reading: Reading, link: LinkConfig | None) -> Linked | None:
    reading.idle("topology", _ONE_SERVER)
    return (link, None) if link else None


def _replicated(reading: Reading, urls: Sequence[ServerUrl]) -> Linked | None:
    seen: set[object] = set()
    for url in urls:
        if url.address in seen:
            raise InvalidSetting(
                f"the server {url.address} stands there twice; a list names the "
                "primary first and then each replica once"
            )
        seen.add(url.address)
    reading.idle("topology", "LOCATION names every server as it is reached", "remap")
    common = reading.copy()
    nodes: list[LinkConfig] = []
    for index, url in enumerate(urls):
        one = common.copy() if index else reading
        before = len(one.problems)
        node = links.link(one, url, url.address)
        if index:
            reading.problems.extend(one.problems[before:])
        if node:
            nodes.append(node)
    if reading.problems:
        return None
    fields = _fields(reading, read_from="replica")
    fields.pop("remap", None)
    return nodes[0], Replicated(nodes=tuple(nodes), **fields)


def _cluster(reading: Reading, url: ClusterUrl) -> Linked | None:
    link = links.link(reading, url, url.seeds[0])
    if link and link.db:
        reading.fault(
            "value",
            reading.chosen["link.db"].label,
            "names a database, and a cluster has database 0 alone; remove it, and "
            "tell data apart by KEY_PREFIX.",
        )
    fields = _fields(reading, read_from="primary")
    return (link, Cluster(seeds=url.seeds, **fields)) if link else None


def _named(
    reading: Reading, urls: Sequence[ServerUrl], sentinels: tuple[Tcp, ...]
) -> Linked | None:
    """Read what django-redis takes: a service in place of a host, and SENTINELS."""
    first = urls[0]
    if not isinstance(first.address, Tcp) or any(
        replace(each, options=first.options) != first for each in urls
    ):
        raise InvalidSetting(
            "beside SENTINELS it names one service, redis://SERVICE/DB, and perhaps "
            "the same again with ?is_master=0"
        )
    reading.settle("sentinels")
    roles = [dict(each.options).get("is_master", True) for each in urls]
    # Their SentinelClient reads from replicas; so does a second URL for them.
    replicas = not all(roles) or any(
        each.label.endswith('["CLIENT_CLASS"]') for each in reading.demands
    )
    if first.address.port != SERVER_PORT:
        reading.without_effect('["LOCATION"]: port', "the sentinels name the port")
    return _sentinels(
        reading,
        first,
        # As a URL's host, which is how django-redis reads it.
        first.address.host.lower(),
        sentinels,
        read_from="replica" if replicas else "primary",
    )


def _sentinels(
    reading: Reading,
    url: SentinelUrl | ServerUrl,
    service: str,
    addresses: tuple[Tcp, ...],
    read_from: str = "primary",
) -> Linked | None:
    link = links.link(reading, url, Elsewhere(service))
    fields = reading.part("sentinel")
    links.check_credentials(
        reading, "sentinel", fields, "Name that too, SENTINEL_PASSWORD."
    )
    switch = fields.pop("tls", None)
    own = links.made_tls(
        reading,
        "sentinel_tls",
        wanted=url.tls if switch is None else switch,
        remedy="belongs to TLS, and the sentinels are asked in plain text; write "
        "SENTINEL_TLS, or remove this.",
    )
    if link is None or reading.problems:
        return None
    shared = {name: getattr(link, name) for name in _SHARED}
    fields.pop("addresses", None)
    tls = (link.tls or own) if own and not reading.part("sentinel_tls") else own
    template = LinkConfig(address=addresses[0], tls=tls, **{**shared, **fields})
    topology = Sentinels(
        service=service,
        sentinels=tuple(replace(template, address=each) for each in addresses),
        **_fields(reading, read_from=read_from),
    )
    return link, topology


def _fields(reading: Reading, read_from: str) -> dict[str, Any]:
    return {"read_from": read_from, **reading.part("topology")}


def _refuse_roles(reading: Reading, urls: Sequence[ServerUrl]) -> None:
    for url in urls:
        if "is_master" in dict(url.options):
            reading.fault(
                "value",
                '["LOCATION"]: is_master',
                "is for a service that SENTINELS watch, and there are none.",
            )


def _refuse_second_list(reading: Reading) -> None:
    label = reading.labels("sentinel").get("addresses")
    if label:
        reading.fault(
            "value",
            label,
            "stands beside a LOCATION that names the sentinels too; leave one of them.",
        )


def _refuse_sentinels(reading: Reading) -> None:
    for part in ("sentinel", "sentinel_tls"):
        for label in dict.fromkeys(reading.labels(part).values()):
            reading.fault(
                "value",
                label,
                "is for sentinels, and LOCATION names none; write "
                f"{SENTINEL_EXAMPLE} there, or remove this.",
            )
