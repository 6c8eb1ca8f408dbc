"""Check the demo as a visitor would: `make demo-check`, or `python demo/check.py`.

Starts `run.py` on a free port with a database of its own, asks every page by HTTP,
drives both switches in headless Chromium and stops it with Ctrl-C; then no process
may be left. It waits for conditions, never for time. Chromium and its driver must be
there; as root on Debian it installs them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).resolve().parent))

from checking.browser import DESKTOP, PHONE, Browser
from checking.process import Demo

PAGES = {
    "/": ("The world’s departures", 'role="switch"', "Leaving next"),
    "/latest/": ('"rows"', '"countries"', '"redis": "on"'),
    "/airports/": ("The busiest airports", "Search"),
    "/airports/?q=london": ("London Heathrow", "LHR"),
    "/airports/FRA/": ("Frankfurt am Main", "Europe/Berlin", "Departures"),
    "/airports/fra/": ("Frankfurt am Main",),
    "/cost/": ("What each request cost", "/airports/FRA/"),
}
CACHE, REDIS = "[data-switch=cache] button", "[data-switch=redis] button"
STATUS, QUERIES, COMPARED = "[data-status]", "[data-queries]", "[data-compare]"
CACHED = "answered from the cache"
BREAKER = 20.0
"""Seconds until a breaker that was open for long has tried again, with reserve."""

FITS = """
const main = document.querySelector(".first").getBoundingClientRect();
return main.bottom <= innerHeight && document.documentElement.scrollWidth <= innerWidth;
"""
NARROW = "return document.documentElement.scrollWidth <= innerWidth;"
OWN = """
return performance.getEntriesByType("resource").map((entry) => entry.name)
  .filter((name) => !name.startsWith(location.origin));
"""


def check_pages(site: str) -> None:
    """Each page answers and says what it is for."""
    for path, wanted in PAGES.items():
        status, headers, text = _get(site + path)
        assert status == 200, f"{path} answers {status}"
        for each in wanted:
            assert each in text, f"{path} does not say {each!r}"
        assert "default-src 'self'" in headers["content-security-policy"], path
        assert "total;dur=" in headers["server-timing"], path
    for path in ("/airports/ZZZ/", "/nothing/"):
        status, _, _ = _get(site + path)
        assert status == 404, f"{path} answers {status}"


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
    browser.click(REDIS)
    browser.wait_for(STATUS, "Redis is off, and the site is up")
    browser.wait_for(QUERIES, "3 queries")
    for path in PAGES:
        status, _, _ = _get(browser.site + path)
        assert status == 200, f"without Redis {path} answers {status}"
    browser.click(REDIS)
    browser.wait_for("#redis-says", "The server runs")
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


def check_phone(browser: Browser) -> None:
    """On a phone no page is wider than the screen."""
    browser.resize(PHONE)
    for path in ("/", "/airports/", "/airports/FRA/", "/cost/"):
        browser.open(path)
        assert browser.run(NARROW), f"{path} is wider than the screen"
    browser.resize(DESKTOP)


def check_end(demo: Demo, browser: Browser) -> None:
    """Ctrl-C ends everything, even while Redis is frozen."""
    browser.open("/")
    browser.click(REDIS)
    browser.wait_for(STATUS, "Redis is off")
    browser.quit()
    code = demo.interrupt()
    assert code in (0, 130, -2), f"it ended with {code}:\n{demo.output}"
    deadline = time.monotonic() + 10
    while left := demo.left_behind():
        assert time.monotonic() < deadline, "left behind:\n" + "\n".join(left)
        time.sleep(0.05)
    assert "Traceback" not in demo.output, demo.output


def main() -> None:
    """Run every check; say which one fails, and leave nothing running."""
    parser = argparse.ArgumentParser(description="Check the demo.")
    parser.add_argument("--screenshot", type=Path, help="write the first screen here")
    arguments = parser.parse_args()
    os.environ["SE_OFFLINE"] = os.environ["SE_AVOID_STATS"] = "true"
    with (
        tempfile.TemporaryDirectory() as folder,
        _started(Path(folder, "demo")) as demo,
    ):
        with _told("ready, and says where"):
            site = demo.wait_until_ready()
        with _told(check_pages.__doc__):
            check_pages(site)
        browser = Browser(site, Path(folder, "profile"))
        try:
            browser.resize(DESKTOP)
            for check in (
                check_first_screen,
                check_cache_switch,
                check_redis_switch,
            ):
                _run(check, browser)
            if arguments.screenshot:
                browser.photograph(arguments.screenshot)
            for check in (check_cost_page, check_colours, check_phone):
                _run(check, browser)
            with _told(check_end.__doc__):
                check_end(demo, browser)
        finally:
            browser.quit()


def _run(check, browser: Browser) -> None:
    with _told(check.__doc__):
        check(browser)
        errors = browser.errors()
        assert errors == [], "the console says:\n" + "\n".join(errors)


@contextmanager
def _started(data: Path) -> Iterator[Demo]:
    demo = Demo(data)
    try:
        yield demo
    except BaseException:
        print(demo.output[-5000:], file=sys.stderr)
        raise
    finally:
        demo.kill()


@contextmanager
def _told(promise: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    except BaseException:
        print(f"FAILED  {promise}", flush=True)
        raise
    print(f"ok {time.perf_counter() - started:5.1f} s  {promise}", flush=True)


def _get(url: str) -> tuple[int, dict[str, str], str]:
    try:
        with urlopen(url, timeout=30) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return response.status, headers, response.read().decode()
    except HTTPError as error:
        return error.code, {}, ""


if __name__ == "__main__":
    main()
