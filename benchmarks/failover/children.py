"""The processes that take part: started, told something, and heard at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0


class Child:
    """A module of this package that runs as a program; also a context manager.

    It says `ready`, is told a word or two, and ends with a line of JSON.
    """

    package = "benchmarks.failover"

    def __init__(self, module: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{self.package}.{module}"]
            + [str(each) for each in arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.communicate()

    def await_ready(self) -> None:
        """Return when it has said so."""
        said = self._read()
        if said != "ready":
            raise RuntimeError(f"{self._process.args} said {said!r}")

    def tell(self, *words: object) -> None:
        """Say something in one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def result(self) -> Any:
        """Return what it has found, once it has ended by itself."""
        return json.loads(self._read())

    def _read(self, patience: float = PATIENCE) -> str:
        assert self._process.stdout is not None
        guard = threading.Timer(patience, self._process.kill)
        guard.start()
        try:
            return self._process.stdout.readline().strip()
        finally:
            guard.cancel()


class Told:
    """In the child: what the parent has said so far, heard by a thread."""

    def __init__(self) -> None:
        self.words: list[list[str]] = []
        self._heard = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def since(self, word: str) -> float | None:
        """Return the time that came with a word; None until it comes."""
        for said in list(self.words):
            if said[0] == word:
                return float(said[1]) if len(said) > 1 else 0.0
        return None

    def wait(self, word: str) -> float:
        """Wait for a word, and return the time that came with it."""
        with self._heard:
            while (found := self.since(word)) is None:
                self._heard.wait()
        return found

    def _listen(self) -> None:
        for line in sys.stdin:
            with self._heard:
                self.words.append(line.split())
                self._heard.notify_all()
        os._exit(1)  # the parent is gone


def ready() -> None:
    print("ready", flush=True)


def report(found: Any) -> None:
    """Hand in the result, and end at once: threads may still wait for somebody."""
    print(json.dumps(found), flush=True)
    time.sleep(0.01)
    os._exit(0)
