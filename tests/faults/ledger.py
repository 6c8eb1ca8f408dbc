"""What one worker was told, and what it may therefore find.

Each worker has keys, a counter and a list of its own. Every value names its key
and a number that is given out once. A plan-like generator yields one operation
at a time, as `(method, arguments)`, and is sent what became of it, so the same
body runs in threads and in tasks. What is checked:

* A value that is read names the key that was asked for, and is one that this
  worker has written: the one acknowledged last, or one whose outcome was
  unknown, which may arrive late and once. Anything else is *wrong*; an older
  acknowledged value is *stale*; nothing where something must be is *lost*.
* A counter's answer is one more than the last, plus at most one for every
  increment in doubt. What is above that is a *duplicate*.
* A token is pushed once. Twice in the list is a *duplicate*; a token that "was
  not sent", or was refused, in the list is *wrong*.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

from redpony.errors import RedponyError

MISS = "<nothing>"
"""The default that reads are given: no worker ever writes it."""

MIX = {"get": 4, "get_many": 1, "set": 3, "delete": 1, "incr": 3, "push": 2}

Call = tuple[str, tuple[Any, ...]]
Met = tuple[Any, RedponyError | None]
"""What an operation came to: its result, or the error in its place."""


@dataclass
class Key:
    """What is known of one key: its value's number, and numbers in doubt.

    0 stands for "not there".
    """

    name: str
    now: int = 0
    doubts: set[int] = field(default_factory=set)
    past: set[int] = field(default_factory=set)

    def wrote(self, number: int, error: RedponyError | None) -> None:
        if error is None:
            self.past.add(self.now)
            self.now = number
        elif error.outcome == "unknown":
            self.doubts.add(number)


@dataclass
class Ledger:
    """One worker's books."""

    name: str
    seed: int = 0
    size: int = 3
    fillers: tuple[int, ...] = (0, 10, 1_000, 20_000)
    figures: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(f"{self.seed}:{self.name}")
        self.keys = [Key(f"{self.name}:{number}") for number in range(self.size)]
        self.counter = f"{self.name}:count"
        self.list = f"{self.name}:list"
        self.counted = 0
        self.counts_in_doubt = 0
        self.pushed: dict[str, str] = {}
        self._number = 0

    # -- one operation after the other ---------------------------------------

    def operations(self, mix: dict[str, int]) -> Generator[Call, Met, None]:
        """Yield operations for ever, and keep the books."""
        names, weights = list(mix), list(mix.values())
        while True:
            (name,) = self.random.choices(names, weights)
            yield from getattr(self, f"_{name}")()

    def _get(self) -> Generator[Call, Met, None]:
        key = self.random.choice(self.keys)
        value, error = yield "get", (key.name, MISS)
        if self._answered(error):
            self._compare(key, value)

    def _get_many(self) -> Generator[Call, Met, None]:
        keys = self.random.sample(self.keys, 2)
        values, error = yield "get_many", ([key.name for key in keys],)
        if self._answered(error):
            if unasked := values.keys() - {key.name for key in keys}:
                self._wrong(f"{self.name} did not ask for {sorted(unasked)}")
            for key in keys:
                self._compare(key, values.get(key.name, MISS))

    def _set(self) -> Generator[Call, Met, None]:
        key = self.random.choice(self.keys)
        number = self._next()
        filler = "x" * self.random.choice(self.fillers)
        _, error = yield "set", (key.name, (key.name, number, filler), None)
        self._answered(error)
        key.wrote(number, error)

    def _delete(self) -> Generator[Call, Met, None]:
        key = self.random.choice(self.keys)
        found, error = yield "delete", (key.name,)
        if self._answered(error) and found and not key.now and not key.doubts:
            if key.past:
                self._lost(f"{key.name} was there, though it had been deleted")
            else:
                self._wrong(f"{key.name} was deleted, but was never written")
        key.wrote(0, error)

    def _script(self) -> Generator[Call, Met, None]:
        """Increment by a script, which wants the key to be there."""
        yield from self._incr(by_script=self.counted > 0)

    def _incr(self, *, by_script: bool = False) -> Generator[Call, Met, None]:
        # Without the check for the key: the counter may be gone with its server.
        count, error = yield "incr", (self.counter, 1, None, not by_script)
        if self._answered(error):
            self._count(count, self.counted + 1)
        elif error is not None and error.outcome == "unknown":
            self.counts_in_doubt += 1

    def _push(self) -> Generator[Call, Met, None]:
        token = f"{self.name}:token{self._next()}"
        _, error = yield "rpush", (self.list, token)
        self._answered(error)
        self.pushed[token] = "answered" if error is None else str(error.outcome)

    # -- what the server has in the end --------------------------------------

    def audit(self, count: Any, tokens: Iterable[str]) -> None:
        """Compare with the counter and the list as they are now."""
        self._count(count, self.counted)
        found = Counter(tokens)
        for token, times in found.items():
            if times > 1:
                self.figures["duplicates"] += times - 1
                self.complaints.append(f"{token} is there {times} times")
            if self.pushed.get(token) not in ("answered", "unknown"):
                self._wrong(f"{token} is there, but was {self.pushed.get(token)}")
        for token, outcome in self.pushed.items():
            if outcome == "answered" and token not in found:
                self._lost(f"{token} was acknowledged and is not there")

    # -- checks --------------------------------------------------------------

    def _answered(self, error: RedponyError | None) -> bool:
        self.figures["operations"] += 1
        outcome = "answered" if error is None else str(error.outcome)
        self.figures[outcome] += 1
        return error is None

    def _compare(self, key: Key, value: Any) -> None:
        if value == MISS:
            number = 0
        elif isinstance(value, tuple) and len(value) == 3 and value[0] == key.name:
            number = value[1]
        else:
            self._wrong(f"{key.name} was answered with {str(value)[:80]!r}")
            return
        if number == key.now:
            return
        if number in key.doubts:
            key.doubts.discard(number)
            key.past.add(key.now)
            key.now = number
        elif number in key.past and number:
            self.figures["stale"] += 1
            self.complaints.append(f"{key.name}: {number} after {key.now}")
        elif not number:
            self._lost(f"{key.name}: {key.now} was acknowledged and is not there")
            key.past.add(key.now)
            key.now = 0
        else:
            self._wrong(f"{key.name}: {number} was never written")

    def _count(self, count: Any, least: int) -> None:
        """Check a counter's value, where `least` is what it must have reached."""
        if not isinstance(count, int):
            self._wrong(f"{self.counter} was answered with {str(count)[:80]!r}")
            return
        if count > least + self.counts_in_doubt:
            over = count - least - self.counts_in_doubt
            self.figures["duplicates"] += over
            self.complaints.append(f"{self.counter} is {count}, {over} too many")
        elif count >= least:
            self.counts_in_doubt -= count - least
        else:
            self._lost(f"{self.counter} is {count} after {self.counted}")
            # It began anew: what it counts from there is as strict.
            begun = least - self.counted
            if count > begun + self.counts_in_doubt:
                self.figures["behind"] += 1
        self.counted = count

    def _wrong(self, complaint: str) -> None:
        self.figures["wrong"] += 1
        self.complaints.append(complaint)

    def _lost(self, complaint: str) -> None:
        self.figures["lost"] += 1
        self.complaints.append(complaint)

    def _next(self) -> int:
        self._number += 1
        return self._number
