"""A slot of a cluster on its way from one primary to another, key by key.

The order of the steps is the cluster specification's: the target is told before
the source, at the beginning and at the end, so that nobody is ever sent to a node
that sends him back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redpony.testing.chaos.server import HARNESS, Server


@dataclass(frozen=True, slots=True)
class Carrier:
    """Two primaries, with connections to them and to all others that are told."""

    source: Server
    target: Server
    clients: Mapping[Server, Any]
    """The target first, then the source."""
    ids: Mapping[Server, str]

    def set(self, node: Server, slot: int, *words: str) -> None:
        """Send CLUSTER SETSLOT to a node."""
        self.ask(node, "CLUSTER SETSLOT", slot, *words)

    def ask(self, node: Server, *words: Any) -> Any:
        """Return a node's answer."""
        return self.clients[node].execute_command(*words)


class Migration:
    """A slot on its way from `source` to `target`."""

    def __init__(self, carrier: Carrier, slot: int) -> None:
        self.slot = slot
        self.source = carrier.source
        self.target = carrier.target
        self._carrier = carrier
        self._is_open = False

    def begin(self) -> None:
        """Open the slot on both sides; no key moves."""
        carrier = self._carrier
        carrier.set(self.target, self.slot, "IMPORTING", carrier.ids[self.source])
        carrier.set(self.source, self.slot, "MIGRATING", carrier.ids[self.target])
        self._is_open = True

    def move(self, *keys: str | bytes) -> None:
        """Move these keys to the target."""
        self._carry(self.source, self.target, keys)

    def finish(self) -> None:
        """Move what is left, and make the target the slot's owner."""
        self._carry_all(self.source, self.target)
        carrier = self._carrier
        for node in carrier.clients:
            carrier.set(node, self.slot, "NODE", carrier.ids[self.target])
        self._is_open = False

    def end(self) -> None:
        """Bring the keys back and close the slot, unless it has moved."""
        if not self._is_open:
            return
        # The source first, so that it takes back what it does not have.
        self._carrier.set(self.source, self.slot, "STABLE")
        self._carry_all(self.target, self.source)
        self._carrier.set(self.target, self.slot, "STABLE")
        self._is_open = False

    def _carry_all(self, source: Server, target: Server) -> None:
        ask = self._carrier.ask
        while keys := ask(source, "CLUSTER GETKEYSINSLOT", self.slot, 100):
            self._carry(source, target, keys)

    def _carry(self, source: Server, target: Server, keys: Any) -> None:
        words = ("MIGRATE", target.host, target.port, "", 0, 5000)
        self._carrier.ask(source, *words, "AUTH2", *HARNESS, "KEYS", *keys)
