"""Processes that work on a place, to be killed and stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.places import options

ROOT = Path(__file__).resolve().parents[2]


def configure(configuration: str) -> None:
    """Configure Django, in a process of `Children`."""
    from django.conf import settings

    settings.configure(
        CACHES={"default": json.loads(configuration)}, SECRET_KEY="x" * 50
    )
    import django

    django.setup()


class Children:
    """Processes of one module, by name: `python -m MODULE CONFIGURATION NAME ...`.

    The configuration is a backend's entry of CACHES, in JSON.
    """

    def __init__(self, module: str, server: Any) -> None:
        self._module = module
        self._configuration = json.dumps(
            {
                "BACKEND": "redpony.cache.RedisCache",
                "LOCATION": server.url(),
                "OPTIONS": options(server),
            }
        )
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def spawn(self, name: str, *words: object) -> None:
        command = [sys.executable, "-W", "error", "-m", self._module]
        command += [self._configuration, name, *map(str, words)]
        self._processes[name] = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def kill(self, name: str) -> None:
        self._processes[name].kill()

    def freeze(self, name: str) -> None:
        self._processes[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self._processes[name].send_signal(signal.SIGCONT)

    def wait(self, name: str) -> int:
        """Return a process' exit status, when it has ended."""
        return self._processes[name].wait(60)

    def end(self) -> None:
        """Kill all that are left."""
        for each in self._processes.values():
            each.send_signal(signal.SIGCONT)
            each.kill()
            each.wait()
