"""What is unwise in settings that work, said without asking a server.

System checks and `manage.py redpony doctor` both say it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from django.conf import settings

from redpony.conf.links import is_local
from redpony.conf.location import items
from redpony.conf.model import AliasConfig, Examination
from redpony.errors import InvalidSetting
from redpony.wire.config import (
    Cluster,
    Elsewhere,
    LinkConfig,
    Replicated,
    Sentinels,
    Tcp,
)
from redpony.wire.masking import masked
from redpony.wire.topology_url import ClusterUrl, SentinelUrl
from redpony.wire.url import EmbeddedUrl, ServerUrl, parse

Topic = Literal[
    "embedded",
    "plain",
    "unverified",
    "unsealed",
    "no password",
    "shared",
    "no prefix",
    "secret",
    "old sessions",
    "few sentinels",
    "emptied locks",
]

_OTHERS: Final = ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "BROKER_URL")


@dataclass(frozen=True, slots=True)
class Advice:
    """One unwise thing, and what to do about it; without a secret in it."""

    topic: Topic
    alias: str
    text: str
    remedy: str


def on_location(alias: str, location: Any) -> Iterator[Advice]:
    """Look at LOCATION as it stands in the settings."""
    for url in _written(location):
        try:
            found = parse(url)
        except InvalidSetting:
            continue
        if isinstance(found, EmbeddedUrl):
            if not found.production:
                yield Advice(
                    "embedded",
                    alias,
                    "LOCATION is embedded://, which is refused when DEBUG is False.",
                    "Name a server for production, for instance by "
                    "LOCATION = env://REDIS_URL.",
                )
        elif _holds_secret(found):
            yield Advice(
                "secret",
                alias,
                f'LOCATION holds a password ("{masked(url)}"). Django\'s page for '
                "errors under DEBUG shows LOCATION as it is.",
                "Write env://NAME for the environment variable NAME, or put the "
                'password into OPTIONS["PASSWORD"].',
            )


def _holds_secret(url: ServerUrl | SentinelUrl | ClusterUrl) -> bool:
    if url.password is not None and url.password.reveal():
        return True
    return isinstance(url, SentinelUrl) and "SENTINEL_PASSWORD" in dict(url.ours)


def on_config(config: AliasConfig) -> Iterator[Advice]:
    """Look at what one alias comes to."""
    for link in _ends(config):
        found = list(_on_link(config, link))
        yield from found
        if found:
            break  # the others are alike
    yield from _on_topology(config)
    codec = config.codec
    legacy = {codec.format, *codec.read_formats} - {"sealed"}
    if "django" in legacy or (legacy and codec.serializer == "pickle"):
        yield Advice(
            "unsealed",
            config.alias,
            f"values in the format {' and '.join(sorted(legacy))} are unpickled "
            "without a seal: whoever can write to the server can run code here.",
            'When the migration is done, take FORMAT "sealed" and READ_FORMATS '
            '["sealed"].',
        )


def on_company(configs: Sequence[AliasConfig]) -> Iterator[Advice]:
    """Look at what several aliases, and Celery, have in common."""
    for index, one in enumerate(configs):
        for other in configs[:index]:
            if not _places(one) & _places(other):
                continue
            flush = "flushdb" in (one.clear, other.clear)
            if one.key_prefix == other.key_prefix or flush:
                what = "database" if flush else "database and KEY_PREFIX"
                yield Advice(
                    "shared",
                    one.alias,
                    f'it shares its {what} ({one.link.label}) with "{other.alias}": '
                    "clear() on one empties the other too.",
                    'Give each its own KEY_PREFIX and leave CLEAR at "scan".',
                )
            elif not (one.key_prefix and other.key_prefix):
                bare = one if not one.key_prefix else other
                yield from _bare(bare, f'"{(other if bare is one else one).alias}"')
    yield from _on_locks(configs)
    for config in configs:
        for name in _OTHERS:
            if not _places(config) & _places_of(getattr(settings, name, None)):
                continue
            if config.clear == "flushdb":
                yield Advice(
                    "shared",
                    config.alias,
                    f"it shares its database ({config.link.label}) with {name}, and "
                    "clear() empties the whole database.",
                    'Take another database, or leave CLEAR at "scan".',
                )
            elif not config.key_prefix:
                yield from _bare(config, name)


def on_project(examined: Iterable[tuple[Any, Examination]]) -> list[Advice]:
    """Everything there is to say of these aliases, by pairs with LOCATION."""
    found: list[Advice] = []
    configs: list[AliasConfig] = []
    for location, each in examined:
        found.extend(on_location(each.alias, location))
        if each.config:
            configs.append(each.config)
            found.extend(on_config(each.config))
    found.extend(on_company(configs))
    return found


def locks_live_in(alias: str) -> bool:
    """Whether the project has said that its locks live on an alias."""
    rooms = getattr(settings, "REDPONY", None)
    room: Any = rooms.get("LOCKS") if isinstance(rooms, Mapping) else None
    return isinstance(room, Mapping) and room.get("ALIAS", "default") == alias


def sessions_live_in(alias: str) -> bool:
    """Whether the project keeps its sessions in an alias, and nowhere else."""
    engine = str(getattr(settings, "SESSION_ENGINE", ""))
    here = str(getattr(settings, "SESSION_CACHE_ALIAS", "default")) == alias
    return here and engine in (
        "django.contrib.sessions.backends.cache",
        "redpony.sessions",
    )


def _ends(config: AliasConfig) -> Iterator[LinkConfig]:
    """What LOCATION names, one by one: servers, and sentinels for those they watch."""
    topology = config.topology
    if isinstance(topology, Replicated):
        yield from topology.nodes
    elif isinstance(topology, Cluster):
        for seed in topology.seeds:
            yield replace(config.link, address=seed)
    elif isinstance(topology, Sentinels):
        # The servers are where their sentinels are, as far as this can be seen.
        for each in topology.sentinels:
            if not is_local(each.address):
                yield config.link
            yield each
    else:
        yield config.link


def _on_topology(config: AliasConfig) -> Iterator[Advice]:
    topology = config.topology
    if topology is None:
        return
    if topology.read_from == "replica" and sessions_live_in(config.alias):
        yield Advice(
            "old sessions",
            config.alias,
            "it reads from replicas (READ_FROM), and sessions live here: a request may "
            "see a session as it was before the one that came just before it, which "
            "another process has answered.",
            'Give sessions an alias of their own, with READ_FROM "primary".',
        )
    if isinstance(topology, Sentinels) and len(topology.sentinels) < 3:
        number = len(topology.sentinels)
        yield Advice(
            "few sentinels",
            config.alias,
            f"LOCATION names {number} sentinel{'' if number == 1 else 's'} of "
            f'"{topology.service}": a process that starts while they are down finds '
            "no server.",
            "Name all of them. There should be three or more, on machines of their "
            "own.",
        )


def _on_link(config: AliasConfig, link: LinkConfig) -> Iterator[Advice]:
    address = link.address
    if is_local(address) and not isinstance(address, Elsewhere):
        return
    asks = isinstance(config.topology, Sentinels) and link is not config.link
    where = f"the sentinel {address}" if asks else str(address)
    if isinstance(address, Elsewhere):
        where = f'the servers of "{address}"'
    if link.tls is None:
        yield Advice(
            "plain",
            config.alias,
            f"it talks to {where} in plain text: "
            + (
                "whoever is on the way can name another server."
                if asks
                else "keys, values and the password can be read on the way."
            ),
            f"{'Set SENTINEL_TLS' if asks else 'Write rediss:// in LOCATION'}, if the "
            "server speaks TLS; or keep both in one private network and silence this "
            "check.",
        )
    elif not link.tls.verify:
        yield Advice(
            "unverified",
            config.alias,
            f"the certificate of {where} is not verified: anybody on the way "
            "can pretend to be the server.",
            f'Name the authority instead: OPTIONS = {{"{"SENTINEL_" if asks else ""}'
            'TLS": {"CA_FILE": ...}}.',
        )
    shows_certificate = link.tls is not None and link.tls.cert_file is not None
    if not (link.password or link.credential_provider or shows_certificate):
        yield Advice(
            "no password",
            config.alias,
            f"it connects to {where} without a password.",
            f'Set one at the server, and OPTIONS["{"SENTINEL_" if asks else ""}'
            'PASSWORD"] here.',
        )


def _on_locks(configs: Sequence[AliasConfig]) -> Iterator[Advice]:
    """Look for who empties the database that locks live in."""
    for locks in configs:
        if not locks_live_in(locks.alias):
            continue
        for each in configs:
            if each.clear == "flushdb" and _places(each) & _places(locks):
                yield Advice(
                    "emptied locks",
                    each.alias,
                    'its clear() empties the whole database (CLEAR "flushdb"), and '
                    f"locks live there ({locks.link.label}): they would all be lost, "
                    "with their fences.",
                    'Leave CLEAR at "scan", or give locks an alias with a database of '
                    'its own: REDPONY["LOCKS"]["ALIAS"].',
                )


def _bare(config: AliasConfig, company: str) -> Iterator[Advice]:
    yield Advice(
        "no prefix",
        config.alias,
        f"it has no KEY_PREFIX, and shares its database ({config.link.label}) with "
        f"{company}.",
        "Give it a KEY_PREFIX, so that its keys can be told from others.",
    )


def _places(config: AliasConfig) -> set[tuple[Any, int]]:
    """The databases that an alias may be in; two that share one share all."""
    topology = config.topology
    if isinstance(topology, Sentinels):
        return {
            (_local((each.address, topology.service)), config.link.db)
            for each in topology.sentinels
        }
    return {(_local(each.address), each.db) for each in _ends(config)}


def _local(address: Any) -> Any:
    """The address, by one name where it is this machine's."""
    if isinstance(address, tuple):
        return (_local(address[0]), address[1])
    if isinstance(address, Tcp) and is_local(address):
        return Tcp("localhost", address.port)
    return address


def _places_of(url: Any) -> set[tuple[Any, int]]:
    if not isinstance(url, str):
        return set()
    try:
        found = parse(url)
    except InvalidSetting:
        return set()
    if not isinstance(found, ServerUrl):
        return set()
    return {(_local(found.address), found.db or 0)}


def _written(location: Any) -> list[str]:
    """The URLs that stand in LOCATION itself, not in the environment."""
    if isinstance(location, str):
        location = [location]
    if not isinstance(location, list | tuple):
        return []
    try:
        return [
            url
            for each in location
            if isinstance(each, str) and "env://" not in each
            for url in items(each)
        ]
    except InvalidSetting:
        return []
