"""What a semaphore is on the server.

redpony{TAG}:semaphore          its holders, by when their time is over
redpony{TAG}:semaphore:weight   what they weigh together
redpony{TAG}:semaphore:queue    and the rest of a line, as in `redpony.locks.terms`
"""

from __future__ import annotations

from redpony.commands import ZSCORE, Command, Repeat, Script, call
from redpony.locks.terms import Terms
from redpony.plan import Plan
from redpony.scripts import script


class Shares(Terms):
    """A semaphore's terms: as many holders as there is room for."""

    shared = True

    def __init__(self, key: str, limit: int, weight: int = 1) -> None:
        self.line = key
        self.limit = limit
        self.weight = weight
        names = ("queue", "alive", "fence", "weight")
        self.keys = (key, *(f"{key}:{name}" for name in names))
        self.mailboxes = f"{key}:wake:".encode()
        self._limit = b"%d" % limit
        self._acquire = script("semaphore_acquire")
        self._release = script("semaphore_release")
        self._extend = script("semaphore_extend")

    def acquire(self, token: bytes, lease: int, alive: float, waited: float) -> Command:
        return self._call(
            self._acquire,
            token,
            b"%d" % lease,
            b"%d" % (alive * 1000),
            b"%d" % (waited * 1_000_000),
            self._limit,
        )

    def release(self, token: bytes, following: bytes, waited: float) -> Command:
        del following, waited  # everybody else stands in the server's line
        return self._call(
            self._release, token, self._limit, repeat=Repeat.REPLY_DIFFERS
        )

    def cancel(self, token: bytes) -> Command:
        return self.release(token, b"", 0)

    def extend(self, token: bytes, milliseconds: int) -> Command:
        return self._call(self._extend, token, b"%d" % milliseconds)

    def has(self, token: bytes) -> Plan[bool]:
        return (yield ZSCORE(self.keys[0], token)) is not None

    def taken(self) -> Plan[bool]:
        return (yield from self.available()) < self.weight

    def available(self) -> Plan[int]:
        """Return what there is room for. One round trip."""
        command = call(script("semaphore_room"), self.keys, (b"", self.mailboxes))
        used: int = yield command
        return max(self.limit - used, 0)

    def _call(
        self,
        which: Script,
        token: bytes,
        *args: bytes,
        repeat: Repeat = Repeat.SAFE,
    ) -> Command:
        return call(which, self.keys, (token, self.mailboxes, *args), repeat=repeat)
