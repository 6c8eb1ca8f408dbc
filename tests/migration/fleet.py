"""A fleet of two processes on one server, rolled from deploy to deploy."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.migration.page import deploys
from tests.servers import Server

ROOT = Path(__file__).resolve().parents[2]

# Old processes take what redis-py takes by default, 5 s; so do the new ones here,
# because this is no test of speed and the machine may be busy.
PATIENT = {"DEADLINE": 5, "CONNECT_TIMEOUT": 5}


class Process:
    """One pod, and what it answers."""

    def __init__(self, caches: dict[str, Any], population: str) -> None:
        asked = json.dumps({"caches": caches, "population": population})
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.migration.pod", asked],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate()
        assert self._process.returncode == 0

    def do(self, order: str, argument: Any = None) -> Any:
        """Give an order and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([order, argument]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class Fleet:
    """Starts pods with the settings that the documentation prints."""

    def __init__(
        self,
        server: Server,
        prefix: str = "",
        population: str = "everything",
        options: dict[str, Any] | None = None,
    ) -> None:
        self.server = server
        self.population = population
        self.deploys = {
            number: self._caches(printed, options or {})
            for number, printed in deploys(prefix).items()
        }

    def _caches(
        self, printed: dict[str, Any], options: dict[str, Any]
    ) -> dict[str, Any]:
        caches = copy.deepcopy(printed)
        default = caches["default"]
        default["LOCATION"] = self.server.url(db=1)
        chosen = default.setdefault("OPTIONS", {})
        chosen.update(options)
        if default["BACKEND"].startswith("redpony."):
            chosen.update(PATIENT)
        return caches

    def pod(self, deploy: int) -> Process:
        return Process(self.deploys[deploy], self.population)

    @contextmanager
    def pods(self, *chosen: int) -> Iterator[list[Process]]:
        """Run one pod of each deploy named, side by side."""
        started = [self.pod(deploy) for deploy in chosen]
        try:
            yield started
        finally:
            for pod in started:
                pod.__exit__()

    def share(self, pods: list[Process], operations: int = 150) -> list[dict[str, Any]]:
        """Load all pods until each has done its part; return their reports."""
        for pod in pods:
            pod.do("load")
        while min(pod.do("progress") for pod in pods) < operations:
            time.sleep(0.01)
        return [pod.do("stop") for pod in pods]
