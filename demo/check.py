"""Check the demo as a visitor would: `make demo-check`, or `python demo/check.py`.

Starts `run.py` on free ports with a database of its own, three times: on the embedded
server, on a cluster, and without DEBUG. Asks every page by HTTP, drives the switches
and the outage page in headless Chromium, and stops it with Ctrl-C; then nothing may be
left. It waits for conditions, never for time. Chromium and its driver must be there;
as root on Debian it installs them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from checking import board, outage, pages, seats
from checking.browser import DESKTOP, Browser
from checking.process import Demo


def check_embedded(folder: Path, screenshot: Path | None) -> None:
    """Drive all of it on the embedded server."""
    with _started(folder) as demo:
        site = _ready(demo)
        for check in (pages.check_pages, pages.check_guard):
            _run(check, site)
        with _browser(site, folder) as browser:
            for check in (
                board.check_first_screen,
                board.check_cache_switch,
                board.check_redis_switch,
            ):
                _run(check, browser)
            if screenshot:
                browser.photograph(screenshot)
            for check in (
                board.check_cost_page,
                board.check_colours,
                board.check_phone,
                seats.check_no_lock,
                seats.check_recipe,
                seats.check_lock,
                seats.check_totals,
                outage.check_pause,
                outage.check_kill,
            ):
                _run(check, browser)
            browser.open("/")
            browser.click(board.REDIS)
            browser.wait_for(board.STATUS, "Redis is off")
        _run(check_end, demo, "Ctrl-C ends everything, even while Redis is frozen.")


def check_cluster(folder: Path) -> None:
    """Drive what is special about six nodes."""
    with _started(folder, "--cluster") as demo:
        site = _ready(demo)
        _run(pages.check_pages, site)
        with _browser(site, folder) as browser:
            for check in (
                seats.check_lock,
                outage.check_pause_of_a_node,
                outage.check_kill_of_a_node,
                outage.check_hand_over,
                board.check_redis_switch,
            ):
                _run(check, browser)
            browser.open("/outage/")
            browser.wait_for(outage.VERDICT, "All is well")
            browser.click("button[value='pause:6']")
            browser.wait_for("[data-node='6'] .lamps", "paused")
            seats.sell(browser, "lock")
        _run(
            check_end,
            demo,
            "Ctrl-C ends everything, even while a node is paused and seats are sold.",
        )


def check_no_debug(folder: Path) -> None:
    """See that nobody can break a site that is not in development."""
    with _started(folder, debug=False) as demo:
        _run(pages.check_no_debug, _ready(demo))
        _run(check_end, demo)


def check_end(demo: Demo) -> None:
    """Ctrl-C ends everything."""
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
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("On the embedded server:", flush=True)
        check_embedded(folder, arguments.screenshot)
        print("On a cluster of six nodes:", flush=True)
        check_cluster(folder)
        print("Without DEBUG:", flush=True)
        check_no_debug(folder)


def _run(check: Callable, subject: Browser | Demo | str, promise: str = "") -> None:
    promise = promise or check.__doc__
    started = time.perf_counter()
    try:
        check(subject)
        if isinstance(subject, Browser):
            errors = subject.errors()
            assert errors == [], "the console says:\n" + "\n".join(errors)
    except BaseException:
        print(f"FAILED  {promise}", flush=True)
        raise
    print(f"ok {time.perf_counter() - started:5.1f} s  {promise}", flush=True)


def _ready(demo: Demo) -> str:
    _run(Demo.wait_until_ready, demo)
    return demo.site


@contextmanager
def _started(folder: Path, *arguments: str, debug: bool = True) -> Iterator[Demo]:
    demo = Demo(folder, *arguments, debug=debug)
    try:
        yield demo
    except BaseException:
        print(demo.output[-5000:], file=sys.stderr)
        raise
    finally:
        demo.kill()


@contextmanager
def _browser(site: str, folder: Path) -> Iterator[Browser]:
    browser = Browser(site, folder / "profile")
    try:
        browser.resize(DESKTOP)
        yield browser
    finally:
        browser.quit()


if __name__ == "__main__":
    main()
