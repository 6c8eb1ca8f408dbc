"""Headless Chromium, driven by selenium: tabs, and what their pages were told."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

PATIENCE = 30.0

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def _program(*names: str) -> str:
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    raise RuntimeError(
        f"{names[0]} is not on PATH (Debian: apt-get install chromium chromium-driver)"
    )


class Chromium:
    """A browser with an empty profile."""

    def __init__(self, profile: Path) -> None:
        options = Options()
        options.binary_location = _program("chromium", "chromium-browser")
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, Service(_program("chromedriver")))
        self.driver.set_page_load_timeout(PATIENCE)
        self.driver.set_script_timeout(PATIENCE)
        # One that is never closed: without a window there is no browser.
        self._home = self.driver.current_window_handle

    def tab(self, site: str, **query: str) -> Tab:
        """Open a page of `tests.browser.site` in a tab of its own."""
        self.driver.switch_to.new_window("tab")
        tab = Tab(self, self.driver.current_window_handle)
        tab.open(f"{site}/page/?{urlencode(query)}")
        tab.until("the page is ready", lambda: tab.run("return window.ready"))
        return tab

    def sweep(self) -> None:
        """Close all tabs, and forget who is logged in."""
        for handle in self.driver.window_handles:
            if handle != self._home:
                self.driver.switch_to.window(handle)
                self.driver.close()
        self.driver.switch_to.window(self._home)
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})

    def errors(self) -> list[str]:
        """Return the exceptions of pages that nobody caught, since the last call."""
        log: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [each["message"] for each in log if each["source"] == "javascript"]

    def quit(self) -> None:
        self.driver.quit()


class Tab:
    """One tab."""

    def __init__(self, browser: Chromium, handle: str) -> None:
        self.browser = browser
        self.handle = handle

    def _here(self) -> webdriver.Chrome:
        if self.browser.driver.current_window_handle != self.handle:
            self.browser.driver.switch_to.window(self.handle)
        return self.browser.driver

    def open(self, url: str) -> None:
        self._here().get(url)

    def run(self, script: str, *args: Any) -> Any:
        return self._here().execute_script(script, *args)

    def wait(self, expression: str) -> Any:
        """Return what a promise comes to: `{value: ...}`, or `{error: ...}`."""
        script = (
            "const done = arguments[arguments.length - 1];"
            f"({expression}).then((value) => done({{value}}),"
            "(error) => done({error: error.message}));"
        )
        return self._here().execute_async_script(script)

    def close(self) -> None:
        self._here().close()
        self.browser.driver.switch_to.window(self.browser._home)

    def follow(self, *channels: str, since: str | None = None) -> None:
        """Subscribe, and wait until the server has heard of it."""
        for each in channels:
            self.run(
                "(window.stops ??= {})[arguments[0]] = follow(...arguments)",
                each,
                since,
            )
        self.until_state("open")

    def stop(self, channel: str) -> None:
        self.run("stops[arguments[0]]()", channel)

    # What it shows

    @property
    def state(self) -> str:
        return str(self.run("return live.state"))

    def shown(self, channel: str) -> list[Any]:
        """Return what was shown of a channel: payloads, or ("reset", why) and the like."""
        told = self.run(
            "return shown.filter(([name]) => name === arguments[0])", channel
        )
        return [
            (each[1], each[2])
            if each[1] in ("reset", "skipped", "refused")
            else each[1]
            for each in told
        ]

    def until_state(self, wanted: str) -> None:
        self.until(f"its state is {wanted}", lambda: self.state == wanted)

    def until_shown(self, channel: str, last: Any) -> list[Any]:
        """Wait until something is shown; return all that was."""
        self.until(f"{channel} shows {last!r}", lambda: last in self.shown(channel))
        return self.shown(channel)

    def until(self, what: str, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                told = self.run("return JSON.stringify([live.state, states, shown])")
                raise AssertionError(f"not so: {what}; {json.loads(told)}")
            time.sleep(0.05)


def until(what: str, condition: Callable[[], object], tabs: Sequence[Tab] = ()) -> None:
    """Wait for what is so outside of the browser."""
    end = time.monotonic() + PATIENCE
    while not condition():
        shown = [each.run("return [live.state, states]") for each in tabs]
        assert time.monotonic() < end, f"not so: {what}; {shown}"
        time.sleep(0.05)
