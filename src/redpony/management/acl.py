"""`manage.py redpony acl`: a server's user who may do what this project does, no more.

Lines of an ACL file go to standard output, so that they can be sent to one; what
they mean, and what is left to do, goes to standard error, for people. No password
is printed: a placeholder stands for it, or its SHA-256 if that is asked for.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from redpony.commands import PING
from redpony.conf import AliasConfig, alias_config
from redpony.conf.project import backends
from redpony.connections import link_for
from redpony.embedded import Embedded
from redpony.errors import InvalidSetting, RedponyError
from redpony.management.rights import (
    LOOKING,
    OLDEST,
    User,
    acl_rules,
    digest,
    key_pattern,
    operator_for,
    sentinel_user,
    user_for,
)
from redpony.management.text import columns, points
from redpony.wire.config import Sentinels
from redpony.wire.handshake import Features
from redpony.wire.topology.link import TopologyLink

__all__ = ["acl", "acl_rules", "add_arguments"]

_VERSION: Final = re.compile(r"(redis|valkey)[-: ]?(\d+(?:\.\d+)*)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line."""

    aliases: tuple[str, ...] = ()
    user: str = ""
    operator: str = ""
    server: str = ""
    sentinels: bool = False
    looks: bool = False
    hashed: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command line takes."""
    parser.add_argument("alias", nargs="*", help="these aliases only")
    parser.add_argument(
        "--alias",
        action="append",
        dest="aliases",
        metavar="ALIAS",
        default=[],
        help="the same",
    )
    parser.add_argument("--user", default="", metavar="NAME", help="the user's name")
    parser.add_argument(
        "--all", action="store_true", help="also what status and doctor ask for"
    )
    parser.add_argument(
        "--operator",
        default="",
        metavar="NAME",
        help="one more user, who only looks: for status and doctor",
    )
    parser.add_argument(
        "--sentinels",
        action="store_true",
        help="the user of the sentinels, in place of the servers'",
    )
    parser.add_argument(
        "--hash",
        action="store_true",
        help="the SHA-256 of the configured password in place of PASSWORD",
    )
    parser.add_argument(
        "--server",
        default="",
        metavar="VERSION",
        help="redis-7.0 or valkey-9.1, say; asked for if it is not named",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--setuser", action="store_true", help="commands for redis-cli, not a file"
    )
    form.add_argument("--json", action="store_true", help="for programs")


def acl(options: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return what to print for machines, and what for people."""
    wanted = Wanted(
        aliases=(*options["alias"], *options["aliases"]),
        user=options["user"],
        operator=options["operator"],
        server=options["server"],
        sentinels=options["sentinels"],
        looks=options["all"],
        hashed=options["hash"],
    )
    found, notes = users(wanted)
    if options["json"]:
        return [as_json(found, notes, wanted)], []
    start = "ACL SETUSER" if options["setuser"] else "user"
    if not wanted.hashed:
        notes.append("Put a password in place of PASSWORD; leave the > before it.")
    return lines(found, wanted, start=start), list(explained(found, notes))


def users(wanted: Wanted) -> tuple[list[User], list[str]]:
    """Return the users that the project's aliases need, and what to know of them.

    One user for the aliases that share servers and a user name. Asks a server for
    its version unless one is named, and takes `OLDEST` where it does not answer.
    """
    notes: list[str] = []
    shared: dict[tuple[str, str], list[AliasConfig]] = {}
    for config in _configs(wanted.aliases):
        if isinstance(config.link.address, Embedded):
            notes.append(
                f'CACHES["{config.alias}"] is embedded: a private socket, no users.'
            )
            continue
        place = (str(config.link.address), config.link.username or "")
        shared.setdefault(place, []).append(config)
    found: list[User] = []
    for configs in shared.values():
        server = _server(wanted.server, configs[0], notes)
        user = user_for(configs, name=wanted.user, server=server)
        sentinel = sentinel_user(configs, name=wanted.user, server=server)
        if not wanted.sentinels:
            notes += _remarks(user, configs)
            if sentinel is not None:
                notes.append("Sentinels have users of their own: --sentinels.")
        elif sentinel is None:
            continue
        else:
            notes += _remarks_on_sentinels(sentinel, configs)
            user = sentinel
        if wanted.looks:
            user = replace(user, grants=(*user.grants, LOOKING))
        found.append(user)
        if wanted.operator:
            found.append(operator_for(user, wanted.operator))
    if wanted.sentinels and not found:
        raise InvalidSetting("None of these aliases is found by sentinels")
    return found, notes


