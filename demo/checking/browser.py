"""Headless Chromium, driven by selenium, with nothing of the user's in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import (
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

DESKTOP = (1280, 800)
PHONE = (390, 844)

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)

VISIBLE = 10.0
"""Seconds in which a switch must show its effect."""


def find_chromium() -> tuple[str, str]:
    """Return the paths of Chromium and its driver; install them if we may."""
    found = _look()
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        print("Installing chromium and chromium-driver ...", flush=True)
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        packages = ["chromium", "chromium-driver"]
        for words in (["update"], ["install", "-y", *packages]):
            subprocess.run(["apt-get", "-qq", *words], check=True, env=environment)
        found = _look()
    if found is None:
        raise SystemExit(
            "demo-check needs Chromium and its driver. On Debian and Ubuntu:\n"
            "    sudo apt-get install chromium chromium-driver"
        )
    return found


def _look() -> tuple[str, str] | None:
    driver = shutil.which("chromedriver")
    for name in ("chromium", "chromium-browser", "google-chrome"):
        browser = shutil.which(name)
        if browser and driver:
            return browser, driver
    return None


class Browser:
    """A browser with an empty profile, at one size of screen."""

    def __init__(self, site: str, profile: Path) -> None:
        self.site = site
        binary, driver = find_chromium()
        options = Options()
        options.binary_location = binary
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self._driver = webdriver.Chrome(options, Service(driver))
        self._driver.set_page_load_timeout(30)

    def resize(self, size: tuple[int, int]) -> None:
        width, height = size
        self._driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {
                "width": width,
                "height": height,
                "deviceScaleFactor": 1,
                "mobile": width < 600,
            },
        )

    def open(self, path: str) -> None:
        self._driver.get(self.site + path)

    def click(self, selector: str) -> None:
        self._at(selector, lambda element: element.click())

    def text(self, selector: str) -> str:
        return str(self._at(selector, lambda element: element.text))

    def _at(self, selector: str, do: Callable[[Any], object]) -> object:
        """Do something with an element; with its successor where it was replaced."""
        while True:
            try:
                return do(self._driver.find_element(By.CSS_SELECTOR, selector))
            except StaleElementReferenceException:
                continue

    def run(self, script: str) -> Any:
        return self._driver.execute_script(script)

    def wait_for(self, selector: str, wanted: str, seconds: float = VISIBLE) -> None:
        """Wait until the element's text contains what is wanted."""
        wait = WebDriverWait(self._driver, seconds, poll_frequency=0.1)
        try:
            wait.until(lambda _: wanted in self.text(selector))
        except TimeoutException:
            found = self.text(selector)
            raise AssertionError(
                f"{selector} does not say {wanted!r}; it says {found!r}"
            ) from None

    def wait_until(
        self, what: str, condition: Callable[[], object], seconds: float = VISIBLE
    ) -> None:
        """Wait until a condition is true; `what` says what for."""
        wait = WebDriverWait(self._driver, seconds, poll_frequency=0.1)
        try:
            wait.until(lambda _: condition())
        except TimeoutException:
            raise AssertionError(f"not so after {seconds:.0f} s: {what}") from None

    def errors(self) -> list[str]:
        """Return what the console complained about since the last call."""
        log: list[dict[str, Any]] = self._driver.get_log("browser")
        return [str(entry["message"]) for entry in log if entry["level"] != "INFO"]

    def photograph(self, path: Path) -> None:
        self._driver.save_screenshot(str(path))

    def quit(self) -> None:
        self._driver.quit()
