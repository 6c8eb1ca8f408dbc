"""Streams without an ASGI server: under `runserver`, for who begins.

A thread a stream, as any streaming response has under WSGI; so for development alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import StreamingHttpResponse

from redpony.realtime.channel import Channel
from redpony.realtime.listening import listen_as
from redpony.realtime.position import Position


def stream_in_thread(
    request: Any,
    channels: Sequence[Channel | str] | None = None,
    *,
    since: Position | str | None = None,
    fixed: bool = False,
) -> StreamingHttpResponse:
    """Return a response that streams in the thread that serves it."""
    from redpony.realtime.stream import chosen, positions_of

    del fixed
    found = chosen(request, channels)
    user = getattr(request, "user", None)
    for each in found:
        if not _may_read(each, user):
            raise PermissionDenied(f"{each.name} may not be read")
    began = positions_of(request, found, since)
    enveloped = bool(request.GET.get("redpony"))
    body = _body(request, found, began, enveloped=enveloped)
    response = StreamingHttpResponse(body, content_type="text/event-stream")
    response["Cache-Control"] = "private, no-cache, no-store"
    return response


def _body(
    request: Any,
    channels: list[Channel],
    since: dict[str, Position],
    *,
    enveloped: bool,
) -> Iterator[bytes]:
    with listen_as(request, channels, since, enveloped=enveloped) as chunks:
        yield from chunks


def _may_read(channel: Channel, user: Any) -> bool:
    from asgiref.sync import async_to_sync

    from redpony.realtime.asking import may_read

    return async_to_sync(may_read)(channel, user)
