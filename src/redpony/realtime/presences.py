"""Who is on a channel: the users whose browsers have it open.

    for each in presence("flight:7").members():
        print(each.user, each.about, each.connections)

Of channels whose class says `presence = True`. Who comes is told to the others by a message
of the event "join", who goes by one of the event "leave", in the channel's order: once a
user, however many pages he has open. What is told is what `Channel.describe` says.

A connection is there for `LEASE` seconds, which its process renews. So a process that dies
takes its users with it, late by as much; whoever is there tells of that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from redpony import events
from redpony.alias import Watch
from redpony.commands import Access, Command, Repeat, call
from redpony.errors import RedponyError
from redpony.plan import Plan, TwoColoured, both, finish
from redpony.realtime.channel import Channel, channel_of, lives
from redpony.realtime.message import JSON
from redpony.scripts import script

R = TypeVar("R")

LEASE: Final = 30.0
"""Seconds that a connection is there after its process has said so."""

_PRESENCE: Final = script("presence")
_PRESENT: Final = script("present")


@dataclass(frozen=True, slots=True)
class Present:
    """A user who is there."""

    user: str
    """His primary key, as text; of who is not logged in, "~" and his connection."""
    about: Any
    """What `Channel.describe` says of him."""
    connections: int


class Presence(TwoColoured):
    """Who is on one channel."""

    def __init__(self, channel: Channel | str) -> None:
        self.channel = channel_of(channel)

    def _members(self) -> Plan[list[Present]]:
        """Return the users who are there, who came first foremost. One round trip."""
        keys = self.channel.keys
        found = yield call(
            _PRESENT, (keys.here,), access=Access.READ, repeat=Repeat.SAFE
        )
        users: dict[str, Present] = {}
        for member in found:
            _, user, about = member.decode().split("\t", 2)
            before = users.get(user)
            count = 1 if before is None else before.connections + 1
            users[user] = Present(user, json.loads(about)["about"], count)
        return list(users.values())

    members, amembers = both(_members)

    def _count(self) -> Plan[int]:
        """Return how many users are there. One round trip."""
        return len((yield from self._members()))

    count, acount = both(_count)

    def _run(self, plan: Plan[R]) -> R:
        alias = self.channel.alias
        if events.listening:
            with Watch(alias, plan) as watched:
                return finish(alias.drive(watched, _raise))  # type: ignore[no-any-return]
        return finish(alias.drive(plan, _raise))  # type: ignore[no-any-return]

    async def _arun(self, plan: Plan[R]) -> R:
        alias = self.channel.alias
        if events.listening:
            with Watch(alias, plan) as watched:
                return finish(await alias.adrive(watched, _raise))  # type: ignore[no-any-return]
        return finish(await alias.adrive(plan, _raise))  # type: ignore[no-any-return]


def presence(channel: Channel | str) -> Presence:
    """Return who is on a channel."""
    return Presence(channel)


def member_of(connection: str, user: str, about: Any) -> bytes:
    """Return what stands for a connection on the server."""
    who = user or f"~{connection}"
    said = json.dumps({"user": who, "about": about}, separators=(",", ":"))
    return f"{connection}\t{who}\t{said}".encode()


def saying(channel: Channel, members: list[bytes], *, here: bool) -> Command:
    """Return the command that says that connections are there, or are not."""
    keys, history = channel.keys, channel.keeps
    if history is None:
        how = (b"0", b"0", b"0")
    else:
        size, ttl = b"%d" % history.size, b"%d" % (history.ttl * 1000)
        how = (size, ttl, lives(history))
    args = (
        b"1" if here else b"0",
        b"%d" % (LEASE * 1000),
        *how,
        b"1" if channel.is_sharded else b"0",
        f"{JSON}join".encode(),
        f"{JSON}leave".encode(),
        *members,
    )
    where = (keys.stream, keys.at, keys.here, keys.users)
    return call(_PRESENCE, where, args, repeat=Repeat.REPLY_DIFFERS)


def _raise(plan: Plan[Any], error: RedponyError) -> Any:
    del plan
    raise error
