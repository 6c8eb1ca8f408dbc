"""Saying who is there, for the connections of one event loop: see `presences`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from redpony.errors import RedponyError
from redpony.realtime.channel import Channel
from redpony.realtime.presences import LEASE, saying

if TYPE_CHECKING:
    from redpony.realtime.hub import Hub


class Attendance:
    """Who is on which channels through this loop."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._here: dict[Channel, dict[bytes, None]] = {}
        self._last: asyncio.Task[None] | None = None
        self._renewing: asyncio.TimerHandle | None = None

    def come(self, channel: Channel, member: bytes) -> None:
        """Say that a connection is there, from now on."""
        self._here.setdefault(channel, {})[member] = None
        self._do(channel, [member], here=True)
        if self._renewing is None:
            self._renewing = self._hub.loop.call_later(LEASE / 3, self._renew)

    def go(self, channel: Channel, member: bytes) -> None:
        """Say that a connection has gone."""
        here = self._here.get(channel)
        if here is None or member not in here:
            return
        del here[member]
        if not here:
            del self._here[channel]
        self._do(channel, [member], here=False)

    def _renew(self) -> None:
        self._renewing = None
        if not self._here:
            return
        for channel, members in self._here.items():
            self._do(channel, list(members), here=True)
        self._renewing = self._hub.loop.call_later(LEASE / 3, self._renew)

    def _do(self, channel: Channel, members: list[bytes], *, here: bool) -> None:
        """Say it after all that was said before."""
        before, hub = self._last, self._hub

        async def say() -> None:
            if before is not None:
                await asyncio.wait((before,))
            try:
                await hub.ask(saying(channel, members, here=here))
            except RedponyError as error:
                hub.troubled(error)  # it is said again, or its time runs out

        self._last = task = hub.loop.create_task(say())
        hub.tasks.add(task)
        task.add_done_callback(hub.tasks.discard)
