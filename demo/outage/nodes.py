"""One server as the page shows it, and what can be done to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from redpony import connections

LABELS = {
    "pause": "Pause",
    "continue": "Continue",
    "kill": "Kill",
    "start": "Start",
    "failover": "Fail over",
}
TOLD = {
    "pause": "is paused",
    "continue": "is continued",
    "kill": "is killed",
    "start": "is started",
    "failover": "hands over to its replica",
}
MARKS = {
    "pause": "paused",
    "continue": "continued",
    "kill": "killed",
    "start": "started",
    "failover": "hand-over",
}
AWAY = {"paused": "is paused", "gone": "does not run"}


@dataclass(frozen=True, slots=True)
class Node:
    """A server as it was a moment ago.

    `state` is "running", "paused" or "gone"; `breaker` is Redpony's for it: "closed",
    "open" or "half-open".
    """

    number: int
    name: str
    place: str
    state: str
    breaker: str
    role: str = ""
    duty: str = ""
    can_fail_over: bool = False

    @property
    def buttons(self) -> list[tuple[str, str]]:
        """What a visitor can do to it now, and what the buttons say."""
        verbs = {
            "running": ["pause", "kill"],
            "paused": ["continue", "kill"],
            "gone": ["start"],
        }[self.state]
        # First, so that the others stay where they are when it comes and goes.
        first = ["failover"] if self.can_fail_over else []
        return [(verb, LABELS[verb]) for verb in [*first, *verbs]]

    @property
    def away(self) -> str:
        """What is wrong with it, as a sentence without its end; empty if nothing is."""
        return f"{self.name} {AWAY[self.state]}" if self.state in AWAY else ""


class Servers(Protocol):
    """The demo's own servers: nobody else's are ever touched."""

    engine: str

    def begin(self) -> None:
        """Start, or join what runs, before the first visitor comes."""

    def end(self) -> None:
        """End everything, frozen or not; leave nothing behind."""

    def look(self) -> list[Node]:
        """Return what there is; blocks for some milliseconds."""
        ...

    def do(self, verb: str, number: int) -> None:
        """Do to a server what a button says; return when it is done.

        Raises `LookupError` for a button that does not exist, and `OSError`,
        `RuntimeError` or redis-py's errors if it cannot be done now.
        """

    def freeze(self) -> None:
        """Stop all of them where they stand."""

    def thaw(self) -> None:
        """Let all go on that stand still; safe at any time."""

    def stands(self) -> str:
        """Return "on", "part" or "off": how many of them go on."""
        ...

    def name_of(self, node: str) -> str:
        """Return the name that the page has for a node of Redpony's events."""
        ...


def breakers() -> dict[str, str]:
    """Return the state of every breaker of this process, by the node's address."""
    return {
        node.label.rpartition("/")[0]: node.breaker.state
        for link in connections.links()
        for node in link.nodes()
    }
