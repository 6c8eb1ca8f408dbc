"""Where a channel is now: for a page that shows a state, and reads on from there.

    position = position_of(OrderEvents(order_id=7))

before the state is read. Who subscribes since then is told of all that came after.
"""

from __future__ import annotations

from typing import Any

from redpony import events
from redpony.alias import Watch
from redpony.commands import GET
from redpony.errors import RedponyError
from redpony.plan import Plan, TwoColoured, both, finish
from redpony.realtime.channel import Channel, channel_of
from redpony.realtime.position import START, Position


class Head(TwoColoured):
    """The end of one channel."""

    def __init__(self, channel: Channel | str) -> None:
        self.channel = channel_of(channel)

    def _position(self) -> Plan[Position]:
        """Return the position of the last message."""
        found = yield GET(self.channel.keys.at)
        return Position.parse(found) if found else START

    position, aposition = both(_position)

    def _run(self, plan: Plan[Position]) -> Position:
        alias = self.channel.alias
        if events.listening:
            with Watch(alias, plan) as watched:
                return finish(alias.drive(watched, _raise))  # type: ignore[no-any-return]
        return finish(alias.drive(plan, _raise))  # type: ignore[no-any-return]

    async def _arun(self, plan: Plan[Position]) -> Position:
        alias = self.channel.alias
        if events.listening:
            with Watch(alias, plan) as watched:
                return finish(await alias.adrive(watched, _raise))  # type: ignore[no-any-return]
        return finish(await alias.adrive(plan, _raise))  # type: ignore[no-any-return]


def position_of(channel: Channel | str) -> Position:
    """Return the position of a channel's last message; `0-0` where there was none.

    Who shows a state reads this first, and then the state: whoever subscribes `since` this
    position misses nothing that the state does not show. One round trip, to a replica where
    one may be read; raises `Unavailable`.
    """
    return Head(channel).position()


async def aposition_of(channel: Channel | str) -> Position:
    """Return the position of a channel's last message: see `position_of`."""
    return await Head(channel).aposition()


def _raise(plan: Plan[Any], error: RedponyError) -> Any:
    del plan
    raise error
