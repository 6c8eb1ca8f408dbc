"""The asyncio driver: performs a plan's effects on multiplexed connections.

The same promises as the blocking driver, for tasks. Nothing blocks the loop:
only looking up a host name and starting an embedded server use a thread, when a
connection is opened. A task may be cancelled at any await; its reply is read
and dropped, and the connection stays.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, TypeVar

from redpony.commands import Argument, Command, Kind, Lane, Repeat
from redpony.errors import (
    NoScript,
    ReadOnly,
    RedponyError,
    Unavailable,
)
from redpony.plan import (
    Batch,
    Plan,
    Raised,
    Replies,
    Settle,
    Wait,
    abandon,
)
from redpony.wire import outcomes
from redpony.wire.blocking import EXACTLY, FOREVER
from redpony.wire.breaker import Breaker
from redpony.wire.config import LinkConfig
from redpony.wire.credentials import Renewal
from redpony.wire.driving import AsyncDrive
from redpony.wire.handshake import Facts
from redpony.wire.loops import Loops
from redpony.wire.multiplexer import Multiplexer
from redpony.wire.replies import pack, pack_all
from redpony.wire.transaction import fold, unfold

R = TypeVar("R")
_SAFE = Repeat.SAFE
_SHARED = Lane.SHARED
_running_loop = asyncio.get_running_loop


class AsyncDriver(AsyncDrive):
    """Runs plans on one server, from any number of event loops."""

    def __init__(
        self, config: LinkConfig, breaker: Breaker, renewal: Renewal, facts: Facts
    ) -> None:
        self.config = config
        self.loops = Loops(config, renewal, breaker, facts)
        self._breaker = breaker
        self._deadline = config.deadline
        self.label = config.label
        self._by_loop = self.loops.by_loop

    async def drive(self, plan: Plan[R], settle: Settle | None = None) -> R | Raised:
        """Perform a plan's effects; a user's exception comes back as `Raised`.

        `settle` is asked what an error of ours comes to: it returns or raises.
        """
        by_loop = self._by_loop
        breaker = self._breaker
        try:
            effect = next(plan)
            while True:
                try:
                    if isinstance(effect, Command):
                        kind = effect.kind
                        state = by_loop.get(_running_loop())
                        if (
                            state is None
                            or not (kind.safe and kind.shared)
                            or (connection := state.shared) is None
                            or connection.full
                            or breaker.blocked
                            or type(effect) is not Command
                        ):
                            reply = await self.ask(effect)
                        else:
                            # What nearly every call comes to: no further frames.
                            lasts = effect.timeout or self._deadline
                            try:
                                reply = await connection.submit(
                                    pack(kind.parts + effect.args), (effect,), lasts
                                )
                            except Unavailable as error:
                                reply = await self._ask_again(effect, error)
                            if breaker.failures:
                                breaker.succeeded()
                            if type(reply) not in kind.reply and isinstance(
                                reply, RedponyError
                            ):
                                raise reply
                    else:
                        reply = await self._perform(effect)
                except RedponyError as error:
                    effect = plan.throw(error)
                else:
                    effect = plan.send(reply)
        except StopIteration as stop:
            result: R | Raised = stop.value
            return result
        except BaseException as error:
            abandon(plan)
            if settle is None or not isinstance(error, RedponyError):
                raise
            return settle(plan, error)  # type: ignore[no-any-return]

    def read(self, kind: Kind, key: Argument) -> asyncio.Future[Any] | None:
        """Send a read at once; None where something else has to be done first.

        The shortest way from a call to the socket. Its reply may be an error, and
        nothing is repeated: what fails here goes to a plan.
        """
        state = self._by_loop.get(_running_loop())
        # A node that is left alone has failed before: one look says both.
        if state is None or self._breaker.failures:
            return None
        connection = state.shared
        if connection is None or connection.full:
            return None
        return connection.queue(pack((kind.name, key)), kind, self._deadline)

    def may_repeat(self, batch: Batch, error: Unavailable) -> bool:
        """Return whether a batch whose connection was lost may be sent once more."""
        safe = outcomes.all_safe(batch.commands)
        if not self.config.retries or not outcomes.may_repeat(error, safe=safe):
            return False
        outcomes.tell_retry(self.label, batch.commands, 2, error)
        return True

    def answered(self) -> None:
        """Tell the breaker that the node has answered."""
        if self._breaker.failures or self._breaker.blocked:
            self._breaker.succeeded()

    async def _ask_again(self, command: Command, error: Unavailable) -> Any:
        """Repeat a read whose connection was lost, or raise why not."""
        if not self.config.retries or not outcomes.may_repeat(error, safe=True):
            raise error
        outcomes.tell_retry(self.label, (command,), 2, error)
        lasts = error.left or command.timeout or self._deadline
        payload = pack(command.words())
        return await self._slow_flight(payload, (command,), lasts, True, _SHARED, 2)

    async def ask(self, command: Command) -> Any:
        """Return the reply to one command, or raise."""
        lane = command.detour or command.kind.lane
        if lane is Lane.BLOCKING:
            if command.timeout is None:
                raise TypeError(
                    f"{command.name} blocks: yield it as Wait(command, timeout)"
                )
            return await self.wait(Wait(command, command.timeout))
        payload = pack(command.words())
        safe = command.kind.repeat is _SAFE
        lasts = command.timeout or self._deadline
        reply = await self._flight(payload, (command,), lasts, safe, lane)
        if isinstance(reply, RedponyError):
            if type(reply) is NoScript and command.script is not None:
                payload = pack(command.words(source=True))
                reply = await self._flight(payload, (command,), lasts, safe, lane)
                if not isinstance(reply, RedponyError):
                    return reply
            elif type(reply) is ReadOnly and self._leaves(reply):
                reply = await self._flight(payload, (command,), lasts, safe, lane)
                if not isinstance(reply, RedponyError):
                    return reply
            raise reply
        return reply

    def _leaves(self, *errors: ReadOnly) -> bool:
        """Leave a server that was the primary when we connected, and is none now."""
        state = self._by_loop.get(_running_loop())
        deposed = state is not None and state.leave_replica(self._deadline)
        for error in errors:
            error.deposed = deposed
        return deposed

    async def ask_all(
        self, batch: Batch, lasts: float | None = None, payload: bytes | None = None
    ) -> Replies:
        """Return the replies of a batch, in one flight; never raise what they met.

        `lasts` (seconds) replaces the deadline; `payload` is the batch, packed.
        """
        try:
            return await self._ask_all(batch, lasts, payload)
        except Unavailable as error:
            return Replies([error] * len(batch.commands))

    def launch(
        self, batch: Batch, lasts: float, payload: bytes | None
    ) -> asyncio.Future[Any] | None:
        """Send a batch at once; None where something else has to be done first.

        Its result is what the multiplexer gives: a reply, or a list for several.
        `payload` is the same packed, and many reads of one kind.
        """
        commands = batch.commands
        state = self._by_loop.get(_running_loop())
        if state is None or self._breaker.blocked or batch.atomic:
            return None
        if commands[0].lane is not _SHARED:
            return None
        connection = state.shared
        if connection is None or connection.full:
            return None
        if payload is None:
            if not outcomes.all_safe(commands) and connection.is_stale():
                return None
            payload = pack_all(list(commands))
        return connection.submit(payload, commands, lasts)

    async def _ask_all(
        self, batch: Batch, lasts: float | None, payload: bytes | None
    ) -> Replies:
        commands = batch.commands
        if not commands:
            return Replies([])
        lasts = lasts or commands[0].timeout or self._deadline
        lane = commands[0].lane
        safe = outcomes.all_safe(commands)
        if batch.atomic:
            payload, flight = fold(commands)
            items = await self._flight(payload, flight, lasts, safe, lane)
            return Replies(unfold(commands, items))
        if payload is None:
            payload = pack_all(list(commands))
        items = await self._flight(payload, commands, lasts, safe, lane)
        if len(commands) == 1:
            items = [items]
        refused = [item for item in items if type(item) is ReadOnly]
        if refused:
            self._leaves(*refused)
        missing = [
            index
            for index, item in enumerate(items)
            if outcomes.wants_another_try(item, commands[index])
        ]
        if missing:
            again = [commands[index] for index in missing]
            payload = b"".join([pack(each.words(source=True)) for each in again])
            try:
                found = await self._flight(payload, again, lasts, False, lane)
            except Unavailable as error:
                found = [error] * len(again)
            else:
                if len(again) == 1:
                    found = [found]
            for index, item in zip(missing, found, strict=True):
                items[index] = item
        return Replies(items)

    async def _flight(
        self,
        payload: bytes,
        commands: Sequence[Command],
        lasts: float,
        safe: bool,
        lane: Lane,
    ) -> Any:
        """Send bytes and await the reply (a list for several), with one retry."""
        attempt = 1
        breaker = self._breaker
        if not breaker.blocked and lane is _SHARED:
            state = self._by_loop.get(_running_loop())
            if state is not None:
                connection = state.shared
                if (
                    connection is not None
                    and not connection.full
                    and (safe or not connection.is_stale())
                ):
                    try:
                        reply = await connection.submit(payload, commands, lasts)
                    except Unavailable as error:
                        if not self.config.retries or not outcomes.may_repeat(
                            error, safe=safe
                        ):
                            raise
                        attempt = 2
                        lasts = error.left or lasts
                        outcomes.tell_retry(self.label, commands, attempt, error)
                    else:
                        if breaker.failures:
                            breaker.succeeded()
                        return reply
        return await self._slow_flight(payload, commands, lasts, safe, lane, attempt)

    async def _slow_flight(
        self,
        payload: bytes,
        commands: Sequence[Command],
        lasts: float,
        safe: bool,
        lane: Lane,
        attempt: int = 1,
    ) -> Any:
        breaker = self._breaker
        if breaker.blocked:
            breaker.admit()
        expires = time.monotonic() + lasts
        while True:
            try:
                connection, opened = await self._connection(lane)
                if opened:
                    expires = max(expires, connection.expires)
                if connection.full:
                    left = expires - time.monotonic()
                    await connection.room(_running_loop().time() + left)
                    if not connection.usable:
                        continue
                if not safe and connection.is_stale():
                    connection.close()
                    if opened:
                        raise outcomes.lost(self.label, EOFError(), sent=False)
                    continue
                left = max(expires - time.monotonic(), 0.001)
                reply = await connection.submit(payload, commands, left)
            except Unavailable as error:
                if (
                    attempt > self.config.retries
                    or not outcomes.may_repeat(error, safe=safe)
                    or time.monotonic() >= expires
                ):
                    raise
                attempt += 1
                outcomes.tell_retry(self.label, commands, attempt, error)
                continue
            if breaker.failures or breaker.blocked:
                breaker.succeeded()
            return reply

    async def _connection(self, lane: Lane) -> tuple[Multiplexer, bool]:
        state = await self.loops.current()
        current = state.bulk if lane is Lane.BULK else state.shared
        if current is not None and current.usable:
            return current, False
        return await state.connection(lane), True

    async def wait(self, effect: Wait) -> Any:
        """Run a blocking command on a connection of its own."""
        command, before = effect.command, effect.before
        breaker = self._breaker
        if breaker.blocked:
            breaker.admit()
        state = await self.loops.current()
        connection = await state.take_blocking()
        lasts = FOREVER if effect.timeout is None else effect.timeout
        first: Any = None
        try:
            asked: asyncio.Future[Any] | None = None
            if before is not None:
                payload = pack(before.words())
                asked = connection.submit(payload, (before,), self._deadline)
            awaited = connection.submit(
                pack(command.words()), (command,), lasts + self._deadline
            )
            if asked is not None:
                try:
                    first = await asked
                    if isinstance(first, RedponyError):
                        try:
                            raise first
                        finally:
                            del first
                except BaseException:
                    awaited.cancel()
                    raise
            if effect.exact and not await _is_done(awaited, lasts + EXACTLY):
                connection.close()
                return None if before is None else (first, None)
            reply = await awaited
        except BaseException:
            # The server may still be holding it: of no use to the next one.
            connection.close()
            raise
        state.give_back_blocking(connection)
        if isinstance(reply, RedponyError):
            try:
                raise reply
            finally:
                # A frame that holds its own error keeps all below it alive.
                del first, reply
        return reply if before is None else (first, reply)


async def _is_done(future: asyncio.Future[Any], seconds: float) -> bool:
    """Wait for a future, so many seconds at most; return whether it is done."""
    await asyncio.wait((future,), timeout=seconds)
    if not future.done():
        future.cancel()
    return not future.cancelled()
