"""Streams in browsers: views behind middleware, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings

from redpony.realtime import apublish, apublish_many, publish
from tests.realtime.browsing import Browser, Talk
from tests.realtime.process import Site
from tests.realtime.site import Brief
from tests.servers import Server

Run = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def here(valkey: Server, cache_on: Any) -> None:
    """Publish to the server that the site reads."""
    valkey.flush()
    cache_on(valkey)


@pytest.mark.parametrize("view", ["events", "aevents", "cached"])
def test_a_view_returns_a_stream(run: Run, site: Site, view: str) -> None:
    async def main() -> None:
        async with Browser(site, f"/{view}/?channel=room:a") as browser:
            assert browser.status == 200
            assert browser.headers["content-type"] == "text/event-stream"
            assert "no-store" in browser.headers["cache-control"]
            assert "x-redpony-stream" not in browser.headers
            assert "content-encoding" not in browser.headers
            await browser.settled()
            positions = [await apublish("room:a", {"n": number}) for number in range(5)]
            found = await browser.take(5)
        assert [each.json for each in found] == [{"n": number} for number in range(5)]
        assert [each.id for each in found] == list(map(str, positions))
        assert {each.type for each in found} == {"message"}

    run(main())


def test_a_browser_that_reconnects_misses_nothing(run: Run, site: Site) -> None:
    async def main() -> None:
        browser = Browser(site, "/events/?channel=room:a&channel=room:b")
        await browser.open()
        await browser.settled()
        seen: list[Any] = []
        for turn in range(5):
            await apublish_many(
                (f"room:{name}", [name, turn * 20 + number])
                for number in range(20)
                for name in "ab"
            )
            found = await browser.take(30)
            seen += [each.json for each in found]
            await browser.close()
            await browser.open()  # with the last id that it was given
        async with asyncio.timeout(10):
            async for each in browser.events():
                seen.append(each.json)
                if len(seen) == 200:
                    break
        for name in "ab":
            assert [n for of, n in seen if of == name] == list(range(100))
        await browser.close()

    run(main())


def test_text_goes_as_it_is(run: Run, site: Site, tmp_path: Any) -> None:
    (tmp_path / "row.html").write_text("<tr>\n  <td>{{ n }}</td>\r\n</tr>\n")
    templates = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [str(tmp_path)],
        }
    ]

    async def main() -> None:
        async with Browser(site, "/events/?channel=room:html") as browser:
            await browser.settled()
            from redpony.realtime.channel import channel_of

            with override_settings(TEMPLATES=templates):
                await channel_of("room:html").apublish_html("row.html", {"n": "ü<1"})
            await apublish("room:html", "Zeile 1\nline 2", event="note")
            html, note = await browser.take(2)
        assert html.type == "html"
        assert html.data == "<tr>\n  <td>ü&lt;1</td>\n</tr>\n"
        assert (note.type, note.json) == ("note", "Zeile 1\nline 2")

    run(main())


def test_streams_hold_no_thread_and_no_database_connection(
    run: Run, site: Site
) -> None:
    user, cookies = site.enter("ann")

    async def main() -> None:
        before = await asyncio.to_thread(site.about)
        browsers = [Browser(site, "/inbox/", cookies) for _ in range(60)]
        for each in browsers:
            await each.open()
            assert each.status == 200, each.headers
            await each.settled()
        during = await asyncio.to_thread(site.about)
        assert during["streams"] == 60
        assert during["subscriptions"] == 1
        assert during["databases"] <= 1  # that of the view that looks
        await apublish(f"inbox:{user}", "hello")
        for each in browsers:
            assert (await each.take(1))[0].json == "hello"
        assert during["threads"] - before["threads"] <= 12  # asyncio's own pool
        for each in browsers:
            await each.close()

    run(main())


def test_who_is_asked_for_after_the_request_holds_no_database_connection(
    run: Run, site: Site
) -> None:
    _, cookies = site.enter("ann")

    async def main() -> None:
        # The view does not look who asks; whether it may read is asked after it.
        async with Browser(site, "/events/?channel=room:a", cookies) as browser:
            assert browser.status == 200
            await browser.settled()
            assert site.databases() == 0

    run(main())


def test_nobody_reads_what_nobody_may(run: Run, site: Site) -> None:
    _, cookies = site.enter("ann")
    other, _ = site.enter("bob")

    async def status(path: str, cookies: str = "") -> int:
        async with Browser(site, path, cookies) as browser:
            return browser.status

    async def main() -> None:
        assert await status("/events/?channel=nobodys:a") == 403
        assert await status("/events/?channel=broken:a") == 403
        assert await status("/events/?channel=no-class-has-this") == 403
        assert await status(f"/events/?channel=inbox:{other}", cookies) == 403
        assert await status(f"/events/?channel=room:a&channel=inbox:{other}") == 403
        assert await status("/inbox/") == 302
        assert await status("/events/?channel=redpony-control") == 403
        assert await status("/events/?channel=has%20space") == 500

    run(main())


def test_log_out_and_revoke_take_effect_on_open_streams(run: Run, site: Site) -> None:
    user, cookies = site.enter("ann")
    _, again = site.enter("ann")

    async def main() -> None:
        one, two = Browser(site, "/inbox/", cookies), Browser(site, "/inbox/", again)
        for each in (one, two):
            await each.open()
            await each.settled()
        await asyncio.to_thread(site.get, "/leave/", cookies)
        assert [each.type for each in await one.rest()] == []
        await apublish(f"inbox:{user}", "for who stays")
        assert (await two.take(1))[0].json == "for who stays"
        await asyncio.to_thread(site.get, f"/out/{user}/?from=inbox:{user}")
        gone = await two.rest()
        assert [(each.type, each.json["why"]) for each in gone] == [
            ("unsubscribed", "revoked")
        ]
        async with Browser(site, "/inbox/", cookies) as late:
            assert late.status == 302
        for each in (one, two):
            await each.close()

    run(main())


def test_rights_are_asked_again(run: Run, site: Site) -> None:
    user, cookies = site.enter("ann")

    async def main() -> None:
        path = f"/events/?channel=room:a&channel=inbox:{user}"
        async with Browser(site, path, cookies) as browser:
            await browser.settled()
            await asyncio.to_thread(site.get, f"/out/{user}/?ban=inbox:{user}")
            (event,) = await browser.take(1)
            assert event.type == "unsubscribed"
            assert event.json == {"channel": f"inbox:{user}", "why": "revoked"}
            await apublish(f"inbox:{user}", "nobody reads this")
            await apublish("room:a", "and this everybody")
            assert (await browser.take(1))[0].json == "and this everybody"

    run(main())


def test_what_is_lost_is_announced(run: Run, site: Site) -> None:
    async def main() -> None:
        first = publish(Brief(room="a"), 0)
        await apublish_many((Brief(room="a"), number) for number in range(400))
        browser = Browser(site, "/events/?channel=brief:a", last_id=str(first))
        async with browser:
            (event,) = await browser.take(1)
            assert event.type == "reset"
            assert event.json["channel"] == "brief:a"
            await apublish("brief:a", "on")
            assert (await browser.take(1))[0].json == "on"

    run(main())


def test_a_browser_that_does_not_read_gets_all_in_the_end(
    run: Run, valkey: Server, tmp_path: Any
) -> None:
    """Eight megabytes wait in the history, and not in the server's memory."""
    with Site(valkey.url(), tmp_path, realtime={"HISTORY": 5000}) as site:

        async def main() -> None:
            slow = Browser(site, "/events/?channel=room:big")
            await slow.open()
            await slow.settled()
            async with Browser(site, "/events/?channel=room:big") as quick:
                await quick.settled()
                reading = asyncio.create_task(quick.take(1000, 50))
                for start in range(0, 1000, 50):
                    await apublish_many(
                        ("room:big", [number, "x" * 8000])
                        for number in range(start, start + 50)
                    )
                found = await reading
                assert [each.json[0] for each in found] == list(range(1000))
            found = await slow.take(1000, 50)
            assert [each.json[0] for each in found] == list(range(1000))
            await slow.close()

        run(main())


