"""The blocking driver: performs a plan's effects on pooled connections.

One command costs one system call out and one in. `run` drives a plan; `ask` and
`ask_all` perform one flight. Time: `DEADLINE` from call to answer, the wait for
a connection and repetitions included; `CONNECT_TIMEOUT` replaces it for the one
operation that has to open a connection. The user's code (`Invoke`) runs between
flights, holds no connection, and its time is its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from redpony.commands import Command, Lane, Repeat
from redpony.errors import (
    Busy,
    CircuitOpen,
    Loading,
    NoScript,
    NotPrimary,
    PoolExhausted,
    ProtocolError,
    ReadOnly,
    RedponyError,
    Unavailable,
)
from redpony.interrupts import is_interrupt
from redpony.plan import (
    Batch,
    Replies,
    Wait,
)
from redpony.wire import outcomes
from redpony.wire.breaker import Breaker
from redpony.wire.config import LinkConfig
from redpony.wire.credentials import Renewal
from redpony.wire.driving import BlockingDrive
from redpony.wire.handshake import Facts
from redpony.wire.pool import Connection, Pool, reauthenticate
from redpony.wire.replies import misfit, out_of_step, pack, pack_all
from redpony.wire.transaction import fold, unfold

R = TypeVar("R")
monotonic = time.monotonic
_SAFE = Repeat.SAFE

EXACTLY = 0.005
"""Seconds that a server has to say that an exact wait's time ran out."""

FOREVER = 2_000_000.0
"""Seconds of a wait without end: what `poll` can count, about 23 days."""

WAITING = 10_000
"""Connections on which threads wait: as many as there are such threads."""


