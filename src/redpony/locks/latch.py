"""`Latch` and `Event`: many wait for one thing, and go on together.

An event is a latch that counts from 1, and can be closed again. Both are kept for `ttl`
after they were last used, open or not.
"""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from typing import Any, Final

from redpony.alias import Alias
from redpony.commands import Command, Repeat, call
from redpony.errors import LockError
from redpony.locks import tokens
from redpony.locks.crowd import LOOKS, crowd_for
from redpony.locks.terms import ALIVE
from redpony.locks.waiting import Waiting, ends_of, whole
from redpony.plan import Await, Plan, both
from redpony.scripts import script

monotonic = time.monotonic

DAY: Final = 86400.0


class Counting(Waiting):
    """What is closed until it was counted down to zero."""

    def __init__(
        self, name: str, total: int, ttl: float | timedelta, using: str | Alias | None
    ) -> None:
        super().__init__(name, ttl, using)
        self._total = b"%d" % total

    def _wait(self, timeout: float | None = None) -> Plan[bool]:
        """Wait until it is open, so many seconds at most; return whether it is.

        True also where it was open meanwhile, and is closed again. One round trip where
        it is open, two where it opens; one a second meanwhile, for all who wait in this
        process. Raises `Unavailable`.
        """
        ends = ends_of(self.kind, timeout)
        token = tokens.new_token(None)
        reply = yield from self._asked(self._asking(token))
        if reply[0] == 1:
            return True
        since = int(reply[1])
        crowd = crowd_for(self.alias.link, self.keys[0])
        me = crowd.join(since)
        try:
            while not me.is_released:
                left = LOOKS if ends is None else min(LOOKS, ends - monotonic())
                is_front = crowd.is_front(me)
                if is_front or left <= 0:
                    ask = partial(self._asking, token, since)
                    reply = self._checked((yield from self._hear(token, ends, ask)))
                    if reply[0] == 1:
                        crowd.release(int(reply[1]))
                    return bool(reply[0] == 1)
                yield Await(me.signal, left)
                me.signal.clear()
            return True
        finally:
            crowd.leave(me)

    wait, awaited = both(_wait)

    def _asking(
        self, token: bytes, since: int | None = None, is_last: bool = True
    ) -> Command:
        alive = b"%d" % (0 if is_last else int(ALIVE * 1000))
        known = b"" if since is None else b"%d" % since
        return self._call("latch_wait", token, self._total, self.ttl, alive, known)

    def _asked(self, command: Command) -> Plan[list[Any]]:
        reply: list[Any] = yield command
        return self._checked(reply)

    def closing(self) -> Plan[None]:
        """The plan that closes it; who waits goes on waiting."""
        keys = self.keys[:1]
        yield call(script("latch_close"), keys, repeat=Repeat.SAFE)

    def _lower(self, by: int) -> Plan[int]:
        args = (self._total, self.ttl, b"%d" % by)
        command = self._call("latch_down", tokens.new_token(None), *args)
        return int((yield from self._asked(command))[1])

    def _checked(self, reply: list[Any]) -> list[Any]:
        if reply[0] == -1:
            raise LockError(
                f"The {self.kind} {self.name!r} counts from {int(reply[1])}, "
                f"not from {int(self._total)}.",
                name=self.name,
            )
        return reply


class Latch(Counting):
    """Closed until it was counted down to zero; then it stays open.

        latch = Latch("import", 3)
        latch.count_down()      # in each of three processes
        latch.wait(timeout=60)  # True when all three have

    All who use a name must count from the same number: `LockError` if not. It is
    forgotten, and closed again, `ttl` seconds after it was last used.
    """

    kind = "latch"

    def __init__(
        self,
        name: str,
        count: int,
        *,
        ttl: float | timedelta = DAY,
        using: str | Alias | None = None,
    ) -> None:
        super().__init__(name, whole(self.kind, "count", count), ttl, using)

    def _count_down(self, n: int = 1) -> Plan[int]:
        """Count down by `n`, to zero at most; return what is left. One round trip."""
        return (yield from self._lower(whole(self.kind, "n", n)))

    count_down, acount_down = both(_count_down)

    def _count(self) -> Plan[int]:
        """Return what is left to be counted. One round trip."""
        return (yield from self._lower(0))

    count, acount = both(_count)

    def _reset(self) -> Plan[None]:
        """Count from the beginning; who waits goes on waiting. One round trip."""
        yield from self.closing()

    reset, areset = both(_reset)


class Event(Counting):
    """`threading.Event` for all processes: closed until it is set.

        Event("ready").set()
        Event("ready").wait(timeout=60)

    Whoever waits when it is set goes on, though it be cleared at once. It is forgotten,
    and so not set any more, `ttl` seconds after it was last set or waited for.
    """

    kind = "event"

    def __init__(
        self,
        name: str,
        *,
        ttl: float | timedelta = DAY,
        using: str | Alias | None = None,
    ) -> None:
        super().__init__(name, 1, ttl, using)

    def _set(self) -> Plan[None]:
        """Have all go on who wait, or will. One round trip."""
        yield from self._lower(1)

    set, aset = both(_set)

    def _clear(self) -> Plan[None]:
        """Have those wait who come from now on. One round trip."""
        yield from self.closing()

    clear, aclear = both(_clear)

    def _is_set(self) -> Plan[bool]:
        """Return whether it is set. One round trip."""
        return (yield from self._lower(0)) == 0

    is_set, ais_set = both(_is_set)
