"""The project of `tests.realtime.site`, with a page that shows what comes.

What the page was told stands in `shown`, in the order in which it was told. Behind
`/deaf/` no WebSocket gets through, as behind some proxies.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import find
from django.http import HttpRequest, HttpResponse
from django.urls import path

from tests.realtime import site

settings.ROOT_URLCONF = __name__

PAGE = """<!doctype html>
<title>what is shown</title>
<script type="module">
import { connect } from "/static/redpony/realtime.js";

const asked = new URLSearchParams(location.search);
const shown = (window.shown = []);
const states = (window.states = []);
const live = (window.live = connect(asked.get("url") ?? "/events/", {
  transport: asked.get("transport") ?? "auto",
  shared: asked.get("shared") !== "no",
}));
live.onstate = (state) => states.push(state);
window.follow = (name, since) =>
  live.subscribe(name, {
    onmessage: (data, { position, event }) => shown.push([name, data, position, event]),
    onreset: (why) => shown.push([name, "reset", why]),
    onskipped: (count) => shown.push([name, "skipped", count]),
    onrefused: (why) => shown.push([name, "refused", why]),
    since,
  });
window.source = (names) => {
  const query = names.map((name) => `channel=${name}`).join("&");
  const source = (window.plain = new EventSource(`/events/?${query}`));
  source.onmessage = ({ data }) => shown.push(["plain", JSON.parse(data)]);
  source.onopen = () => states.push("open");
  source.onerror = () => states.push("error");
};
window.ready = true;
</script>
"""


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PAGE)


def static(request: HttpRequest, name: str) -> HttpResponse:
    """What `runserver` does with static files of apps."""
    found = find(name)
    assert isinstance(found, str)
    return HttpResponse(Path(found).read_bytes(), content_type="text/javascript")


def storm(request: HttpRequest) -> HttpResponse:
    text = Path(__file__).with_name("storm.js").read_bytes()
    return HttpResponse(text, content_type="text/javascript")


urlpatterns = [
    *site.urlpatterns,
    path("page/", page),
    path("storm.js", storm),
    path("static/<path:name>", static),
    path("deaf/events/", site.stream),
]


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket" and scope["path"].startswith("/deaf/"):
        await receive()
        await send({"type": "websocket.close"})
        return
    await site.application(scope, receive, send)