def test_the_envelope_says_channels_and_positions(run: Run, site: Site) -> None:
    async def main() -> None:
        path = "/events/?redpony=1&channel=room:a&channel=room:b"
        async with Browser(site, path) as browser:
            hello, *seats = [each.json for each in await browser.take(3)]
            assert len(hello["hello"]) == 16
            assert hello["heartbeat"] == 20
            assert {each["subscribed"] for each in seats} == {"room:a", "room:b"}
            at = await apublish("room:b", [1], event="e")
            (event,) = await browser.take(1)
            assert event.json == {"c": "room:b", "p": str(at), "e": "e", "d": [1]}

    run(main())


def test_a_heartbeat_where_nothing_is_said(
    run: Run, valkey: Server, tmp_path: Any
) -> None:
    with Site(valkey.url(), tmp_path, realtime={"HEARTBEAT": 0.1}) as site:

        async def main() -> None:
            async with Browser(site, "/events/?redpony=1&channel=room:a") as browser:
                found = await browser.take(6)
                assert [each.json for each in found[2:]] == [{}] * 4

        run(main())


def test_one_refusal_among_several_is_told_in_the_envelope(
    run: Run, site: Site
) -> None:
    async def main() -> None:
        path = "/events/?redpony=1&channel=room:a&channel=nobodys:a"
        async with Browser(site, path) as browser:
            told = [each.json for each in await browser.take(3)]
            assert {"refused": "nobodys:a", "why": "forbidden"} in told
            await apublish("room:a", 1)
            assert (await browser.take(1))[0].json["d"] == 1
        async with Browser(site, "/events/?redpony=1&channel=nobodys:a") as browser:
            assert browser.status == 403

    run(main())


# -- WebSockets ----------------------------------------------------------------


