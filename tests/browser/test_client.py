"""`realtime.js` in Chromium: what each tab shows is what was published."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from redpony.realtime import presence, publish
from redpony.testing.chaos import Proxy
from tests.browser.chromium import Chromium, Tab, until
from tests.browser.speaking import Speaker
from tests.realtime.process import Site

Name = Callable[[str], str]


def streams(site: Site) -> int:
    return site.about()["streams"]


def numbers(last: int) -> list[int]:
    return list(range(last + 1))


def settled(name: str, *tabs: Tab) -> None:
    """Wait until each tab hears a channel, from now on or from its beginning."""
    publish(name, "first")
    for each in tabs:
        each.until_shown(name, "first")


def test_two_tabs_share_one_connection(
    browser: Chromium, site: Site, channel: Name
) -> None:
    one, two = channel("room"), channel("room")
    tabs = [browser.tab(site.url) for _ in range(3)]
    for each in tabs:
        each.follow(one, since="0-0")
    tabs[0].follow(two, since="0-0")
    with Speaker(one, two) as speaker:
        tabs[2].until_shown(one, 50)
        last = speaker.end()
    for each in tabs:
        assert each.until_shown(one, last) == numbers(last)
    assert tabs[0].until_shown(two, last) == numbers(last)
    assert tabs[1].shown(two) == []
    assert streams(site) == 1
    for each in tabs[:2]:
        each.close()
    assert tabs[2].until_state("open") is None
    tabs[2].close()
    until("nobody is there", lambda: streams(site) == 0)


def test_tabs_that_share_nothing(browser: Chromium, site: Site, channel: Name) -> None:
    name = channel("room")
    tabs = [browser.tab(site.url, shared="no") for _ in range(2)]
    for each in tabs:
        each.follow(name, since="0-0")
    settled(name, *tabs)
    assert streams(site) == 2


def test_from_now_on_is_nothing_that_was(
    browser: Chromium, site: Site, channel: Name
) -> None:
    name = channel("room")
    publish(name, "before")
    first, late = browser.tab(site.url), browser.tab(site.url)
    first.follow(name)
    first.until("told", lambda: first.run("return live.id"))
    with Speaker(name) as speaker:
        first.until_shown(name, 20)
        late.follow(name)
        late.until("it shows something", lambda: late.shown(name))
        last = speaker.end()
    shown = first.until_shown(name, last)
    assert "before" not in shown
    assert shown == list(range(shown[0], last + 1))
    shown = late.until_shown(name, last)
    assert shown == list(range(shown[0], last + 1))
    assert shown[0] > 0


def test_a_tab_that_comes_with_a_position_is_given_what_it_lacks(
    browser: Chromium, site: Site, channel: Name
) -> None:
    """As a page does that shows what was so when it was rendered."""
    name = channel("room")
    places = [publish(name, number) for number in range(10)]
    first, second = browser.tab(site.url), browser.tab(site.url)
    first.follow(name, since=str(places[6]))
    assert first.until_shown(name, 9) == [7, 8, 9]
    second.follow(name, since=str(places[2]))
    assert second.until_shown(name, 9) == [3, 4, 5, 6, 7, 8, 9]
    publish(name, 10)
    assert second.until_shown(name, 10)[-2:] == [9, 10]
    assert first.until_shown(name, 10) == [7, 8, 9, 10]
    positions = first.run("return shown.map((each) => each[2])")
    assert positions[:3] == list(map(str, places[7:]))


def test_the_leader_may_go(browser: Chromium, site: Site, channel: Name) -> None:
    name = channel("room")
    tabs = [browser.tab(site.url) for _ in range(4)]
    for each in tabs:
        each.follow(name, since="0-0")
    with Speaker(name) as speaker:
        for gone, stays in pairwise(tabs):
            stays.until_shown(name, speaker.count + 20)
            gone.close()
            stays.until_shown(name, speaker.count + 20)
        last = speaker.end()
    assert tabs[-1].until_shown(name, last) == numbers(last)
    assert streams(site) == 1


def test_a_page_that_is_left_and_one_that_closes(
    browser: Chromium, site: Site, channel: Name
) -> None:
    name = channel("room")
    leader, other = browser.tab(site.url), browser.tab(site.url)
    for each in (leader, other):
        each.follow(name, since="0-0")
    with Speaker(name) as speaker:
        other.until_shown(name, 5)
        leader.run("location.href = '/plain/'")
        other.until_shown(name, speaker.count + 10)
        leader.open(f"{site.url}/page/")
        leader.until("it is ready", lambda: leader.run("return window.ready"))
        leader.follow(name, since="0-0")
        leader.until_shown(name, speaker.count + 10)
        other.run("live.close()")
        leader.until_shown(name, speaker.count + 10)
        last = speaker.end()
    assert leader.until_shown(name, last) == numbers(last)
    shown = other.shown(name)
    assert shown == numbers(len(shown) - 1)
    assert other.state == "closed"


def test_subscribing_and_stopping_while_open(
    browser: Chromium, site: Site, channel: Name
) -> None:
    one, two = channel("room"), channel("room")
    tab, other = browser.tab(site.url), browser.tab(site.url)
    tab.follow(one, since="0-0")
    settled(one, tab)
    tab.follow(two, since="0-0")
    settled(two, tab)
    other.follow(two, since="0-0")
    settled(two, other)
    tab.stop(two)
    for number in range(5):
        publish(two, number)
    assert other.until_shown(two, 4)[-5:] == numbers(4)
    publish(one, "and on")
    tab.until_shown(one, "and on")
    assert 0 not in tab.shown(two)
    other.stop(two)
    tab.follow(two)
    other.run("follow(arguments[0])", one)
    tab.until(
        "it is heard again",
        lambda: (publish(two, "again"), tab.shown(two)[-1])[1] == "again",
    )
    assert not {0, 4} & set(tab.shown(two))


def test_a_tab_that_is_closed_is_on_no_channel(
    browser: Chromium, site: Site, channel: Name
) -> None:
    name, other = channel("flight"), channel("room")
    leader, tab = browser.tab(site.url), browser.tab(site.url)
    leader.follow(other)
    tab.follow(name)
    until("it is there", lambda: presence(name).count() == 1)
    tab.close()
    until("it has gone", lambda: presence(name).count() == 0)
    assert streams(site) == 1


def test_one_of_two_subscriptions_of_a_page_stops(
    browser: Chromium, site: Site, channel: Name
) -> None:
    name = channel("room")
    tab = browser.tab(site.url)
    tab.run("window.one = follow(arguments[0], '0-0')", name)
    tab.follow(name, since="0-0")
    publish(name, 1)
    tab.until("both", lambda: tab.shown(name) == [1, 1])
    tab.run("one()")
    publish(name, 2)
    publish(name, 3)
    assert tab.until_shown(name, 3) == [1, 1, 2, 3]


def test_what_is_refused_is_refused_alone(
    browser: Chromium, site: Site, channel: Name
) -> None:
    name, forbidden = channel("room"), channel("nobodys")
    for query in ({}, {"transport": "sse"}):
        tab = browser.tab(site.url, **query)
        tab.run("follow(arguments[0])", forbidden)
        tab.follow(name, since="0-0")
        settled(name, tab)
        tab.until("it is refused", lambda tab=tab: tab.shown(forbidden))
        assert tab.shown(forbidden) == [("refused", "forbidden")]
        assert "TypeError" in tab.run(
            "try { follow('a b') } catch (error) { return error.name }"
        )
        tab.close()


def test_a_page_s_mistake_stops_nothing(
    browser: Chromium, site: Site, channel: Name
) -> None:
    name = channel("room")
    tab = browser.tab(site.url)
    tab.run("window.addEventListener('error', (event) => event.preventDefault())")
    tab.run(
        "live.subscribe(arguments[0], { since: '0-0', onmessage() { throw Error('!'); } })",
        name,
    )
    tab.follow(name, since="0-0")
    for number in range(3):
        publish(name, number)
    assert tab.until_shown(name, 2) == [0, 1, 2]
    browser.errors()


def test_sending(browser: Chromium, site: Site, channel: Name) -> None:
    name, silent = channel("room"), "room:silent"
    leader, tab = browser.tab(site.url), browser.tab(site.url)
    leader.follow(name, since="0-0")
    for each in (leader, tab):
        assert each.wait(f"live.send('{name}', {{x: 1}})") == {
            "value": {"heard": {"x": 1}}
        }
        assert each.wait(f"live.send('{name}', 'fail')") == {"error": "failed"}
        assert each.wait(f"live.send('{silent}', 1)") == {"error": "forbidden"}
    leader.until("both were heard", lambda: len(leader.shown(name)) == 2)
    before = tab.run("return live.id")
    leader.close()
    tab.until("it leads", lambda: tab.run("return live.id") != before)
    tab.until_state("closed")
    assert "value" in tab.wait(f"live.send('{name}', 2)")
    plain = browser.tab(site.url, transport="sse")
    plain.follow(name)
    assert plain.wait(f"live.send('{name}', 1)") == {"error": "no WebSocket"}


def test_who_sent_it_may_be_left_out(
    browser: Chromium, site: Site, channel: Name
) -> None:
    name = channel("room")
    tab = browser.tab(site.url)
    tab.follow(name, since="0-0")
    settled(name, tab)
    me = tab.run("return live.id")
    publish(name, "not for me", exclude=me)
    publish(name, "for all")
    assert tab.until_shown(name, "for all") == ["first", "for all"]
    site.kill()
    site.start()
    publish(name, "later")
    assert tab.until_shown(name, "later") == ["first", "for all", "later"]


def test_channels_without_a_history(
    browser: Chromium, site: Site, channel: Name
) -> None:
    name = channel("fleeting")
    tabs = [browser.tab(site.url) for _ in range(2)]
    for each in tabs:
        each.follow(name)
    for each in tabs:
        each.until(
            "it hears",
            lambda each=each: (publish(name, "there?"), each.shown(name))[1],
        )
    for number in range(5):
        publish(name, number)
    for each in tabs:
        assert each.until_shown(name, 4)[-5:] == numbers(4)


def test_events_where_no_websocket_gets_through(
    browser: Chromium, site: Site, channel: Name
) -> None:
    one, two = channel("room"), channel("room")
    tabs = [browser.tab(site.url, url="/deaf/events/") for _ in range(2)]
    tabs[0].follow(one, since="0-0")
    with Speaker(one, two) as speaker:
        tabs[0].until_shown(one, 10)
        tabs[0].follow(two, since="0-0")
        tabs[1].follow(two, one, since="0-0")
        tabs[1].until_shown(one, 20)
        site.kill()
        site.start()
        tabs[1].until_shown(one, speaker.count + 10)
        tabs[0].stop(one)
        tabs[1].until_shown(one, speaker.count + 10)
        last = speaker.end()
    assert tabs[0].until_shown(two, last) == numbers(last)
    for name in (one, two):
        assert tabs[1].until_shown(name, last) == numbers(last)
    until("they share one connection", lambda: streams(site) == 1)


def test_a_network_that_says_nothing(
    browser: Chromium, site: Site, channel: Name
) -> None:
    name = channel("room")
    with Proxy(("127.0.0.1", site.port)) as proxy:
        tab = browser.tab(f"http://127.0.0.1:{proxy.port}")
        tab.follow(name, since="0-0")
        with Speaker(name) as speaker:
            tab.until_shown(name, 5)
            with proxy.stall():
                tab.until("it is noticed", lambda: tab.state != "open")
            tab.until_shown(name, speaker.count)
            last = speaker.end()
        assert tab.until_shown(name, last) == numbers(last)
        tab.close()