class BlockingDriver(BlockingDrive):
    """Runs plans on one server, blocking the calling thread."""

    def __init__(
        self, config: LinkConfig, breaker: Breaker, renewal: Renewal, facts: Facts
    ) -> None:
        self.config = config
        self.pool = Pool(config, facts)
        self.lines = Pool(replace(config, pool_size=WAITING), facts)
        self._idle = self.pool.idle
        self._breaker = breaker
        self._renewal = renewal
        self._deadline = config.deadline
        self.label = config.label

    @property
    def is_blocked(self) -> bool:
        """Whether the node is left alone, unless a probe is due."""
        return self._breaker.blocked

    def is_outdated(self, connection: Connection) -> bool:
        """Whether a connection has to renew its credentials first."""
        return connection.auth_epoch != self._renewal.epoch

    def answered(self) -> None:
        """Tell the breaker that the node has answered."""
        if self._breaker.failures or self._breaker.blocked:
            self._breaker.succeeded()

    def ask(self, command: Command) -> Any:
        """Return the reply to one command, or raise."""
        kind = command.kind
        if kind.shared and command.detour is None and not self._breaker.blocked:
            try:
                connection = self._idle.pop()
            except IndexError:
                pass
            else:
                # Only what can be repeated may run into an end of file.
                if kind.safe or command.resolves or not connection.is_stale():
                    return self._ask_quickly(command, connection)
                self.pool.drop(connection)
        return self._ask_carefully(command)

    def _ask_quickly(self, command: Command, connection: Connection) -> Any:
        """Ask with a connection at hand: what nearly every call comes to."""
        started = monotonic()
        lasts = command.timeout or self._deadline
        kind = command.kind
        sent = False
        try:
            if connection.auth_epoch != self._renewal.epoch:
                self._reauthenticate(connection, started + lasts)
            stream = connection.stream
            payload = command.payload or pack(command.words())
            stream.send(payload, started + lasts)  # type: ignore[union-attr]
            sent = True
            reply = connection.answer(started, lasts)
            if type(reply) not in kind.reply:
                wrong = misfit(kind, reply)
                if wrong is not None:
                    raise wrong
        except BaseException as error:
            failure = self.failure(connection, error, command, sent=sent, idle=True)
            repeatable = outcomes.may_repeat(failure, safe=kind.safe)
            if not repeatable or not self.config.retries:
                if failure is error:
                    raise
                raise failure from error
            outcomes.tell_retry(self.label, (command,), 2, failure)
            left = started + lasts - monotonic()
            again = command.within(max(left, 0.001))
            return self._ask_carefully(again, 2)
        pool = self.pool
        if pool.waiting:
            pool.give_back(connection)
        else:
            self._idle.append(connection)
        breaker = self._breaker
        if breaker.failures:
            breaker.succeeded()
        if isinstance(reply, RedponyError):
            if type(reply) is NoScript and command.script is not None:
                return self._ask_whole(command, started + lasts)
            if type(reply) is ReadOnly and self._leaves(connection, reply):
                left = started + lasts - monotonic()
                return self._ask_carefully(command.within(max(left, 0.001)), 2)
            raise reply
        return reply

    def _leaves(self, connection: Connection, *errors: ReadOnly) -> bool:
        """Leave a server that was the primary when we connected, and is none now.

        Its name may lead to its successor by now. (A pool that keeps such
        connections writes to a replica until the process ends.)
        """
        deposed = connection.features.is_primary
        if deposed:
            connection.features = replace(connection.features, role="replica")
            self.close()
        for error in errors:
            error.deposed = deposed
        return deposed

    def _ask_carefully(self, command: Command, attempt: int = 1) -> Any:
        if command.detour is not None or command.kind.lane is not Lane.SHARED:
            return self._ask_on_lane(command)
        payload = pack(command.words())
        repeatable = command.kind.repeat is _SAFE
        expires = monotonic() + (command.timeout or self._deadline)
        reply = self._flight(
            payload, (command,), 1, expires, repeatable, attempt=attempt
        )[0]
        if isinstance(reply, RedponyError):
            if type(reply) is NoScript and command.script is not None:
                return self._ask_whole(command, expires)
            if type(reply) is ReadOnly and reply.deposed and attempt == 1:
                left = max(expires - monotonic(), 0.001)
                return self._ask_carefully(command.within(left), 2)
            raise reply
        return reply

    def _ask_whole(self, command: Command, expires: float) -> Any:
        """Send a script's source to a server that does not know its digest."""
        payload = pack(command.words(source=True))
        reply = self._flight(payload, (command,), 1, expires, command.kind.safe)[0]
        if isinstance(reply, RedponyError):
            raise reply
        return reply

    def ask_all(
        self, batch: Batch, lasts: float | None = None, payload: bytes | None = None
    ) -> Replies:
        """Return the replies of a batch, in one flight; never raise what they met.

        `lasts` (seconds) replaces the deadline; `payload` is the batch, packed.
        """
        try:
            return self._ask_all(batch, lasts, payload)
        except Unavailable as error:
            return Replies([error] * len(batch.commands))

    def _ask_all(
        self, batch: Batch, lasts: float | None, payload: bytes | None
    ) -> Replies:
        commands = batch.commands
        if not commands:
            return Replies([])
        expires = monotonic() + (lasts or commands[0].timeout or self._deadline)
        if batch.atomic:
            return self._ask_atomic(commands, expires)
        if payload is None:
            payload = pack_all(list(commands))
        safe = outcomes.all_safe(commands)
        items = self._flight(payload, commands, len(commands), expires, safe, True)
        missing = [
            index
            for index, item in enumerate(items)
            if outcomes.wants_another_try(item, commands[index])
        ]
        if missing:
            again = [commands[index] for index in missing]
            payload = b"".join([pack(each.words(source=True)) for each in again])
            try:
                found = self._flight(payload, again, len(again), expires, False, True)
            except Unavailable as error:
                found = [error] * len(again)
            for index, item in zip(missing, found, strict=True):
                items[index] = item
        return Replies(items)

    def _ask_atomic(self, commands: Sequence[Command], expires: float) -> Replies:
        payload, flight = fold(commands)
        safe = outcomes.all_safe(commands)
        items = self._flight(payload, flight, len(flight), expires, safe, True)
        return Replies(unfold(commands, items))

    def _flight(
        self,
        payload: bytes,
        commands: Sequence[Command],
        count: int,
        expires: float,
        safe: bool,
        batch: bool = False,
        attempt: int = 1,
    ) -> list[Any]:
        """Send bytes and read `count` replies, once more where that is allowed.

        A batch keeps what was answered before its connection broke: the rest
        carries the error. A single command's failure is raised.
        """
        breaker = self._breaker
        if breaker.blocked:
            breaker.admit()
        while True:
            # Where one connection was closed while idle, others will be too.
            check = attempt > 1 or not safe
            try:
                items = self._try(payload, commands, count, expires, check, batch)
            except Unavailable as error:
                if (
                    attempt > self.config.retries
                    or not outcomes.may_repeat(error, safe=safe)
                    or monotonic() >= expires
                ):
                    raise
                attempt += 1
                outcomes.tell_retry(self.label, commands, attempt, error)
                continue
            if breaker.failures or breaker.blocked:
                breaker.succeeded()
            return items

    def _try(
        self,
        payload: bytes,
        commands: Sequence[Command],
        count: int,
        expires: float,
        check: bool,
        batch: bool,
    ) -> list[Any]:
        pool = self.pool
        try:
            connection = None if check else pool.idle.pop()
        except IndexError:
            connection = None
        idle = connection is not None
        if connection is None:
            connection, expires = self._take(expires, check)
        items: list[Any] = []
        sent = False
        try:
            if connection.auth_epoch != self._renewal.epoch:
                self._reauthenticate(connection, expires)
            # Of several commands the first may arrive though sending broke off.
            sent = count > 1
            connection.send(payload, expires)
            sent = True
            connection.read_into(items, count, expires)
            wrong = self.first_misfit(commands, items, connection)
            if wrong is not None:
                raise wrong
        except BaseException as error:
            sent = sent or bool(items)
            failure = self.failure(connection, error, commands[0], sent=sent, idle=idle)
            if not isinstance(failure, ProtocolError) and batch and items:
                # What was answered stands; the rest has its own outcome.
                items.extend([failure] * (count - len(items)))
                return items
            if failure is error:
                raise
            raise failure from error
        pool.give_back(connection)
        refused = [item for item in items if type(item) is ReadOnly]
        if refused:
            self._leaves(connection, *refused)
        return items

    def _take(
        self, expires: float, check: bool, pool: Pool | None = None
    ) -> tuple[Connection, float]:
        """Return a connection and the time its operation has: see DEADLINE."""
        epoch = self._renewal.epoch
        try:
            connection, fresh = (pool or self.pool).take(
                expires, check=check, give_up=self._breaker.refuse
            )
        except (PoolExhausted, CircuitOpen, Loading, Busy, NotPrimary):
            raise
        except Unavailable as error:
            # Refused credentials too: not every request may try them again.
            self._breaker.failed(error)
            raise
        if fresh:
            connection.auth_epoch = epoch
            expires = max(expires, connection.expires)
        return connection, expires

    def first_misfit(
        self, commands: Sequence[Command], items: list[Any], connection: Connection
    ) -> ProtocolError | None:
        """Return an error if a reply cannot be its command's, or one is too many."""
        kind = commands[0].kind
        if commands[-1] is commands[0] and set(map(type, items)) <= set(kind.reply):
            # Many of one kind, by one object: looked at all at once.
            return out_of_step(self.label) if connection.has_more() else None
        for command, item in zip(commands, items, strict=True):
            kinds = command.kind.reply
            if kinds and type(item) not in kinds:
                wrong = misfit(command.kind, item)
                if wrong is not None:
                    return wrong
        return out_of_step(self.label) if connection.has_more() else None

    def failure(
        self,
        connection: Connection,
        error: BaseException,
        command: Command,
        *,
        sent: bool,
        idle: bool,
    ) -> Unavailable:
        """Drop a connection, and return what happened; raise what is not ours.

        That an idle connection turns out to be closed says nothing about the
        node: what the repetition meets does.
        """
        self.pool.drop(connection, error)
        if is_interrupt(error):
            raise error
        failure: Unavailable
        if isinstance(error, TimeoutError):
            lasts = command.timeout or self._deadline
            failure = outcomes.overdue(self.label, lasts, sent=sent)
        elif isinstance(error, (OSError, EOFError, AttributeError)):
            failure = outcomes.lost(self.label, error, sent=sent)
            if idle:
                return failure
        elif isinstance(error, Unavailable):
            failure = error
        elif isinstance(error, TypeError) and sent:
            # hiredis, about a map whose keys are lists.
            failure = ProtocolError(
                f"{self.label} sent what cannot be read ({error}); the connection "
                "has been closed",
                outcome="unknown",
            )
        else:
            raise error
        self._breaker.failed(failure)
        return failure

    def _reauthenticate(self, connection: Connection, expires: float) -> None:
        renewal = self._renewal
        # The epoch first: newer words than it says are sent again, older ones not.
        epoch = renewal.epoch
        reauthenticate(connection, renewal.words, epoch, expires)

    def _ask_on_lane(self, command: Command) -> Any:
        if command.lane is Lane.BLOCKING:
            if command.timeout is None:
                raise TypeError(
                    f"{command.name} blocks: yield it as Wait(command, timeout)"
                )
            return self.wait(Wait(command, command.timeout))
        plain = Command(command.kind, command.args, command.timeout)
        payload = pack(plain.words())
        expires = monotonic() + (command.timeout or self._deadline)
        safe = command.kind.repeat is _SAFE
        reply = self._flight(payload, (plain,), 1, expires, safe)[0]
        if isinstance(reply, RedponyError):
            raise reply
        return reply

    def wait(self, effect: Wait) -> Any:
        """Return the reply to a blocking command; None where its time ran out.

        Those who wait have connections of their own: who they wait for needs one of
        the pool's to get on.
        """
        command, before = effect.command, effect.before
        breaker = self._breaker
        if breaker.blocked:
            breaker.admit()
        lasts = FOREVER if effect.timeout is None else effect.timeout
        expires = monotonic() + self.config.connect_timeout
        connection, _ = self._take(expires, True, self.lines)
        begun = monotonic()
        expires = begun + lasts + self._deadline
        sent = is_late = False
        try:
            if connection.auth_epoch != self._renewal.epoch:
                self._reauthenticate(connection, monotonic() + self._deadline)
            sent = True
            payload = pack(command.words())
            first = None
            if before is None:
                connection.send(payload, expires)
            else:
                connection.send(pack(before.words()) + payload, expires)
                first = connection.read(monotonic() + self._deadline)
            refused = isinstance(first, RedponyError)
            reply = first
            if not refused:
                reply, is_late = _hear(connection, effect.exact, begun + lasts, expires)
            if not (refused or is_late):
                wrong = self.first_misfit((command,), [reply], connection)
                if wrong is not None:
                    raise wrong
        except BaseException as error:
            failure = self.failure(connection, error, command, sent=sent, idle=False)
            if failure is error:
                raise
            raise failure from error
        if refused or is_late:
            # The server goes on with the wait: of no use to the next one.
            self.lines.drop(connection)
        else:
            self.lines.give_back(connection)
        if not is_late:
            self.answered()
        if isinstance(reply, RedponyError):
            if type(reply) is ReadOnly:
                self._leaves(connection, reply)
            try:
                raise reply
            finally:
                # A frame that holds its own error keeps all below it alive.
                del first, reply
        return reply if before is None else (first, reply)

    def close(self) -> None:
        """Close the connections that are idle."""
        self.pool.close()
        self.lines.close()


def _hear(
    connection: Connection, exact: bool, ends: float, expires: float
) -> tuple[Any, bool]:
    """Return a reply, and whether it is late: then nobody waits for it."""
    if not exact:
        return connection.read(expires), False
    try:
        return connection.read(ends + EXACTLY), False
    except TimeoutError:
        return None, True
