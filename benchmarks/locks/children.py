"""The processes of the lock rows: each may hang, and none for long."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.failover import children
from benchmarks.failover.children import ready, report

__all__ = ["Child", "Failed", "Figures", "in_turns", "listen", "ready", "report"]

START = 60.0

Figures = dict[str, Any]


class Failed(Exception):
    """A process that said nothing in time, or ended without a word."""


class Child(children.Child):
    """A module of this package that runs as a program; see `benchmarks.failover`."""

    package = "benchmarks.locks"

    def await_ready(self) -> None:
        said = self.hear(START)
        if said != "ready":
            raise Failed(f"said {said!r} when it was started")

    def hear(self, patience: float) -> Any:
        """Return the next thing that it says; it is killed if that takes longer."""
        said = self._read(patience)
        if not said:
            self._process.wait()
            if self._process.returncode == -9:
                raise Failed(f"hangs: killed after {patience:g} s")
            raise Failed(f"ended with {self._process.returncode}")
        return said if said == "ready" else json.loads(said)


def in_turns(
    names: Sequence[str], rounds: int, measure: Callable[[str], Figures]
) -> dict[str, list[Figures]]:
    """Return what everybody did in each round; who failed has an `error` there.

    The order is turned by one each round, so that nobody always comes after the same.
    One that failed is not asked again: its failure is its figure.
    """
    found: dict[str, list[Figures]] = {name: [] for name in names}
    for number in range(rounds):
        for name in (*names[number:], *names[:number]):
            if any("error" in each for each in found[name]):
                continue
            try:
                found[name].append(measure(name))
            except Failed as failed:
                found[name].append({"error": str(failed)})
    return found


def listen() -> list[str]:
    """In the child: return the words of the next line; it ends with its parent."""
    try:
        return input().split()
    except EOFError:
        raise SystemExit(1) from None
