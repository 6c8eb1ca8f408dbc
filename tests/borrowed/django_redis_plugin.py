"""A pytest plugin that runs django-redis' own suite against another backend.

`test_django_redis_suite.py` starts pytest with it, one process for each of
their settings modules: their fixture asks for a module per test, but Django
reads its settings once per process. Before that happens, this plugin replaces
the backend and the addresses in the module. What the run is to be comes in the
environment, as JSON in `REDPONY_BORROWED`; the outcomes go to its `report`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

ASKED: dict[str, Any] = json.loads(os.environ["REDPONY_BORROWED"])
OUTCOMES: dict[str, dict[str, str]] = {}


def pytest_configure(config: pytest.Config) -> None:
    sys.path.insert(0, str(Path(ASKED["tree"]) / "tests"))
    module = importlib.import_module(f"settings.{ASKED['settings']}")
    for alias in module.CACHES.values():
        alias["BACKEND"] = ASKED["backend"]
        alias["LOCATION"] = _moved(alias["LOCATION"])
        alias["OPTIONS"].update(ASKED["options"])
        if ASKED["sentinels"]:
            alias["OPTIONS"]["SENTINELS"] = [tuple(each) for each in ASKED["sentinels"]]


def _moved(location: str | list[str]) -> str | list[str]:
    """Return a location of theirs with the addresses of this run.

    Their lists name one server twice, as primary and as replica. A list that
    makes no sense is refused by Redpony, so each server stays once.
    """
    if isinstance(location, str):
        for theirs, ours in ASKED["addresses"].items():
            location = location.replace(theirs, ours)
        return ",".join(dict.fromkeys(location.split(",")))
    return list(dict.fromkeys(str(_moved(each)) for each in location))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Keep the tests of this run's settings module.

    Tests without a module are about django-redis' own classes: its connection
    factories, its hash ring, its client on mocks. They would test the peer.
    """
    kept = [item for item in items if _settings(item) == ASKED["settings"]]
    left = [item for item in items if _settings(item) != ASKED["settings"]]
    config.hook.pytest_deselected(items=left)
    items[:] = kept


def _settings(item: pytest.Item) -> str | None:
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return None
    found: str | None = callspec.params.get("cache_settings")
    return found


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        test = report.nodeid.removeprefix("tests/")
        # A test that failed stays failed, whatever its teardown does.
        if OUTCOMES.get(test, {}).get("outcome") != "failed":
            OUTCOMES[test] = {"outcome": report.outcome, "text": report.longreprtext}


def pytest_sessionfinish() -> None:
    Path(ASKED["report"]).write_text(json.dumps(OUTCOMES))
