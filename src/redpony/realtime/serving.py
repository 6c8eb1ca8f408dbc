"""`with_realtime`: the ASGI application that serves streams, around Django's.

    application = with_realtime(get_asgi_application())

A request goes through Django, whole: middleware, view, `request_finished`. If the view has
returned an `EventStream`, its head is kept back until Django is done, and then the stream is
served here: no thread, no database connection, and no frame of Django is held by it. A
WebSocket is asked for in the same way, as a GET of the same URL with the same cookies.

Alone, or inside Channels' `ProtocolTypeRouter` for "http" and for "websocket".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redpony.realtime import closing
from redpony.realtime.asking import may_read, session_of, user_of
from redpony.realtime.control import watched
from redpony.realtime.origins import header, is_trusted
from redpony.realtime.sse import Envelopes, Events, serve_events
from redpony.realtime.stream import FLAG, HEADER, EventStream, made
from redpony.realtime.websocket import Socket, serve_socket

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_HEADER: Final = HEADER.lower().encode()
_OWN: Final = frozenset((_HEADER, b"content-length"))
_UPGRADE: Final = frozenset(
    (
        b"connection",
        b"upgrade",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-extensions",
        b"sec-websocket-protocol",
    )
)


class Held:
    """A response on its way out of Django: passed on, or kept back if it is a stream."""

    def __init__(self, receive: Receive, send: Send, *, passes: bool) -> None:
        self.stream: EventStream | None = None
        self.start: Any = None
        self.is_gone = False
        self._receive = receive
        self._send = send
        self._passes = passes

    async def receive(self) -> Any:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.is_gone = True
        return message

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            for name, value in message["headers"]:
                if name.lower() == _HEADER:
                    self.stream = made(value)
            headers = [
                each
                for each in message["headers"]
                if self.stream is None or each[0].lower() not in _OWN
            ]
            self.start = {**message, "headers": headers}
        if self.stream is None and self._passes:
            await self._send(message)


class Realtime:
    """An ASGI application with streams."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "websocket":
            await self._websocket(scope, receive, send)
        elif kind == "lifespan":
            await closing.lifespan(receive, send)
        else:
            await self.application(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        held = Held(receive, send, passes=True)
        await self.application({**scope, FLAG: True}, held.receive, held.send)
        stream, start = held.stream, held.start
        del held.stream
        if stream is None or held.is_gone:
            return
        request = stream.request
        user = await user_of(request)
        allowed = [each for each in stream.channels if await may_read(each, user)]
        refused = [each for each in stream.channels if each not in allowed]
        enveloped = bool(request.GET.get("redpony"))
        # `realtime.js` reads what all tabs of a browser want: one's refusal is its own.
        if refused and (stream.fixed or not enveloped or not allowed):
            await _forbid(send, start)
            return
        if request.method == "HEAD":
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        events: Events | Envelopes
        if enveloped:
            events = Envelopes(user, session_of(request))
        else:
            events = Events(user, session_of(request), len(stream.channels))
        channels, since = allowed, stream.since
        del stream, request, held
        with closing.seen(events):
            async with watched(channels):
                await send(start)
                for each in channels:
                    await events.take_seat(each, since.get(each.name))
                for each in refused:
                    events.tell({"refused": each.name, "why": "forbidden"})
                if not channels:
                    events.end("empty")
                del channels, allowed, refused, since, start
                await serve_events(events, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        if message["type"] != "websocket.connect":
            return
        secure = scope.get("scheme") == "wss"
        host = header(scope, b"host") or ""
        if not is_trusted(header(scope, b"origin"), host, secure=secure):
            await _deny(scope, send, 403)
            return
        held = Held(_Nothing(), send, passes=False)
        await self.application(_as_get(scope), held.receive, held.send)
        stream, start = held.stream, held.start
        if stream is None:
            status = start["status"] if start is not None else 500
            await _deny(scope, send, status if status >= 400 else 403)
            return
        request = stream.request
        user = await user_of(request)
        for each in stream.channels:
            if not await may_read(each, user):
                await _deny(scope, send, 403)
                return
        socket = Socket(user, session_of(request), fixed=stream.fixed)
        channels, since = stream.channels, stream.since
        del held, stream, request
        cookies = [
            each for each in start["headers"] if each[0].lower() == b"set-cookie"
        ]
        with closing.seen(socket):
            async with watched(channels):
                await send({"type": "websocket.accept", "headers": cookies})
                for each in channels:
                    await socket.take_seat(each, since.get(each.name))
                del channels, since, start
                await serve_socket(socket, receive, send)


def with_realtime(application: Any) -> Realtime:
    """Return an ASGI application that serves `EventStream`s, around Django's."""
    return Realtime(application)


def _as_get(scope: Scope) -> Scope:
    """Return the request for the page that a WebSocket asks for."""
    headers = [each for each in scope["headers"] if each[0].lower() not in _UPGRADE]
    return {
        **scope,
        "type": "http",
        "method": "GET",
        "scheme": "https" if scope.get("scheme") == "wss" else "http",
        "headers": headers,
        "http_version": scope.get("http_version", "1.1"),
        "extensions": {},
        FLAG: True,
    }


_asked: Final = {"type": "http.request", "body": b"", "more_body": False}


class _Nothing:
    """What a GET has to say: nothing, once; and then it waits."""

    def __init__(self) -> None:
        self._said = False

    async def __call__(self) -> Any:
        if not self._said:
            self._said = True
            return _asked
        return await asyncio.get_running_loop().create_future()


async def _forbid(send: Send, start: Any) -> None:
    headers = [each for each in start["headers"] if each[0].lower() != b"content-type"]
    headers.append((b"content-type", b"text/plain; charset=utf-8"))
    await send({**start, "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": b"Forbidden\n"})


async def _deny(scope: Scope, send: Send, status: int) -> None:
    """Refuse a WebSocket, with a status where the server can say one."""
    if "websocket.http.response" in (scope.get("extensions") or {}):
        start = {"type": "websocket.http.response.start", "status": status}
        await send({**start, "headers": [(b"content-length", b"0")]})
        await send({"type": "websocket.http.response.body", "body": b""})
    else:
        await send({"type": "websocket.close", "code": 4403})
