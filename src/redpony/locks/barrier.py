"""`Barrier`: all come, or nobody goes on; as `threading.Barrier`, over processes."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from redpony.alias import Alias
from redpony.commands import Access, Command
from redpony.errors import BrokenBarrier, LockError
from redpony.leases import undo
from redpony.locks import tokens
from redpony.locks.terms import ALIVE
from redpony.locks.waiting import Waiting, ends_of, whole
from redpony.plan import Plan, both

HOUR: Final = 3600.0

BROKEN: Final = b"broken"


class Barrier(Waiting):
    """So many parties wait for each other, over and over.

        barrier = Barrier("step", 3)
        index = barrier.wait(timeout=60)  # 0, 1 or 2: a different one for each

    A party that waits too long, or is cancelled, breaks the barrier for all, at once.
    One that died while it waited breaks it when the next sign of life of another one
    comes: 4 s after its own last one at most. (So does a server that is away for longer
    than 3 s.) Then every `wait` raises `BrokenBarrier`, until somebody calls `reset`, or
    `ttl` seconds have passed. `timeout` is what `wait` takes if it is given none.
    """

    kind = "barrier"

    def __init__(
        self,
        name: str,
        parties: int,
        *,
        timeout: float | None = None,
        ttl: float | timedelta = HOUR,
        using: str | Alias | None = None,
    ) -> None:
        super().__init__(name, ttl, using)
        self.parties = whole(self.kind, "parties", parties)
        ends_of(self.kind, timeout)  # refuses what is none
        self.timeout = timeout

    def _wait(self, timeout: float | None = None) -> Plan[int]:
        """Wait until all parties have come; return which one this was, from 0.

        Raises `BrokenBarrier`, and breaks it after `timeout` seconds. One round trip
        for the last who comes, two for others, and one a second meanwhile.
        """
        ends = ends_of(self.kind, self.timeout if timeout is None else timeout)
        token = tokens.new_token(None)
        asked = 0

        def ask(is_last: bool) -> Command:
            nonlocal asked
            del is_last
            asked += 1
            return self._call(
                "barrier_wait",
                token,
                b"%d" % self.parties,
                b"%d" % (ALIVE * 1000),
                self.ttl,
                b"%d" % (asked > 1),
            )

        leaving = self._call("barrier_break", token, self.ttl)
        try:
            reply = yield from self._hear(token, ends, ask)
            if reply[0] == 0:
                reply = yield leaving
        except BaseException:
            # The others must not wait for one who will not come.
            undo(self.alias.link, leaving)
            raise
        if reply[0] == -1:
            raise LockError(
                f"The barrier {self.name!r} is for {int(reply[1])} parties, "
                f"not for {self.parties}.",
                name=self.name,
            )
        if reply[1] == BROKEN:
            raise BrokenBarrier(f"The barrier {self.name!r} is broken.", name=self.name)
        return int(reply[1])

    wait, awaited = both(_wait)

    def _abort(self) -> Plan[None]:
        """Break it, for all who wait and for all who come. One round trip."""
        yield self._call("barrier_break", b"", self.ttl)

    abort, aabort = both(_abort)

    def _reset(self) -> Plan[None]:
        """Begin anew; who waits meets `BrokenBarrier`. One round trip."""
        yield self._call("barrier_break", b"", b"0")

    reset, areset = both(_reset)

    def _n_waiting(self) -> Plan[int]:
        """Return how many wait. One round trip."""
        return int((yield self._look())[0])

    n_waiting, an_waiting = both(_n_waiting)

    def _broken(self) -> Plan[bool]:
        """Return whether it is broken. One round trip."""
        return bool((yield self._look())[1])

    broken, abroken = both(_broken)

    def _look(self) -> Command:
        return self._call("barrier_look", b"", access=Access.READ)
