"""`EventStream`: what a view returns to have the browser read channels.

    def events(request, order_id):
        return EventStream(request, [OrderEvents(order_id=order_id)])

Any view, sync or async, behind any middleware and decorator. Django finishes the request as
any other: its thread and its database connection go back. What it returned says which
channels are to be read, and `with_realtime` (see `serving`) reads them, outside Django. A
WebSocket to the same URL comes to the same view, and reads the same channels.
"""

from __future__ import annotations

import secrets
import weakref
from collections.abc import Sequence
from typing import Any, Final

from django.conf import settings
from django.http import HttpResponse

from redpony.conf import Misconfigured, realtime_settings
from redpony.conf.model import Problem
from redpony.realtime import capturing
from redpony.realtime.channel import Channel, channel_of
from redpony.realtime.cursor import positions_in
from redpony.realtime.position import Position

HEADER: Final = "X-Redpony-Stream"
FLAG: Final = "redpony.realtime"
"""What says in an ASGI scope that streams are served."""

_made: weakref.WeakValueDictionary[bytes, EventStream] = weakref.WeakValueDictionary()


class EventStream(HttpResponse):
    """A response that goes on: the messages of channels.

    `channels` are channels or their names; None: those that the URL names
    (`?channel=a&channel=b`). Each is asked `can_subscribe` with the request's user; if it
    may not be read the browser gets a 403. `since` is where to begin, for a browser that
    does not say where it was. Over a WebSocket the browser may `subscribe` to more while
    it is open, unless `fixed`. Raises `Misconfigured` where nobody serves it.
    """

    def __new__(cls, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the response; under `runserver` one that streams by itself."""
        scope = getattr(request, "scope", None)
        if capturing.is_on() or (scope is not None and scope.get(FLAG)):
            return super().__new__(cls)
        if scope is None and settings.DEBUG:
            from redpony.realtime.fallback import stream_in_thread

            return stream_in_thread(request, *args, **kwargs)
        raise Misconfigured(_unserved(asgi=scope is not None))

    def __init__(
        self,
        request: Any,
        channels: Sequence[Channel | str] | None = None,
        *,
        since: Position | str | None = None,
        fixed: bool = False,
    ) -> None:
        super().__init__(content_type="text/event-stream")
        self.request: Any = request
        self.channels = chosen(request, channels)
        self.since = positions_of(request, self.channels, since)
        self.fixed = fixed
        self.token = secrets.token_bytes(12).hex().encode()
        _made[self.token] = self
        self[HEADER] = self.token.decode()
        # Not to be kept by a cache, ours or a proxy's, nor held back by one (nginx).
        self["Cache-Control"] = "private, no-cache, no-store"
        self["X-Accel-Buffering"] = "no"

    def __reduce__(self) -> Any:
        raise TypeError("An EventStream cannot be pickled: it is not for a cache")


def made(token: bytes) -> EventStream | None:
    """Return the stream that a response's header speaks of."""
    return _made.get(token)


def chosen(request: Any, channels: Sequence[Channel | str] | None) -> list[Channel]:
    """Return the channels of a stream; raises `ValueError` for too many."""
    if isinstance(channels, (str, Channel)):
        channels = [channels]
    if channels is None:
        named: list[str] = request.GET.getlist("channel")
        channels = named
    found = {each.name: each for each in map(channel_of, channels)}
    most = realtime_settings().max_channels
    if len(found) > most:
        raise ValueError(
            f"A stream of {len(found)} channels is more than "
            f'REDPONY["REALTIME"]["MAX_CHANNELS"], {most}'
        )
    return list(found.values())


def positions_of(
    request: Any, channels: Sequence[Channel], since: Position | str | None
) -> dict[str, Position]:
    """Return where a browser was in each channel, as far as it says so."""
    text = request.headers.get("Last-Event-ID") or request.GET.get("last-event-id", "")
    if not text:
        text = ",".join(request.GET.getlist("since"))
    found = positions_in(text, [each.name for each in channels])
    if since is not None:
        begin = Position.parse(since) if isinstance(since, str) else since
        found = {each.name: begin for each in channels} | found
    return found


def _unserved(*, asgi: bool) -> Problem:
    if asgi:
        return Problem(
            "value",
            "asgi.py",
            "nobody serves the stream that a view returned. Say `application = "
            "with_realtime(get_asgi_application())`, with "
            "`from redpony.realtime import with_realtime`.",
        )
    return Problem(
        "value",
        "EventStream",
        "a WSGI server would hold a thread for each open page, so streams are served by "
        "an ASGI server: with `application = with_realtime(get_asgi_application())` in "
        "asgi.py, run `uvicorn PROJECT.asgi:application` for the URLs of streams. (Under "
        "DEBUG, `runserver` streams without it.)",
    )
