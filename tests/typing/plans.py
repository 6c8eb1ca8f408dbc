"""What type checkers see of `both`: the plan's arguments and its result, twice."""

from __future__ import annotations

from types import CoroutineType
from typing import Any, assert_type

from redpony.commands import GET, INCRBY
from redpony.plan import Plan, both


class Pony:
    def _name(self, key: str, default: str = "") -> Plan[str]:
        """Return the name that is stored under a key."""
        reply = yield GET(key)
        return default if reply is None else str(reply)

    name, aname = both(_name)

    def _count(self, key: str, *, by: int = 1) -> Plan[int]:
        """Add to a number."""
        reply: int = yield INCRBY(key, str(by))
        return reply

    count, acount = both(_count)


async def both_colours(pony: Pony) -> None:
    assert_type(pony.name("a"), str)
    coroutine = pony.aname("a", "b")
    _ = assert_type(coroutine, CoroutineType[Any, Any, str])
    assert_type(await coroutine, str)
    assert_type(pony.count("a", by=2), int)
    assert_type(await pony.acount("a", by=2), int)


def wrong_arguments_are_errors(pony: Pony) -> None:
    pony.name(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    pony.name()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    pony.count("a", of=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
