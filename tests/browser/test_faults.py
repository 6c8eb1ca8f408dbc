"""Servers that end and networks that are cut, under the eyes of two tabs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from redpony.realtime import publish, publish_many
from redpony.testing.chaos import Proxy
from tests.browser.chromium import Chromium, Tab
from tests.browser.speaking import Speaker
from tests.browser.test_client import numbers, streams
from tests.realtime.process import Site
from tests.realtime.site import Brief
from tests.servers import Server

Name = Callable[[str], str]


def watching(browser: Chromium, url: str, *names: str, **query: str) -> list[Tab]:
    """Two tabs that follow channels from their beginning."""
    tabs = [browser.tab(url, **query) for _ in range(2)]
    for each in tabs:
        each.follow(*names, since="0-0")
    return tabs


def missed_nothing(tabs: list[Tab], last: int, *names: str) -> None:
    for each in tabs:
        for name in names:
            assert each.until_shown(name, last) == numbers(last)


@pytest.mark.parametrize("how", ["asked", "killed"])
def test_the_site_is_restarted(
    browser: Chromium, site: Site, channel: Name, how: str
) -> None:
    one, two = channel("room"), channel("room")
    tabs = watching(browser, site.url, one, two)
    with Speaker(one, two) as speaker:
        tabs[1].until_shown(two, 10)
        if how == "asked":
            site.stop()
        else:
            site.kill()
        tabs[1].until("it is noticed", lambda: tabs[1].state != "open")
        site.start()
        tabs[1].until_shown(two, speaker.count)
        last = speaker.end()
    missed_nothing(tabs, last, one, two)
    assert streams(site) == 1


def test_redis_is_restarted(
    browser: Chromium, site: Site, keeping: Server, channel: Name
) -> None:
    one, two = channel("room"), channel("room")
    tabs = watching(browser, site.url, one, two)
    with Speaker(one, two) as speaker:
        tabs[1].until_shown(two, 10)
        keeping.restart()
        tabs[1].until_shown(two, speaker.count + 5)
        last = speaker.end()
    missed_nothing(tabs, last, one, two)
    assert tabs[0].run("return states.filter((each) => each === 'waiting')") == []


@pytest.mark.parametrize("transport", ["auto", "sse"])
def test_offline_and_online_again(
    browser: Chromium, site: Site, channel: Name, transport: str
) -> None:
    one, two = channel("room"), channel("room")
    with Proxy(("127.0.0.1", site.port)) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        tabs = watching(browser, url, one, two, transport=transport)
        with Speaker(one, two) as speaker:
            for _ in range(2):
                tabs[1].until_shown(two, speaker.count + 5)
                with proxy.down():
                    tabs[0].until("it is noticed", lambda: tabs[0].state != "open")
                tabs[1].until_shown(two, speaker.count + 5)
            last = speaker.end()
        missed_nothing(tabs, last, one, two)
        assert streams(site) == 1


def test_what_cannot_be_had_any_more_is_told(
    browser: Chromium, site: Site, channel: Name
) -> None:
    name = channel("brief")
    with Proxy(("127.0.0.1", site.port)) as proxy:
        tabs = watching(browser, f"http://127.0.0.1:{proxy.port}", name)
        publish(Brief(room=name[6:]), 0)
        for each in tabs:
            each.until_shown(name, 0)
        with proxy.down():
            for each in tabs:
                each.until("it is noticed", lambda each=each: each.state != "open")
            publish_many((name, number) for number in range(1, 400))
        for each in tabs:
            each.until("a reset", lambda each=each: len(each.shown(name)) > 1)
        publish(name, 400)
        for each in tabs:
            first, reset, *rest = each.until_shown(name, 400)
            assert (first, reset[0]) == (0, "reset")
            assert rest == list(range(401 - len(rest), 401))
            assert len(rest) < 399


def test_a_server_that_has_lost_everything_is_told(
    browser: Chromium, site: Site, keeping: Server, channel: Name
) -> None:
    name = channel("room")
    tabs = watching(browser, site.url, name)
    for number in range(5):
        publish(name, number)
    for each in tabs:
        each.until_shown(name, 4)
    keeping.flush()
    site.kill()
    publish(name, "anew")
    site.start()
    for each in tabs:
        each.until("a reset", lambda each=each: len(each.shown(name)) > 5)
    publish(name, "and on")
    for each in tabs:
        shown = each.until_shown(name, "and on")
        assert [*shown[:5], shown[5][0], *shown[6:]] == [*numbers(4), "reset", "and on"]


# -- rights --------------------------------------------------------------------


def enter(tab: Tab, site: Site, name: str) -> str:
    """Log in, and open the page; return the name of the user's own channel."""
    tab.open(f"{site.url}/enter/{name}/")
    user = tab.run("return JSON.parse(document.body.innerText).user")
    tab.open(f"{site.url}/page/")
    tab.until("the page is ready", lambda: tab.run("return window.ready"))
    return f"inbox:{user}"


