"""One channel, as one event loop hears it: gap-free and in order, whatever happens.

What always holds: `head` is the position of the last message that went to those who are
live, and the next that goes to them is the one after it, or a reset that says that nobody
knows what was in between. How:

1. A channel is subscribed to, and when the server has confirmed that, its position is
   read. What is said meanwhile waits.
2. A message of `head` + 1 goes out. One that is not later was read from the history
   already. After any other one something is missing: it is read from the history.
3. When the connection was lost the same is done from 1 on, with `head` known.
4. Another epoch, a history that begins later, a server that knows less than was seen: what
   is missing cannot be had. Everybody is told (`reset`), and it goes on from there.
5. Every `CHECK` seconds the position is read again: a subscription may go deaf in silence.
   Then its connection is left.

The last messages stay in memory (`ring`), so that a crowd that comes back together costs
the server one read. Readers who are not live (new, or slow) read on from their own place,
from the ring or from the history, and become live when they have come to `head`.

The reasons for counting per channel, and the epoch, are those of Centrifugo's recovery;
see docs/decisions/0013.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from redpony.commands import GET, Access, Kind, Repeat, call
from redpony.errors import RedponyError, ServerError
from redpony.realtime.channel import Channel, lives
from redpony.realtime.message import Entry
from redpony.realtime.position import START, Position
from redpony.scripts import script

if TYPE_CHECKING:
    from redpony.realtime.hub import Hub
    from redpony.realtime.seat import Seat

XRANGE: Final = Kind("XRANGE", Access.READ, Repeat.SAFE, slice(0, 1), (list,))

PAGE: Final = 500
"""Messages that are read from the history at once."""

FAR: Final = 9 * 10**15
"""More than a server can have said: whatever it knows, it has forgotten something."""

CHECK: Final = 25.0
"""Seconds between looks at whether a subscription has gone deaf."""

RING_BYTES: Final = 1_048_576

_POSITION: Final = script("position")


class Lost(Exception):
    """What is asked for cannot be had any more."""


class Feed:
    """A channel in one event loop."""

    def __init__(self, hub: Hub, channel: Channel) -> None:
        self.hub = hub
        self.channel = channel
        self.name = channel.name
        self.history = channel.keeps
        self.keys = channel.keys
        self.head: Position | None = START if self.history is None else None
        self.live: dict[Seat, None] = {}
        """Who gets messages as they come, in the order in which they came to it."""
        self.users = 0
        """How many want it, live or not."""
        self.is_heard = False
        """Whether the server has confirmed that we listen."""
        self.delivered = self.resets = self.said = 0
        self.failure: RedponyError | None = None
        """Why the server will not let us listen, if it will not."""
        self._is_missing = False
        self._is_forked = False
        """Whether the server was heard to give one number to two messages."""
        self._ring: deque[Entry] = deque()
        self._ring_bytes = 0
        self._ring_size = min(self.history.size, 1000) if self.history else 0
        self._waiting: list[Entry] = []
        self._syncing: asyncio.Task[None] | None = None
        self._synced: asyncio.Future[None] | None = None
        self._reads: dict[Position, asyncio.Task[list[Entry]]] = {}
        self._check: asyncio.TimerHandle | None = None

    # What the hub tells

    def heard(self) -> None:
        """The server has confirmed the subscription."""
        self.is_heard = True
        if self.history is None:
            if self._is_missing:
                self._is_missing = False
                self._reset(START, "the connection to the server was lost")
            self._is_synced()
            return
        self._sync()

    def unheard(self) -> None:
        """The subscription is gone, for now."""
        self.is_heard = False
        if self.history is None and self.live:
            self._is_missing = True

    def failed(self, error: RedponyError) -> None:
        """The server refuses the subscription: it will not have it later either."""
        self.failure = error
        self._is_synced()
        for seat in list(self.live):
            seat.failed(error)

    def message(self, payload: bytes) -> None:
        """Take in what was said."""
        at, _, body = payload.partition(b" ")
        if self.history is None:
            self._deliver(Entry(self.name, None, body))
            return
        try:
            position = Position.parse(at)
        except ValueError:
            return  # not ours
        entry = Entry(self.name, position, body)
        head = self.head
        if self._syncing is not None or head is None:
            self._waiting.append(entry)
        elif position.offset == head.offset + 1 and position.epoch == head.epoch:
            self.head = position
            self._keep(entry)
            self._deliver(entry)
        elif not self._is_known(entry, head):
            self._waiting.append(entry)
            self._sync()

    def _is_known(self, entry: Entry, head: Position) -> bool:
        """Whether a message was read from the history before it was heard."""
        assert entry.position is not None
        if entry.position.epoch != head.epoch or entry.position.offset > head.offset:
            return False
        for each in reversed(self._ring):
            if each.position == entry.position:
                # The server fell back, and gave the number to something else.
                self._is_forked = each.body != entry.body
                return not self._is_forked
        return True

    # To those who are live

    def _deliver(self, entry: Entry) -> None:
        live = self.live
        self.said += 1
        self.delivered += len(live)
        for seat in list(live):
            seat.take(entry)

    def _reset(self, position: Position, why: str) -> None:
        self.resets += 1
        self.head = position
        self._ring.clear()
        self._ring_bytes = 0
        for seat in list(self.live):
            seat.reset(position, why)

    def _keep(self, entry: Entry) -> None:
        ring = self._ring
        ring.append(entry)
        self._ring_bytes += len(entry.body)
        while len(ring) > self._ring_size or self._ring_bytes > RING_BYTES:
            self._ring_bytes -= len(ring.popleft().body)

    # Coming to the head

    async def ready(self) -> Position:
        """Wait until messages come in, and return where they are; raises on refusal."""
        while self.head is None or not self.is_heard or self._syncing is not None:
            if self.failure is not None:
                raise self.failure
            if self._synced is None or self._synced.done():
                self._synced = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._synced)
        if self.failure is not None:
            raise self.failure
        return self.head

    def _is_synced(self) -> None:
        if self._synced is not None and not self._synced.done():
            self._synced.set_result(None)

    def _sync(self) -> None:
        if self._syncing is None:
            self._syncing = self.hub.loop.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        """Come to where the server is, and tell those who are live of all on the way."""
        pause = 0.02
        try:
            while True:
                try:
                    await self._read_on()
                    break
                except ServerError as error:
                    self.failed(error)
                    break
                except RedponyError as error:
                    self.hub.troubled(error)
                await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311
                pause = min(pause * 2, 1.0)
        finally:
            self._syncing = None
        self._is_synced()
        waiting, self._waiting = self._waiting, []
        for entry in waiting:
            if self._is_syncing:
                self._waiting.append(entry)
            elif self.head is not None:
                self._retake(entry, self.head)
        self._watch()

    @property
    def _is_syncing(self) -> bool:
        return self._syncing is not None

    def _retake(self, entry: Entry, head: Position) -> None:
        """Take in what came while the history was read."""
        position = entry.position
        assert position is not None
        if position.epoch == head.epoch and position.offset == head.offset + 1:
            self.head = position
            self._keep(entry)
            self._deliver(entry)
        elif position > head:
            self._waiting.append(entry)
            self._sync()

    async def _read_on(self) -> None:
        head = self.head
        known = b"" if head is None or head == START else str(head).encode()
        if head is not None and self._is_forked:
            known = str(Position(head.epoch, FAR)).encode()
        args = (known, lives(self.history)) if self.history else ()
        where = (self.keys.stream, self.keys.at)
        said = await self.hub.ask(call(_POSITION, where, args, repeat=Repeat.SAFE))
        now = Position.parse(said) if said else START
        self._is_forked = False
        if head is None:
            self.head = now
            return
        if head == now:
            return
        if head == START and now.offset > 0:
            # Nothing had been said when we came, so all of it is news.
            self.head = head = Position(now.epoch, 0)
        try:
            while self.head is not None and self.head < now:
                for entry in await self._page(self.head):
                    assert entry.position is not None
                    self.head = entry.position
                    self._keep(entry)
                    self._deliver(entry)
            if self.head is not None and self.head.epoch != now.epoch:
                raise Lost("the server has lost what it had")
        except Lost as lost:
            self._reset(now, str(lost))

    async def _page(self, after: Position) -> list[Entry]:
        """Return messages after a position, without gaps; raises `Lost`."""
        first = f"{after.epoch}-{after.offset + 1}".encode()
        last = b"%d-18446744073709551615" % after.epoch
        command = XRANGE(self.keys.stream, first, last, b"COUNT", b"%d" % PAGE)
        found = await self.hub.ask(command)
        entries: list[Entry] = []
        expected = after.offset
        for place, fields in found:
            position = Position.parse(place)
            expected += 1
            if position.offset != expected:
                raise Lost("the history does not reach back so far")
            entries.append(Entry(self.name, position, fields[1]))
        if not entries:
            raise Lost("the history does not reach back so far")
        return entries

    # For who is not live

    async def read(self, after: Position) -> list[Entry]:
        """Return what follows a position; nothing where it is the head. Raises `Lost`.

        From memory, or from the history: one read for all who ask for the same.
        """
        head = await self.ready()
        if after == head:
            return []
        if after == START and head.offset > 0:
            after = Position(head.epoch, 0)
            if after == head:
                return []
        if after.epoch != head.epoch:
            raise Lost("the channel has begun anew")
        if after.offset > head.offset:
            raise Lost("the server has lost what it had")
        if self.history is None:
            return []
        ring = self._ring
        if ring:
            oldest = ring[0].position
            assert oldest is not None
            skip = after.offset + 1 - oldest.offset
            if skip >= 0 and oldest.epoch == after.epoch:
                return list(ring)[skip : skip + PAGE]
        reading = self._reads.get(after)
        if reading is None:
            reading = self.hub.loop.create_task(self._page(after))
            self._reads[after] = reading
            reading.add_done_callback(partial(self._has_read, after))
        return await asyncio.shield(reading)

    def _has_read(self, after: Position, reading: asyncio.Task[list[Entry]]) -> None:
        """Keep what was read, where it comes right before what is in memory."""
        self._reads.pop(after, None)
        if reading.cancelled() or reading.exception() is not None:
            return
        ring, assumed = self._ring, self.head
        following = ring[0].position if ring else None
        for entry in reversed(reading.result()):
            at = entry.position
            assert at is not None
            if following is None:
                fits = at == assumed
            else:
                fits = at == (following.epoch, following.offset - 1)
            if fits and self._ring_bytes + len(entry.body) <= RING_BYTES:
                if len(ring) >= self._ring_size:
                    return
                ring.appendleft(entry)
                self._ring_bytes += len(entry.body)
                following = at

    @property
    def newest(self) -> Entry | None:
        """The last message, if it is in memory."""
        return self._ring[-1] if self._ring else None

    # Looking again

    def _watch(self) -> None:
        if self._check is None and self.history is not None:
            pause = CHECK * (0.75 + random.random() / 2)  # noqa: S311
            self._check = self.hub.loop.call_later(pause, self._look)

    def _look(self) -> None:
        self._check = None
        if self.users and self.is_heard and self._syncing is None:
            before = self.head
            task = self.hub.loop.create_task(self._compare(before))
            self.hub.tasks.add(task)
            task.add_done_callback(self.hub.tasks.discard)
        else:
            self._watch()

    async def _compare(self, before: Position | None) -> None:
        """Leave a connection that says nothing, though there is something to say."""
        try:
            said = await self.hub.ask(GET(self.keys.at))
        except RedponyError as error:
            self.hub.troubled(error)
        else:
            now = Position.parse(said) if said else None
            if now is not None and self.head == before != now and self.is_heard:
                await asyncio.sleep(1)  # it may be on its way
                if self.head == before:
                    self.hub.lose(self)
        self._watch()

    def close(self) -> None:
        """Forget it; nobody wants it any more."""
        for task in (self._syncing, self._check, *self._reads.values()):
            if task is not None:
                task.cancel()
        self._is_synced()

    def stands(self) -> dict[str, Any]:
        """Return what is known of it, for whoever looks after it."""
        return {
            "channel": self.name,
            "position": str(self.head) if self.head else "",
            "readers": self.users,
            "behind": self.users - len(self.live),
            "delivered": self.delivered,
            "resets": self.resets,
        }
