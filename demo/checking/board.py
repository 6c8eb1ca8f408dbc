"""The board and its switches, the cost page and the look of all pages, in a browser."""

from __future__ import annotations

from checking.browser import DESKTOP, PHONE, Browser
from checking.pages import check_all_answer

CACHE, REDIS = "[data-switch=cache] button", "[data-switch=redis] button"
STATUS, QUERIES, COMPARED = "[data-status]", "[data-queries]", "[data-compare]"
CACHED = "answered from the cache"
BREAKER = 20.0
"""Seconds until a server that was away for long is used again, with reserve."""

FITS = """
const main = document.querySelector(".first").getBoundingClientRect();
return main.bottom <= innerHeight && document.documentElement.scrollWidth <= innerWidth;
"""
NARROW = "return document.documentElement.scrollWidth <= innerWidth;"
OWN = """
return performance.getEntriesByType("resource").map((entry) => entry.name)
  .filter((name) => !name.startsWith(location.origin));
"""


def check_first_screen(browser: Browser) -> None:
    """The board needs no scrolling, and no file from anywhere else."""
    browser.open("/")
    browser.wait_for(STATUS, CACHED)
    assert browser.run(FITS), "the first screen does not fit"
    assert browser.run(OWN) == [], "files come from elsewhere"


def check_cache_switch(browser: Browser) -> None:
    """Without the cache each answer costs queries; with it none."""
    browser.wait_for(QUERIES, "0 queries")
    browser.click(CACHE)
    browser.wait_for(STATUS, "The cache is off")
    browser.wait_for(QUERIES, "3 queries")
    browser.click(CACHE)
    browser.wait_for(STATUS, CACHED)
    browser.wait_for(QUERIES, "0 queries")
    browser.wait_for(COMPARED, "times faster")


def check_redis_switch(browser: Browser) -> None:
    """Without Redis the site is up; when it is back the cache is used again."""
    browser.open("/")
    browser.wait_for(STATUS, CACHED)
    browser.click(REDIS)
    browser.wait_for(STATUS, "Redis is off, and the site is up")
    browser.wait_for(QUERIES, "3 queries")
    check_all_answer(browser.site)
    browser.click(REDIS)
    browser.wait_for("#redis-says", "It runs")
    browser.wait_for(STATUS, CACHED, BREAKER)
    browser.wait_for(QUERIES, "0 queries")


def check_cost_page(browser: Browser) -> None:
    """Costs are shown by layer, with their steps, and failures are named."""
    browser.open("/cost/")
    browser.wait_for(".summary", "answered without the database")
    browser.wait_for(".requests", "failed")
    browser.run(
        "document.querySelectorAll('details').forEach((row) => row.open = true)"
    )
    browser.wait_for(".requests", "SELECT")
    browser.wait_for(".requests", "MGET")


def check_colours(browser: Browser) -> None:
    """The button changes between light and dark, and the choice stays."""
    paper = "return getComputedStyle(document.body).backgroundColor"
    browser.open("/")
    before = browser.run(paper)
    browser.click("[data-theme-button]")
    after = browser.run(paper)
    assert after != before, "the colours did not change"
    browser.open("/cost/")
    assert browser.run(paper) == after, "the choice is forgotten"
    browser.click("[data-theme-button]")


def check_phone(browser: Browser) -> None:
    """On a phone no page is wider than the screen."""
    browser.resize(PHONE)
    for path in ("/", "/airports/", "/airports/FRA/", "/cost/", "/outage/", "/seats/"):
        browser.open(path)
        assert browser.run(NARROW), f"{path} is wider than the screen"
    browser.resize(DESKTOP)