def lines(found: Iterable[User], wanted: Wanted, *, start: str) -> list[str]:
    """Return one line a user: `user NAME ...`, or `ACL SETUSER NAME ...`."""
    return [" ".join((start, each.name, *_ruled(each, wanted))) for each in found]


def as_json(found: Iterable[User], notes: list[str], wanted: Wanted) -> str:
    """Return the same for programs."""
    said = [
        {
            "name": each.name,
            "server": each.where,
            "version": _told(each.server),
            "aliases": each.aliases,
            "grants": {grant.reason: grant.commands for grant in each.grants},
            "rules": _ruled(each, wanted),
        }
        for each in found
    ]
    return json.dumps({"users": said, "notes": notes}, indent=2)


def explained(found: Iterable[User], notes: Sequence[str]) -> Iterator[str]:
    """Yield what each user may do and why, for people."""
    for user in found:
        names = ", ".join(f'CACHES["{each}"]' for each in user.aliases)
        yield f"User {user.name} at {user.where} ({_told(user.server)}), for {names}:"
        rows = [("keys", " ".join(user.keys) or "none")]
        if user.channels:
            rows.append(("channels", " ".join(user.channels)))
        rows += [(each.reason, " ".join(each.commands)) for each in user.grants]
        yield from columns(rows, indent=2)
        yield ""
    yield from points(notes, indent=0)
    if notes:
        yield ""


def _ruled(user: User, wanted: Wanted) -> list[str]:
    if not wanted.hashed:
        return user.rules()
    if user.password is None:
        raise InvalidSetting(
            f"There is no password to hash for user {user.name} at {user.where}: set "
            'OPTIONS["PASSWORD"], or leave --hash out and fill PASSWORD in'
        )
    return user.rules(digest(user.password))


def _configs(only: Sequence[str]) -> list[AliasConfig]:
    names = only or [each.alias for each in backends("Redpony")]
    if not names:
        raise InvalidSetting("CACHES has no alias with redpony.cache.RedisCache")
    return [alias_config(each) for each in dict.fromkeys(names)]


def _server(named: str, config: AliasConfig, notes: list[str]) -> Features:
    if named:
        match = _VERSION.fullmatch(named.strip().lower())
        if match is None:
            raise InvalidSetting(
                f"--server {named}: write it as redis-7.0 or valkey-9.1"
            )
        numbers = tuple(map(int, match[2].split(".")))
        return Features(match[1], numbers)
    link = link_for(config.link, config.topology)
    why: object = "it did not say its version"
    try:
        link.blocking.ask(PING())
    except RedponyError as error:
        # Who may not ask anything yet is told the version all the same.
        why = error
    nodes = link.nodes() if isinstance(link, TopologyLink) else [link]
    known = [each.facts.features for each in nodes if each.facts.features]
    if known:
        return min(known, key=lambda each: each.version)
    notes.append(
        f"Written for {_told(OLDEST)}, because the server cannot be asked "
        f"({why}). Name another one with --server, as in --server valkey-9.1."
    )
    return OLDEST


def _remarks(user: User, configs: Sequence[AliasConfig]) -> Iterator[str]:
    if configs[0].link.username != user.name:
        for config in configs:
            yield (
                f'Set OPTIONS["USERNAME"] of CACHES["{config.alias}"] to '
                f'"{user.name}", and OPTIONS["PASSWORD"] to the password.'
            )
    for config in configs:
        if key_pattern(config) == "*":
            yield (
                f'CACHES["{config.alias}"] has a KEY_FUNCTION whose keys follow no '
                "pattern, so this user reaches every key of the server."
            )
        if config.clear == "flushdb":
            yield (
                f'CACHES["{config.alias}"] has CLEAR "flushdb", so this user may '
                "empty the whole database."
            )


def _remarks_on_sentinels(user: User, configs: Sequence[AliasConfig]) -> Iterator[str]:
    for config in configs:
        topology = config.topology
        if not isinstance(topology, Sentinels):
            continue
        if topology.sentinels[0].username != user.name:
            yield (
                f'Set OPTIONS["SENTINEL_USERNAME"] of CACHES["{config.alias}"] to '
                f'"{user.name}", and OPTIONS["SENTINEL_PASSWORD"] to the password.'
            )


def _told(server: Features) -> str:
    return f"{server.server} {'.'.join(map(str, server.version))}"
