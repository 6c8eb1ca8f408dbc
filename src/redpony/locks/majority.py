"""What a lock is on several servers: the same on each, and had by who has most of them.

Every question goes to all servers at once, and has a declared time: that of the most
hurried of the aliases (`DEADLINE`), and no more than a tenth of the lease.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Sequence
from typing import Any

from redpony.alias import Alias
from redpony.commands import GET, Command, Repeat, call
from redpony.errors import RedponyError, ServerError, Unavailable
from redpony.leases import undo
from redpony.locks.terms import Exclusive, exclusive
from redpony.plan import Everywhere, Plan
from redpony.scripts import script

Ask = Callable[[Exclusive], Command]


class Majority(Exclusive):
    """A lock's terms on several servers that know nothing of each other."""

    def __init__(
        self, name: str, aliases: Sequence[Alias], keys: Sequence[str], seconds: float
    ) -> None:
        super().__init__(keys[0])
        self.name = name
        self.line = "\n".join(keys)
        self.links = tuple(alias.link for alias in aliases)
        self.each = tuple(exclusive(key) for key in keys)
        self.needed = len(aliases) // 2 + 1
        deadline = min(alias.config.link.deadline for alias in aliases)
        self.patience = min(deadline, seconds / 10)
        """Seconds that a server has to answer."""

    def ask(
        self, ask: Ask, among: Container[int] | None = None
    ) -> Plan[dict[int, Any]]:
        """Return what each server answers, errors included, by its number."""
        numbers = [
            number
            for number in range(len(self.links))
            if among is None or number in among
        ]
        asks = [(self.links[number], ask(self.each[number])) for number in numbers]
        if not asks:
            return {}
        replies = yield Everywhere(asks, self.patience)
        return dict(zip(numbers, replies, strict=True))

    def withdraw(self, token: bytes, among: Container[int] | None = None) -> Plan[None]:
        """Take a token back from servers that may have it, now or when they can."""
        replies = yield from self.ask(lambda terms: terms.cancel(token), among)
        self.undo(token, [n for n, reply in replies.items() if is_error(reply)])

    def undo(self, token: bytes, among: Container[int] | None = None) -> None:
        """Have the watchdog withdraw a token."""
        for number, link in enumerate(self.links):
            if among is None or number in among:
                undo(link, self.each[number].cancel(token))

    def owner(self) -> Plan[bytes | None]:
        """Return the token that a majority has, None where none has. One round trip."""
        replies = yield from self.ask(lambda terms: GET(terms.keys[0]))
        self.check(replies)
        found = Counter(
            reply.removesuffix(b"+") if reply.startswith(b"rn.") else reply
            for reply in replies.values()
            if isinstance(reply, bytes)
        )
        for token, count in found.most_common(1):
            if count >= self.needed:
                return token
        return None

    def check(self, replies: dict[int, Any]) -> None:
        """Raise what stands in the way if fewer than a majority have answered."""
        errors = [reply for reply in replies.values() if is_error(reply)]
        answered = len(replies) - len(errors)
        if answered >= self.needed:
            return
        for error in errors:
            if isinstance(error, ServerError):
                raise error
        why = "; ".join(map(str, errors))
        raise Unavailable(
            f"Of the {len(self.links)} servers of the lock {self.name!r} {answered} "
            f"answered within {self.patience:g} s, and {self.needed} are needed ({why})",
            outcome="unknown",
        )


def is_error(reply: Any) -> bool:
    return isinstance(reply, RedponyError)


def raising(token: bytes, fence: int) -> Ask:
    """Return the command that has a server know of another one's fence."""

    def command(terms: Exclusive) -> Command:
        keys = terms.keys[0], terms.keys[3]
        args = (token, b"%d" % fence)
        return call(script("lock_raise"), keys, args, repeat=Repeat.SAFE)

    return command
