"""The outage page in a browser: whatever its buttons do, no request fails."""

from __future__ import annotations

import re

from checking.board import BREAKER
from checking.browser import Browser
from checking.pages import check_all_answer

VERDICT, ENTRIES = "[data-verdict]", "[data-entries]"
WELL = "every answer comes from the cache"


def check_pause(browser: Browser) -> None:
    """While the server is paused the database answers, and after it the cache."""
    browser.open("/outage/")
    browser.wait_for(VERDICT, f"All is well: {WELL}")
    _press(browser, "pause:1")
    browser.wait_for(VERDICT, "The server is paused. The site is up: the database")
    browser.wait_for(_lamps(1), "breaker open")
    before = _count(browser, "without")
    browser.wait_until(
        "degraded answers keep coming", lambda: _count(browser, "without") >= before + 9
    )
    browser.wait_for(ENTRIES, "CircuitOpen")
    check_all_answer(browser.site)
    _press(browser, "continue:1")
    _check_recovery(browser)
    browser.wait_for(_lamps(1), "breaker closed")


def check_kill(browser: Browser) -> None:
    """A server that is killed, running or paused, is started again by a request."""
    for is_paused in (False, True):
        known = ["", _process(browser)]
        if is_paused:
            _press(browser, "pause:1")
            browser.wait_for(_lamps(1), "paused")
        _press(browser, "kill:1")
        _await_another_process(browser, known)
        check_all_answer(browser.site)
        _check_recovery(browser)
    browser.wait_for(ENTRIES, "The embedded server was started")


def check_pause_of_a_node(browser: Browser) -> None:
    """The replica of a paused primary takes over, and is followed when it is back."""
    browser.open("/outage/")
    browser.wait_for(VERDICT, f"All is well: {WELL}")
    for number, said in enumerate(["primary"] * 3 + ["replica"] * 3, start=1):
        browser.wait_for(_name(number), said)
    _press(browser, "pause:1")
    browser.wait_for(VERDICT, "Node 1 is paused. The site is up: the pages")
    browser.wait_for(_name(4), "primary")
    browser.wait_for(VERDICT, f"Node 1 is paused. No visitor notices: {WELL}")
    browser.wait_for(ENTRIES, "Node 4 is a primary now")
    check_all_answer(browser.site)
    _press(browser, "continue:1")
    browser.wait_for(_name(1), "copies node 4")
    _check_recovery(browser)


def check_kill_of_a_node(browser: Browser) -> None:
    """The replica of a killed primary takes over, and is followed when it is back."""
    _press(browser, "kill:2")
    browser.wait_for(_lamps(2), "not running")
    browser.wait_for(_name(5), "primary")
    browser.wait_for(VERDICT, f"Node 2 does not run. No visitor notices: {WELL}")
    check_all_answer(browser.site)
    _press(browser, "start:2")
    browser.wait_for(_name(2), "copies node 5")
    _check_recovery(browser)


def check_hand_over(browser: Browser) -> None:
    """A primary and its replica change places, as before maintenance."""
    _press(browser, "failover:3")
    browser.wait_for(_name(6), "primary")
    browser.wait_for(_name(3), "copies node 6")
    _check_recovery(browser)


def _check_recovery(browser: Browser) -> None:
    browser.wait_for(VERDICT, f"All is well: {WELL}", BREAKER)
    assert _count(browser, "failed") == 0, "requests failed"
    assert browser.text("[data-share]") == "100%"


def _await_another_process(browser: Browser, known: list[str]) -> None:
    browser.wait_until("another process runs", lambda: _process(browser) not in known)


def _press(browser: Browser, button: str) -> None:
    selector = f"button[value='{button}']"
    browser.wait_until(
        f"there is a button {button}",
        lambda: browser.run(f'return !!document.querySelector("{selector}")'),
    )
    browser.click(selector)


def _count(browser: Browser, kind: str) -> int:
    return int(browser.text(f"[data-count={kind}]").replace(",", ""))


def _name(number: int) -> str:
    return f"[data-node='{number}'] h3"


def _lamps(number: int) -> str:
    return f"[data-node='{number}'] .lamps"


def _process(browser: Browser) -> str:
    found = re.search(r"process \d+", browser.text(_name(1)))
    return found[0] if found else ""
