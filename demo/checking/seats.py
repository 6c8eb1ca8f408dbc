"""The page of the last seats in a browser: overbooked without the lock, never with it."""

from __future__ import annotations

from checking.browser import Browser

VERDICT = "[data-verdict]"
SOLD = 60.0
"""Seconds in which a sale must be over; the page ends one after 45."""


def sell(browser: Browser, way: str) -> None:
    """Let the buyers in, in one of the ways."""
    browser.open("/seats/")
    # The radio button itself is not to be seen: what one presses is its label.
    browser.run(f"document.querySelector('input[value={way}]').parentElement.click()")
    browser.click("[data-sell] button")
    browser.wait_until(
        "the sale has begun", lambda: _phase(browser) in ("coming", "selling")
    )


def check_no_lock(browser: Browser) -> None:
    """Forty buyers without a lock overbook the flight."""
    sell(browser, "none")
    browser.wait_for(VERDICT, "no seat of their own.", SOLD)
    _wait_for_the_end(browser)
    assert _count(browser, "overbooked") > 0
    assert _count(browser, "sold") > 12


def check_recipe(browser: Browser) -> None:
    """With SET NX and DEL one is stopped for too long, and a seat is sold twice."""
    sell(browser, "recipe")
    _wait_for_the_end(browser)
    assert _count(browser, "overbooked") >= 1, browser.text(VERDICT)


def check_lock(browser: Browser) -> None:
    """With the lock the same one is refused by its fence: twelve tickets, twelve seats."""
    sell(browser, "lock")
    browser.wait_until("the server's line is seen", lambda: _in_line(browser) > 5)
    _wait_for_the_end(browser)
    browser.wait_for(VERDICT, "12 tickets for 12 seats. The buyer who was stopped")
    assert _count(browser, "sold") == 12
    assert _count(browser, "overbooked") == 0
    assert _count(browser, "refused") == 1


def check_totals(browser: Browser) -> None:
    """The page keeps count of each way, over reloads."""
    browser.open("/seats/")
    for way in ("none", "recipe", "lock"):
        row = browser.text(f"[data-total={way}]")
        assert "none yet" not in row, row


def _wait_for_the_end(browser: Browser) -> None:
    browser.wait_until("the sale is over", lambda: _phase(browser) == "over", SOLD)


def _phase(browser: Browser) -> str:
    return str(
        browser.run('return document.querySelector("[data-seats]").dataset.phase')
    )


def _in_line(browser: Browser) -> int:
    return int(
        browser.run(
            "return document.querySelectorAll("
            "'[data-part=line] li:not(.none):not(.holder)').length"
        )
    )


def _count(browser: Browser, what: str) -> int:
    return int(browser.text(f"[data-{what}]"))
