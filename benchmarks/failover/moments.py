"""When what happened, by the servers' own logs.

A log's line begins with the process, its role and the time by the wall clock:
`16410:X 22 Nov 2026 12:13:57.244 # +sdown master main 127.0.0.1 29234`.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

LINE = re.compile(r"^\d+:\w (\d+ \w+ \d+ [\d:.]+) . (.*)$", re.MULTILINE)
TIME = "%d %b %Y %H:%M:%S.%f"

MOMENTS: dict[str, dict[str, str]] = {
    "sentinel": {
        "a sentinel takes the primary for down": r"\+sdown master",
        "enough of them do": r"\+odown master",
        "one is elected to replace it": r"\+elected-leader",
        "it tells a replica to lead": r"\+failover-state-wait-promotion",
        "it has heard that the replica leads": r"\+promoted-slave",
        "the replacement is over": r"\+failover-end(?!-)",
    },
    "cluster": {
        "most primaries take it for failed": r"Marking node .* as failing",
        "its replica waits before it asks for votes": r"Start of election delayed",
        "it asks for votes": r"Starting a failover election",
        "it has won": r"Failover election won",
    },
}
"""By topology: what is told, in order, and how the first line that says so looks."""


class Logs:
    """What all servers of a group write from now on."""

    def __init__(self, group: Any) -> None:
        self._servers = [*group.nodes, *getattr(group, "sentinels", ())]
        self._read = [len(each.log) for each in self._servers]

    def moments(self, topology: str, since: float) -> dict[str, float]:
        """Return how long after a moment of the wall clock each was first told."""
        lines = [
            (datetime.strptime(when, TIME).timestamp() - since, text)
            for server, read in zip(self._servers, self._read, strict=True)
            for when, text in LINE.findall(server.log[read:])
        ]
        found: dict[str, float] = {}
        for name, pattern in MOMENTS[topology].items():
            times = [at for at, text in lines if at >= 0 and re.search(pattern, text)]
            if times:
                found[name] = min(times)
        return found
