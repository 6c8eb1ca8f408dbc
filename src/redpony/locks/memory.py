"""What is remembered of one call of `once`, on the server.

redpony{TAG}:once         the memory: ["done", result], ["done"] or ["begun", token]
redpony{TAG}:once-lock    the lock of who is at it
"""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from redpony.alias import Alias
from redpony.codec import Codec
from redpony.commands import DEL, GET, Repeat, call
from redpony.errors import (
    NotSerializable,
    Tampered,
    TooLarge,
    Unavailable,
    WriteRefused,
)
from redpony.locks.contending import PATIENCE
from redpony.locks.running import Running, alias_of
from redpony.locks.terms import own_key
from redpony.plan import Plan, Sleep, both
from redpony.scripts import script

monotonic = time.monotonic

PAUSE: Final = 0.1
"""Seconds between two tries to remember what was done."""

DONE, BEGUN = "done", "begun"


class Memory(Running):
    """What is remembered of one call; `ttl` in milliseconds."""

    def __init__(
        self, name: str, *, ttl: int, at_most_once: bool, using: str | Alias | None
    ) -> None:
        self.name = name
        self.alias = alias_of(using)
        prefix = self.alias.config.key_prefix
        self.key = own_key(prefix, name, "once")
        self.lock_key = own_key(prefix, name, "once-lock")
        self._ttl = b"%d" % ttl
        self.at_most_once = at_most_once
        self._codec = _codec_of(self.alias)
        self._mark = b""

    def _recall(self) -> Plan[list[Any] | None]:
        """Return what is remembered, None where nothing is. One round trip."""
        data = yield GET(self.key)
        if data is None:
            return None
        found = self._codec.decode(self.name, data)
        if not isinstance(found, list):  # a bare number needs no seal
            raise Tampered(f"What is remembered of {self.name!r} is not what we wrote.")
        return found  # pyright: ignore[reportUnknownVariableType]

    recall, arecall = both(_recall)

    def _begin(self) -> Plan[list[Any] | None]:
        """Return what is remembered; None where the call is to be made by us."""
        found = yield from self._recall()
        if found is not None or not self.at_most_once:
            return found
        mark = self._codec.encode(self.name, [BEGUN, secrets.token_hex(12)])
        if (yield from self._keep(mark)):
            self._mark = mark
            return None
        # Somebody was quicker: our lock must have been lost.
        return (yield from self._recall()) or [BEGUN]

    begin, abegin = both(_begin)

    def _end(self, result: object) -> Plan[None]:
        """Remember the result."""
        try:
            data = self._codec.encode(self.name, [DONE, result])
        except (NotSerializable, TooLarge) as error:
            yield from self._keep(self._codec.encode(self.name, [DONE]))
            error.add_note(f"{self.name!r} has run; its result is not remembered.")
            raise
        yield from self._keep(data)

    end, aend = both(_end)

    def _forget(self) -> Plan[bool]:
        """Forget it; return whether it was remembered. One round trip."""
        return bool((yield DEL(self.key)))

    forget, aforget = both(_forget)

    def _keep(self, data: bytes) -> Plan[bool]:
        """Remember this; False where something else is remembered."""
        args = (data, self._ttl, self._mark)
        command = call(script("once_keep"), (self.key,), args, repeat=Repeat.SAFE)
        ends = monotonic() + PATIENCE
        while True:
            try:
                return bool((yield command))
            except (Unavailable, WriteRefused) as error:
                if monotonic() >= ends:
                    error.add_note(f"What {self.name!r} did may not be remembered.")
                    raise
                yield Sleep(PAUSE)


def result_of(found: list[Any]) -> Any:
    return found[1] if found[0] == DONE and len(found) > 1 else None


@lru_cache(maxsize=64)
def _codec_of(alias: Alias) -> Codec:
    """Return the codec of memories: sealed whatever the cache's format is.

    A scope of its own, so that nothing that was sealed elsewhere passes for one.
    """
    config = alias.config.codec
    return Codec(
        replace(
            config,
            format="sealed",
            read_formats=("sealed",),
            scope=f"{config.scope}\0once",
        )
    )