def test_logging_out_ends_it_in_all_tabs(
    browser: Chromium, site: Site, channel: Name
) -> None:
    room = channel("room")
    tabs = [browser.tab(site.url) for _ in range(2)]
    for each in tabs:
        inbox = enter(each, site, "ann")
        each.follow(inbox, room, since="0-0")
    publish(inbox, "a secret")
    publish(room, "for all")
    for each in tabs:
        each.until_shown(inbox, "a secret")
        each.until_shown(room, "for all")
    tabs[1].wait("fetch('/leave/')")
    for each in tabs:
        shown = each.until_shown(inbox, ("refused", "forbidden"))
        assert shown == ["a secret", ("refused", "forbidden")]
    publish(inbox, "nobody is to read this")
    publish(room, "and on")
    for each in tabs:
        assert each.until_shown(room, "and on") == ["for all", "and on"]
        assert each.shown(inbox)[-1] == ("refused", "forbidden")


def test_logging_out_of_a_page_that_is_for_users_alone(
    browser: Chromium, site: Site
) -> None:
    tab = browser.tab(site.url)
    inbox = enter(tab, site, "cid")
    tab.open(f"{site.url}/page/?url=/inbox/")
    tab.until("the page is ready", lambda: tab.run("return window.ready"))
    tab.follow(inbox, since="0-0")
    publish(inbox, "a secret")
    tab.until_shown(inbox, "a secret")
    tab.wait("fetch('/leave/')")
    tab.until_shown(inbox, ("refused", "forbidden"))
    tab.until_state("closed")


def test_a_tab_of_somebody_who_has_just_logged_in(
    browser: Chromium, site: Site, channel: Name
) -> None:
    """The connection of the other tab is nobody's; so it is made anew."""
    room = channel("room")
    first = browser.tab(site.url)
    first.follow(room, since="0-0")
    publish(room, 0)
    first.until_shown(room, 0)
    second = browser.tab(site.url)
    inbox = enter(second, site, "dan")
    second.follow(inbox, since="0-0")
    publish(inbox, "hello")
    assert second.until_shown(inbox, "hello") == ["hello"]
    publish(room, 1)
    assert first.until_shown(room, 1) == [0, 1]
    assert streams(site) == 1


def test_a_right_that_is_taken_away(
    browser: Chromium, site: Site, channel: Name
) -> None:
    room = channel("room")
    tab = browser.tab(site.url)
    inbox = enter(tab, site, "eve")
    tab.follow(inbox, room, since="0-0")
    publish(inbox, 0)
    tab.until_shown(inbox, 0)
    site.get(f"/out/{inbox[6:]}/?from={inbox}")
    assert tab.until_shown(inbox, ("refused", "revoked")) == [0, ("refused", "revoked")]
    publish(inbox, 1)
    publish(room, 1)
    tab.until_shown(room, 1)
    assert 1 not in tab.shown(inbox)


# -- without the client --------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
def test_an_event_source_alone(
    browser: Chromium, site: Site, channel: Name, count: int
) -> None:
    names = [channel("room") for _ in range(count)]
    tab = browser.tab(site.url)
    tab.run("source(arguments[0])", names)
    tab.until("it is open", lambda: tab.run("return states.includes('open')"))
    with Speaker(*names, pause=0.05) as speaker:
        tab.until("something is shown", lambda: tab.shown("plain"))
        begin = tab.shown("plain")[0]
        tab.until_shown("plain", begin + 10)
        site.kill()
        site.start()
        tab.until_shown("plain", speaker.count + 5)
        last = speaker.end()
    wanted = sorted(list(range(begin, last + 1)) * count)
    tab.until("all is shown", lambda: len(tab.shown("plain")) >= len(wanted))
    assert sorted(tab.shown("plain")) == wanted
    tab.run("plain.close()")
