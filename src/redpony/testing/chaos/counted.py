"""What servers were asked within a block, from their own statistics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import redis


@dataclass(slots=True)
class Counted:
    """What a server was asked within a `counting()` block, once that has ended."""

    commands: Counter[str] = field(default_factory=Counter[str])
    """Calls by command, in lower case: `{"get": 1}`."""

    connections: int = 0
    """Connections that were accepted."""

    reads: int = 0
    """Times that the server read from a socket: one a flight of up to 16 kB, and
    one for each connection that was closed."""

    def add(self, other: Counted) -> None:
        """Add another server's to these."""
        self.commands.update(other.commands)
        self.connections += other.connections
        self.reads += other.reads


class Count:
    """The two readings of one server's statistics, taken over one connection."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        client.ping()
        self._commands, self._stats = self._calls(), client.info("stats")

    def take(self) -> Counted:
        """Return what happened since, without the readings themselves."""
        counted = Counted()
        commands, stats = self._calls(), self._client.info("stats")
        for name, calls in commands.items():
            more = calls - self._commands.get(name, 0)
            if name == "info":
                more -= 2  # ours, before the block
            if more:
                counted.commands[name] = more
        received, reads = "total_connections_received", "total_reads_processed"
        counted.connections = stats[received] - self._stats[received]
        counted.reads = stats[reads] - self._stats[reads] - 2  # ours, after the block
        return counted

    def _calls(self) -> dict[str, int]:
        stats = self._client.info("commandstats")
        return {
            name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()
        }
