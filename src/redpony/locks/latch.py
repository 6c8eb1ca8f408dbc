"""`Latch` and `Event`: many wait for one thing, and go on together.

An event is a latch that counts from 1, and can be closed again. Both are kept for `ttl`
after they were last used, open or not.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final

from redpony.alias import Alias
from redpony.commands import DEL, Command
from redpony.errors import LockError
from redpony.locks import tokens
from redpony.locks.crowd import LOOKS, Member, crowd_for
from redpony.locks.terms import ALIVE
from redpony.locks.waiting import Waiting, ends_of, whole
from redpony.plan import Await, Plan, both

monotonic = time.monotonic

DAY: Final = 86400.0


class Counting(Waiting):
    """What is closed until it was counted down to zero."""

    def __init__(
        self, name: str, total: int, ttl: float | timedelta, using: str | Alias
    ) -> None:
        super().__init__(name, ttl, using)
        self._total = b"%d" % total

    def _wait(self, timeout: float | None = None) -> Plan[bool]:
        """Wait until it is open, so many seconds at most; return whether it is.

        One round trip where it is, and where it opens; one a second meanwhile, for
        all who wait in this process. Raises `Unavailable`.
        """
        ends = ends_of(self.kind, timeout)
        crowd = crowd_for(self.alias.link, self.keys[0])
        me = crowd.join()
        try:
            while not me.is_open:
                if crowd.is_front(me):
                    return (yield from self._wait_in_front(me, ends))
                left = LOOKS if ends is None else min(LOOKS, ends - monotonic())
                if left <= 0:
                    return (yield from self._wait_in_front(me, ends))
                yield Await(me.signal, left)
                me.signal.clear()
            return True
        finally:
            crowd.leave(me)

    wait, awaited = both(_wait)

    def _wait_in_front(self, me: Member, ends: float | None) -> Plan[bool]:
        crowd = crowd_for(self.alias.link, self.keys[0])
        token = tokens.new_token(None)
        is_front = crowd.is_front(me)

        def ask(is_last: bool) -> Command:
            if is_front:
                crowd.cover()
            alive = 0 if is_last else int(ALIVE * 1000)
            return self._call("latch_wait", token, self._total, self.ttl, b"%d" % alive)

        is_open = self._checked((yield from self._hear(token, ends, ask)))[0] == 1
        if is_open and is_front:
            crowd.open()
        return is_open

    def closing(self) -> Plan[None]:
        """The plan that closes it; who waits goes on waiting."""
        yield DEL(self.keys[0])

    def _lower(self, by: int) -> Plan[int]:
        args = (self._total, self.ttl, b"%d" % by)
        reply = yield self._call("latch_down", tokens.new_token(None), *args)
        return int(self._checked(reply)[1])

    def _checked(self, reply: list[bytes]) -> list[bytes]:
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
        using: str | Alias = "default",
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
        using: str | Alias = "default",
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
