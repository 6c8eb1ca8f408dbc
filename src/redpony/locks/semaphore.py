"""`Semaphore` and `ReadWriteLock`: a bounded number of holders, first come, first served.

Both are one machine: a sum of weights with a limit. A reader weighs 1, a writer
everything, so a writer waits for the readers before it and nobody behind it passes by:
neither starves.
"""

from __future__ import annotations

from typing import Any, Final

from redpony.locks.claim import Claim
from redpony.locks.shares import Shares
from redpony.locks.terms import own_key
from redpony.plan import Plan, both

EVERYTHING: Final = 1_000_000
"""What a writer weighs: so many readers there may be at once."""


class Semaphore(Claim[Shares]):
    """At most `value` holders at a time, over all processes.

        with Semaphore("exports", 3): ...

    `weight` is how many of the places one holder takes. The rest are the options of
    `Lock`. All who use a name must give it the same value; where they do not, each
    holds to its own.
    """

    kind = "semaphore"

    def __init__(
        self, name: str, value: int, *, weight: int = 1, **options: Any
    ) -> None:
        super().__init__(name, **options)
        given: Any
        for what, given in (("value", value), ("weight", weight)):
            if isinstance(given, bool) or not isinstance(given, int) or given < 1:
                raise ValueError(f"{what} of a semaphore must be 1 or more: {given!r}")
        if weight > value:
            raise ValueError(f"a weight of {weight} never fits into {value} places")
        key = own_key(self.alias.config.key_prefix, name, "semaphore")
        self.terms = Shares(key, value, weight)

    def _available(self) -> Plan[int]:
        """Return how many places are free. One round trip."""
        return (yield from self.terms.available())

    available, aavailable = both(_available)

    def _locked(self) -> Plan[bool]:
        """Return whether there is no room now. One round trip."""
        return (yield from self.terms.taken())

    locked, alocked = both(_locked)


class Side(Claim[Shares]):
    """One side of a `ReadWriteLock`."""

    def __init__(self, kind: str, name: str, weight: int, **options: Any) -> None:
        super().__init__(name, **options)
        self.kind = kind
        key = own_key(self.alias.config.key_prefix, name, "rw")
        self.terms = Shares(key, EVERYTHING, weight)


class ReadWriteLock:
    """Many readers or one writer, over all processes.

        lock = ReadWriteLock("catalogue")
        with lock.read: ...
        with lock.write as held: ...

    The options are those of `Lock`, for both sides. Who reads cannot begin to write
    before it has given back: it would wait for itself.
    """

    def __init__(self, name: str, **options: Any) -> None:
        self.name = name
        self.read = Side("read lock", name, 1, **options)
        self.write = Side("write lock", name, EVERYTHING, **options)

    def __repr__(self) -> str:
        return f"<ReadWriteLock {self.name!r}>"
