"""Each ASGI server that is named in the documentation; and its end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redpony.realtime import apublish
from tests.realtime.browsing import Browser, Talk
from tests.realtime.process import Site
from tests.servers import Server

Run = Callable[[Any], Any]
SERVERS = ("uvicorn", "hypercorn", "daphne", "granian")


@pytest.fixture(autouse=True)
def here(valkey: Server, cache_on: Any) -> None:
    valkey.flush()
    cache_on(valkey)


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_delivers_and_notices_who_leaves(
    run: Run, valkey: Server, tmp_path: Path, name: str
) -> None:
    with Site(valkey.url(), tmp_path, server=name) as site:

        async def main() -> None:
            async with (
                Browser(site, "/events/?channel=room:a") as browser,
                Talk(site, "/events/?channel=room:a") as talk,
            ):
                assert browser.status == 200
                await browser.settled()
                await talk.until("subscribed")
                for number in range(20):
                    await apublish("room:a", number)
                found = await browser.take(20)
                assert [each.json for each in found] == list(range(20))
                assert [(await talk.until("c"))["d"] for _ in range(20)] == list(
                    range(20)
                )
                assert (await asyncio.to_thread(site.about))["streams"] == 2
            async with asyncio.timeout(10):
                while (await asyncio.to_thread(site.about))["streams"]:
                    await apublish("room:a", "is anybody there?")
                    await asyncio.sleep(0.05)

        run(main())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_there_is_told_of_the_end(run: Run, site: Site, number: int) -> None:
    async def main() -> None:
        async with (
            Browser(site, "/events/?channel=room:a") as browser,
            Talk(site, "/events/?channel=room:a") as talk,
        ):
            await browser.settled()
            await talk.until("subscribed")
            ending = asyncio.create_task(asyncio.to_thread(site.stop, number))
            assert await browser.rest() == []
            assert browser.retry > 0
            assert (await talk.until("bye"))["retry"] > 0
            assert await talk.hear() is None
            assert talk.code == 4503
            await ending

    run(main())


@pytest.mark.parametrize("name", ["hypercorn", "daphne", "granian"])
def test_a_server_with_open_streams_ends(
    run: Run, valkey: Server, tmp_path: Path, name: str
) -> None:
    with Site(valkey.url(), tmp_path, server=name) as site:

        async def main() -> None:
            async with Browser(site, "/events/?channel=room:a") as browser:
                await browser.settled()
                await asyncio.to_thread(site.stop, signal.SIGTERM, 30)

        run(main())


def test_a_restarted_server_goes_on_where_it_was(run: Run, site: Site) -> None:
    async def main() -> None:
        browser = Browser(site, "/events/?channel=room:a&channel=room:b")
        await browser.open()
        await browser.settled()
        await apublish("room:a", 1)
        await browser.take(1)
        await asyncio.to_thread(site.stop)
        await browser.rest()
        await browser.close()
        for number in (2, 3):
            await apublish("room:a", number)
            await apublish("room:b", number)
        await asyncio.to_thread(site.start)
        async with browser:
            found = sorted(each.json for each in await browser.take(4))
        assert found == [2, 2, 3, 3]

    run(main())


def test_without_a_server_that_streams(tmp_path: Path) -> None:
    """Under WSGI it is an error that says what to run; under DEBUG it streams."""
    from django.test import Client, RequestFactory, override_settings

    from redpony.conf import Misconfigured
    from redpony.realtime import EventStream
    from tests.realtime import site as project

    with override_settings(ROOT_URLCONF=project.__name__):
        request = RequestFactory().get("/events/?channel=room:wsgi")
        with pytest.raises(Misconfigured, match="uvicorn PROJECT.asgi:application"):
            EventStream(request)
        with override_settings(DEBUG=True, ALLOWED_HOSTS=["*"]):
            response = Client().get("/events/", {"channel": "room:wsgi"})
            body = iter(response.streaming_content)  # type: ignore[attr-defined]
            assert next(body).startswith(b"retry:")
            assert next(body).startswith(b"id: ")
            project.Room(room="wsgi").publish({"n": 1})
            assert b'data: {"n":1}\n\n' in next(body)
            response.close()
            refused = Client().get("/events/", {"channel": "nobodys:a"})
            assert refused.status_code == 403


def test_an_asgi_application_without_with_realtime_says_so(run: Run) -> None:
    from django.test import AsyncRequestFactory

    from redpony.conf import Misconfigured
    from redpony.realtime import EventStream

    request = AsyncRequestFactory().get("/events/?channel=room:a")
    with pytest.raises(Misconfigured, match=r"with_realtime\(get_asgi_application"):
        EventStream(request)


def test_inside_of_channels_router(run: Run, valkey: Server, tmp_path: Path) -> None:
    application = "tests.realtime.routed:application"
    with Site(valkey.url(), tmp_path, application=application) as site:

        async def main() -> None:
            async with (
                Browser(site, "/events/?channel=room:a") as browser,
                Talk(site, "/events/?channel=room:a") as talk,
            ):
                await browser.settled()
                await talk.until("subscribed")
                await apublish("room:a", 1)
                assert (await browser.take(1))[0].json == 1
                assert (await talk.until("c"))["d"] == 1

        run(main())