def test_a_websocket_reads_the_same_channels(run: Run, site: Site) -> None:
    async def main() -> None:
        async with Talk(site, "/events/?channel=room:a") as talk:
            assert "hello" in await talk.hear()
            assert (await talk.hear())["subscribed"] == "room:a"
            at = await apublish("room:a", {"n": 1})
            assert await talk.hear() == {"c": "room:a", "p": str(at), "d": {"n": 1}}

    run(main())


def test_subscribing_while_open(run: Run, site: Site) -> None:
    async def main() -> None:
        first = await apublish("room:b", 1)
        await apublish("room:b", 2)
        async with Talk(site, "/events/") as talk:
            await talk.say(subscribe="room:b", since=str(first))
            await talk.until("subscribed")
            assert (await talk.until("c"))["d"] == 2
            await talk.say(subscribe="nobodys:a")
            assert await talk.until("refused") == {
                "refused": "nobodys:a",
                "why": "forbidden",
            }
            await talk.say(unsubscribe="room:b")
            assert (await talk.until("unsubscribed"))["why"] == "asked"
            await apublish("room:b", "not for us")
            await talk.say(subscribe="room:c")
            await talk.until("subscribed")
            await apublish("room:c", "for us")
            assert (await talk.until("c"))["d"] == "for us"

    run(main())


def test_subscribing_again_is_reading_from_another_place(run: Run, site: Site) -> None:
    async def main() -> None:
        first = await apublish("room:b", 1)
        await apublish("room:b", 2)
        async with Talk(site, "/events/?channel=room:b") as talk:
            head = (await talk.until("subscribed"))["p"]
            await talk.say(subscribe="room:b", since=str(first))
            assert await talk.until("subscribed") == {
                "subscribed": "room:b",
                "p": str(first),
                "head": head,
            }
            assert (await talk.until("c"))["d"] == 2
            await apublish("room:b", 3)
            assert (await talk.until("c"))["d"] == 3
            await talk.say(subscribe="room:b")
            assert (await talk.until("subscribed"))["subscribed"] == "room:b"
            await apublish("room:b", 4)
            assert (await talk.until("c"))["d"] == 4

    run(main())


def test_a_browser_may_say_something(run: Run, site: Site) -> None:
    async def main() -> None:
        async with Talk(site, "/events/?channel=room:a") as talk:
            await talk.until("subscribed")
            await talk.say(send="room:a", d={"x": 1}, id=1)
            heard = [await talk.hear(), await talk.hear()]
            assert {"reply": 1, "d": {"heard": {"x": 1}}} in heard
            assert any(each.get("d") == {"said": {"x": 1}} for each in heard)
            await talk.say(send="room:a", d="fail", id=2)
            assert await talk.until("reply") == {"reply": 2, "error": "failed"}
            await talk.say(send="room:silent", d=1, id=3)
            assert await talk.until("reply") == {"reply": 3, "error": "forbidden"}

    run(main())


@pytest.mark.parametrize(
    "said", ["no json", "[1]", '{"subscribe": 7}', '{"what": 1}', '{"subscribe":"a b"}']
)
def test_what_is_malformed_ends_it(run: Run, site: Site, said: str) -> None:
    async def main() -> None:
        async with Talk(site, "/events/") as talk:
            await talk.socket.send(said)
            while await talk.hear() is not None:
                pass
            assert talk.code == 4400

    run(main())


def test_a_foreign_page_opens_no_websocket(run: Run, site: Site) -> None:
    import websockets

    async def main() -> None:
        own = f"http://127.0.0.1:{site.port}"
        async with Talk(site, "/events/", origin=own) as talk:
            assert await talk.hear()
        for path, origin in (
            ("/events/", "https://evil.example"),
            ("/events/?channel=nobodys:a", own),
            ("/plain/", own),
            ("/inbox/", own),
        ):
            with pytest.raises(websockets.InvalidStatus) as refused:
                async with Talk(site, path, origin=origin):
                    pass
            assert refused.value.response.status_code == 403

    run(main())


def test_a_fixed_socket_takes_no_more(run: Run, site: Site) -> None:
    async def main() -> None:
        async with Talk(site, "/fixed/") as talk:
            assert (await talk.until("subscribed"))["subscribed"] == "room:fixed"
            await talk.say(subscribe="room:b")
            assert "refused" in await talk.until("refused")

    run(main())


def test_log_out_closes_websockets(run: Run, site: Site) -> None:
    user, cookies = site.enter("ann")

    async def main() -> None:
        async with Talk(site, "/inbox/", cookies) as talk:
            await talk.until("subscribed")
            await asyncio.to_thread(site.get, f"/out/{user}/")
            while await talk.hear() is not None:
                pass
            assert talk.code == 4403

    run(main())


def test_who_says_it_may_be_left_out(run: Run, site: Site) -> None:
    async def main() -> None:
        async with Talk(site, "/events/?channel=room:a") as talk:
            me = (await talk.until("hello"))["hello"]
            await talk.until("subscribed")
            at = await apublish("room:a", "for the others", exclude=me)
            await apublish("room:a", "for all")
            assert await talk.hear() == {"at": "room:a", "p": str(at)}
            assert (await talk.until("c"))["d"] == "for all"

    run(main())
