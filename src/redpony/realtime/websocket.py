"""WebSockets: the same channels, and a browser that may say something, too.

Lines of JSON, several in one frame where several have come. The server says

    {"hello": ID, "heartbeat": SECONDS}       the connection, to be left out by publishers
    {"subscribed": C, "p": POSITION}          from now on, or from where it was; "head" says
                                              where the channel is, if that is elsewhere
    {"c": C, "p": POSITION, "d": DATA}        a message; "e" names its event
    {"at": C, "p": POSITION}                  nothing for it up to there
    {"reset": C, "p": POSITION, "why": ...}   messages were lost
    {"skipped": C, "p": POSITION, "count": N}
    {"unsubscribed": C, "why": ...}           asked, revoked or failed
    {"refused": C, "why": ...}                it may not be read
    {"reply": N, "d": DATA} or {"reply": N, "error": ...}
    {"bye": WHY, "retry": MILLISECONDS}
    {}                                        nothing new

and the browser `{"subscribe": C, "since": POSITION}`, `{"unsubscribe": C}`, and
`{"send": C, "d": DATA, "id": N}`, which goes to the channel's `received`. Who subscribes to
what he reads already reads on from the place that he says now. Close codes: 4400
for what is no such thing, 4403 where nothing may be read any more, 4408 too slow, 4500 for
a mistake of ours, 4503 when the server is shut down.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redpony.conf import realtime_settings
from redpony.realtime.asking import called
from redpony.realtime.channel import Channel, channel_of
from redpony.realtime.connection import Enveloped, compact
from redpony.realtime.position import Position
from redpony.realtime.sse import SPREAD, pause

logger = logging.getLogger("redpony.realtime")

CODES: Final = {
    "malformed": 4400,
    "revoked": 4403,
    "slow": 4408,
    "failed": 4500,
    "bye": 4503,
}


class Socket(Enveloped):
    """A browser's WebSocket."""

    __slots__ = ("fixed",)

    def __init__(self, user: Any, session: str, *, fixed: bool) -> None:
        super().__init__(user, session)
        self.fixed = fixed

    def wrap(self, line: str) -> str:
        return line

    def emptied(self, why: str) -> None:
        if why == "revoked" and self.fixed:
            self.end("revoked")

    # What the browser says

    async def said(self, text: str | None) -> None:
        """Take in a frame; what is none of ours ends the connection."""
        try:
            if text is None or len(text) > realtime_settings().max_message:
                raise ValueError
            told = json.loads(text)
            if not isinstance(told, dict):
                raise ValueError  # noqa: TRY004 (one answer to all that is malformed)
            if "subscribe" in told:
                await self._subscribe(told["subscribe"], told.get("since"))
            elif "unsubscribe" in told:
                self.put_out(_text(told["unsubscribe"]), "asked")
            elif "send" in told:
                await self._received(_text(told["send"]), told.get("d"), told.get("id"))
            elif told:
                raise ValueError
        except (ValueError, RecursionError):
            self.end("malformed")

    async def _subscribe(self, name: Any, since: Any) -> None:
        begin = None if since is None else Position.parse(_text(since))
        channel = channel_of(_text(name))
        if channel.name in self.seats:
            self.sit_again(channel.name, begin)
            return
        if self.fixed:
            why = "this stream has the channels that it has"
        elif len(self.seats) >= realtime_settings().max_channels:
            why = "too many channels"
        elif await self.admit(channel, begin):
            return
        else:
            why = "forbidden"
        self.tell({"refused": channel.name, "why": why})

    async def _received(self, name: str, data: Any, number: Any) -> None:
        channel = channel_of(name)
        answer: dict[str, Any] = {"reply": number}
        if not await self._may_send(channel):
            answer["error"] = "forbidden"
        else:
            try:
                answer["d"] = await called(channel.received, self.user, data)
                json.dumps(answer)
            except Exception as error:
                logger.exception("What was sent to %r was not handled", channel)
                answer = {"reply": number, "error": "failed"}
                del error
        if number is not None or "error" in answer:
            self.tell(answer)

    async def _may_send(self, channel: Channel) -> bool:
        if type(channel).can_send is Channel.can_send:
            return False
        try:
            return bool(await called(channel.can_send, self.user))
        except Exception:
            logger.exception("%r could not say who may send to it", channel)
            return False


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 (one answer to all that is malformed)
    return value


async def serve_socket(
    socket: Socket,
    receive: Callable[[], Awaitable[Any]],
    send: Callable[[Any], Awaitable[None]],
) -> None:
    """Talk, until one of both leaves."""
    heartbeat = realtime_settings().heartbeat
    hearing = asyncio.create_task(_hear(socket, receive))
    try:
        await _say(send, socket.hello())
        while (batch := await socket.batch(heartbeat)) is not None:
            await _say(send, "\n".join(batch) if batch else "{}")
        why = socket.ended or ""
        if why != "gone":
            if why in ("bye", "slow", "failed"):
                retry = pause(SPREAD if why == "bye" else 0)
                await _say(send, compact({"bye": why, "retry": retry}))
            code = CODES.get(why, 1000)
            await send({"type": "websocket.close", "code": code, "reason": why})
    finally:
        hearing.cancel()
        socket.close()


async def _say(send: Callable[[Any], Awaitable[None]], text: str) -> None:
    await send({"type": "websocket.send", "text": text})


async def _hear(socket: Socket, receive: Callable[[], Awaitable[Any]]) -> None:
    try:
        while (message := await receive())["type"] != "websocket.disconnect":
            await socket.said(message.get("text"))
        socket.end("gone")
    except asyncio.CancelledError:
        raise
    except Exception:
        logger.exception("A WebSocket's message met what it did not expect")
        socket.end("failed")
