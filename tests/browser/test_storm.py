"""Clients that come, go, and ask for whatever they want, while numbers are published."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.chromium import Chromium, until
from tests.browser.speaking import Speaker
from tests.browser.test_client import streams
from tests.realtime.process import Site

Name = Callable[[str], str]

BEGIN = """
const done = arguments[arguments.length - 1];
import("/storm.js").then(({ storm }) => {
  window.crowd = storm(...arguments);
  done();
});
"""


@pytest.mark.parametrize("transport", ["websocket", "sse"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_crowd_that_comes_and_goes(
    browser: Chromium, site: Site, channel: Name, transport: str, seed: int
) -> None:
    name = channel("room")
    tab = browser.tab(site.url)
    with Speaker(name, pause=0.01) as speaker:
        browser.driver.execute_async_script(
            BEGIN, "/events/", transport, name, 1000 * seed
        )
        until("much was said", lambda: speaker.count > 150)
        site.kill()
        site.start()
        until("much more was said", lambda: speaker.count > 400)
        tab.run("crowd.end()")
        tab.until(
            "all are told something", lambda: tab.run("return crowd.silent()") == 0
        )
        last = speaker.end()
    tab.until(
        "all who are there have all",
        lambda: tab.run("return crowd.behind(arguments[0])", last) == 0,
    )
    report = tab.run("return crowd.report()")
    assert len(report) > 10
    for member in report:
        for each in member["told"]:
            assert was_told_all(each), broken(each)
        if member["here"]:
            assert member["told"][-1]["told"][-1] == last
    until("they share one connection", lambda: streams(site) == 1)
    tab.run("crowd.leave()")
    until("nobody is there", lambda: streams(site) == 0)


def was_told_all(asked: dict[str, Any]) -> bool:
    """Return whether a subscription was told what it should have been."""
    told, since = asked["told"], asked["since"]
    if not told:
        return True  # it went too early
    if since is None:
        # From then on: nothing that somebody had been shown before.
        first = told[0]
        is_right = first > asked["seen"]
    elif since[1] is None:
        is_right, told = told[0] == "reset", told[1:]
        if not told:
            return is_right
        first = told[0]
    else:
        first = told[0]
        is_right = first == since[1] + 1
    return is_right and told == list(range(first, first + len(told)))


def broken(asked: dict[str, Any]) -> str:
    """Return where what was told is not what follows on what was told before."""
    told = asked["told"]
    breaks = [
        (number, told[number - 2 : number + 3])
        for number in range(1, len(told))
        if told[number - 1] == "reset" or told[number] != told[number - 1] + 1
    ]
    return f"{asked['since']}, {asked['seen']}: {told[:3]}, {breaks[:5]}"
