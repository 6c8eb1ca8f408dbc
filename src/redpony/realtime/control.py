"""Rights that change: what is said to every process with open streams, at once.

It is said on a channel of our own, which has a history like any other: what a process missed
it reads when it is back, and where that is not to be had it asks for everybody's rights again.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from redpony.alias import Alias
from redpony.errors import RedponyError
from redpony.realtime import registry
from redpony.realtime.asking import identity_of
from redpony.realtime.channel import Channel, Plain, channel_of
from redpony.realtime.connection import open_ones
from redpony.realtime.message import Message
from redpony.realtime.policy import History
from redpony.realtime.publishing import apublish, publish
from redpony.realtime.subscribing import subscribe

logger = logging.getLogger("redpony.realtime")

NAME: Final = "redpony-control"


class Control(Plain):
    """Where rights that change are told."""

    history = History(1000, 3600)

    def __init__(self, using: str | None = None) -> None:
        super().__init__(NAME)
        vars(self)["using"] = using


def revoke(user: Any, channel: Channel | str | None = None) -> None:
    """Put a user out of a channel, on all open streams, at once.

    Without a channel, each of the user's is asked `can_subscribe` again. It comes back only
    if `can_subscribe` says so, so change what that goes by first. One round trip.
    """
    said, on = _revocation(user, channel)
    publish(on, said, on_commit=False)


async def arevoke(user: Any, channel: Channel | str | None = None) -> None:
    """Put a user out of a channel, on all open streams, at once: see `revoke`."""
    said, on = _revocation(user, channel)
    await apublish(on, said, on_commit=False)


def disconnect(user: Any, *, session: str = "") -> None:
    """Close all open streams of a user, or those of one session, at once.

    Browsers come back, and what they may is asked again. Done by itself on log-out.
    """
    publish(Control(), _disconnection(user, session), on_commit=False)


async def adisconnect(user: Any, *, session: str = "") -> None:
    """Close all open streams of a user, or those of one session: see `disconnect`."""
    await apublish(Control(), _disconnection(user, session), on_commit=False)


def _revocation(user: Any, channel: Channel | str | None) -> tuple[Any, Control]:
    if channel is None:
        return {"ask": _known(user)}, Control()
    found = channel_of(channel)
    return {"revoke": _known(user), "channel": found.name}, Control(found.using)


def _disconnection(user: Any, session: str) -> Any:
    return {"disconnect": _known(user), "session": session}


def _known(user: Any) -> str:
    found = identity_of(user) if hasattr(user, "pk") else str(user)
    if not found:
        raise ValueError("Only a user who is known can be put out: this one has no pk")
    return found


# -- who listens ---------------------------------------------------------------

_watches: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, Watch]] = (
    weakref.WeakKeyDictionary()
)


class Watch:
    """One loop's ear for what is said of rights on an alias."""

    def __init__(self, alias: Alias) -> None:
        self.users = 0
        self.alias = alias
        self._task = asyncio.create_task(self._listen())

    def stop(self) -> None:
        self._task.cancel()

    async def _listen(self) -> None:
        while True:
            try:
                async with subscribe(Control(self.alias.name)) as messages:
                    async for each in messages:
                        if isinstance(each, Message):
                            obey(each.data)
                        else:
                            # What was said is lost: ask for everybody.
                            await _ask_all(open_ones)
            except RedponyError as error:
                logger.error("Rights that change are not heard of: %s", error)  # noqa: TRY400
                await asyncio.sleep(5)


@asynccontextmanager
async def watched(channels: Sequence[Channel]) -> AsyncGenerator[None]:
    """Have rights on channels that change be heard of meanwhile."""
    mine = _watches.setdefault(asyncio.get_running_loop(), {})
    aliases = {id(each.alias): each.alias for each in channels}
    own = Control().alias
    aliases[id(own)] = own
    for key, alias in aliases.items():
        watch = mine.get(key)
        if watch is None:
            watch = mine[key] = Watch(alias)
        watch.users += 1
    try:
        yield
    finally:
        for key in aliases:
            watch = mine[key]
            watch.users -= 1
            if not watch.users:
                del mine[key]
                watch.stop()


def obey(said: dict[str, Any]) -> None:
    """Do what is said, with the streams of this loop."""
    loop = asyncio.get_running_loop()
    mine = [each for each in list(open_ones) if each.loop is loop]
    if "revoke" in said:
        for each in mine:
            if each.identity == said["revoke"]:
                each.put_out(said["channel"], "revoked")
    elif "disconnect" in said:
        for each in mine:
            same = not said["session"] or said["session"] == each.session
            if each.identity == said["disconnect"] and same:
                each.end("revoked")
    elif "ask" in said:
        theirs = [each for each in mine if each.identity == said["ask"]]
        task = loop.create_task(_ask_all(theirs))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)


_tasks: set[asyncio.Task[None]] = set()


async def _ask_all(connections: Any) -> None:
    loop = asyncio.get_running_loop()
    for each in list(connections):
        if each.loop is loop:
            await each.ask_again()


def on_log_out(sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
    """Close the streams of a session that ends: Django's signal `user_logged_out`."""
    session = getattr(getattr(request, "session", None), "session_key", None)
    if user is None or not session or not registry.is_used():
        return
    try:
        disconnect(user, session=session)
    except RedponyError:
        logger.exception("Streams of a user who has logged out may still be open")
