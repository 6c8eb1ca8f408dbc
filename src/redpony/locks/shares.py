"""What a semaphore is on the server.

redpony{TAG}:semaphore          its holders, by when their time is over
redpony{TAG}:semaphore-line:weight   what they weigh together
redpony{TAG}:semaphore-line:queue    and the rest of a line, as in `redpony.locks.terms`
"""

from __future__ import annotations

from redpony.commands import ZSCORE, Command, Repeat, call
from redpony.locks.terms import Terms, line_beside
from redpony.plan import Plan
from redpony.scripts import script


class Shares(Terms):
    """A semaphore's terms: as many holders as there is room for."""

    shared = True

    def __init__(self, key: str, value: int, weight: int = 1) -> None:
        self.line = key
        self.value = value
        self.weight = weight
        base = line_beside(key)
        names = ("queue", "alive", "fence", "weight")
        self.keys = (key, *(f"{base}{name}" for name in names))
        self.mailboxes = f"{base}wake:".encode()
        self.limit = (b"%d" % value,)
        super().__init__("semaphore_acquire", "semaphore_release")
        self._extend = script("semaphore_extend")

    def give(self, token: bytes) -> Command:
        return self.release(token, b"", 0)

    def release(self, token: bytes, following: bytes, waited: float) -> Command:
        del following, waited  # everybody else stands in the server's line
        args = (token, *self.limit)
        return call(self._release, self.keys, args, repeat=Repeat.REPLY_DIFFERS)

    def cancel(self, token: bytes) -> Command:
        return self.release(token, b"", 0)

    def extend(self, token: bytes, milliseconds: int) -> Command:
        args = (token, b"%d" % milliseconds)
        return call(self._extend, self.keys, args, repeat=Repeat.SAFE)

    def has(self, token: bytes) -> Plan[bool]:
        return (yield ZSCORE(self.keys[0], token)) is not None

    def taken(self) -> Plan[bool]:
        return (yield from self.available()) < self.weight

    def available(self) -> Plan[int]:
        """Return what there is room for. One round trip."""
        command = call(script("semaphore_room"), self.keys)
        used: int = yield command
        return max(self.value - used, 0)
