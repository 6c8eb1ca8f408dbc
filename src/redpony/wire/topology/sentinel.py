"""A primary and its replicas, as sentinels know them.

All sentinels are asked at once, and the one with the highest configuration epoch
is believed: one that was cut off still names the old primary. What one of them
publishes on `+switch-master` is a reason to ask all of them at once.

The sentinel that replaces a primary says which replica it has chosen, and names it as
the primary when that has told it that it leads, up to a second later. Whoever asks the
chosen one need not wait for that; and what the old primary is given in that second, it
acknowledges and will forget. That sentinel alone tells of it, so all are listened to.

Source: the Sentinel client guidelines, https://redis.io/docs/latest/develop/reference/sentinel-clients/
"""

from __future__ import annotations

import selectors
import time
from dataclasses import replace
from typing import Any

from redpony.commands import (
    HELLO,
    SENTINEL_ADDRESS,
    SENTINEL_MASTER,
    SENTINEL_REPLICAS,
    SENTINEL_SENTINELS,
)
from redpony.errors import RedponyError, ServerError, Unavailable
from redpony.wire.config import LinkConfig, Sentinels, Tcp
from redpony.wire.link import Link
from redpony.wire.pool import Connection
from redpony.wire.replies import pack
from redpony.wire.topology.asking import ask_all, fields, text
from redpony.wire.topology.nodes import Node, Nodes
from redpony.wire.topology.shape import Shape, Shard

CHANNELS = (
    "+switch-master",
    "+failover-state-wait-promotion",
    "+promoted-slave",
    "+slave",
    "+sdown",
    "-sdown",
    "+convert-to-slave",
)
_UNFIT = frozenset({"s_down", "o_down", "disconnected"})


class SentinelView:
    """Finds the primary and the replicas of a service."""

    def __init__(self, topology: Sentinels, config: LinkConfig) -> None:
        self.nodes = Nodes(config, topology.remap)
        self._topology = topology
        self._sentinels = {each.address: Link(each) for each in topology.sentinels}
        self._ears = _Ears()
        self.epoch = 0
        self.restless = False
        """Whether a replica has been chosen that does not lead yet, or somebody met."""

    @property
    def sentinels(self) -> list[Link]:
        """The sentinels that are known, those of LOCATION first."""
        return list(self._sentinels.values())

    def first(self) -> Shape | None:
        return None

    def look(self, before: Shape | None) -> Shape:
        """Return the shape by the newest word of the sentinels; raise if there is none."""
        service = self._topology.service
        questions = tuple(
            kind(service)
            for kind in (
                SENTINEL_MASTER,
                SENTINEL_ADDRESS,
                SENTINEL_REPLICAS,
                SENTINEL_SENTINELS,
            )
        )
        best: tuple[int, tuple[str, int], Any] | None = None
        chosen: list[Node] = []
        failures: list[RedponyError] = []
        others: list[Any] = []
        heard: list[Link] = []
        answers = ask_all(self.sentinels, questions)
        for link, (master, address, replicas, sentinels) in answers:
            if isinstance(master, RedponyError):
                failures.append(master)
                continue
            heard.append(link)
            said = fields(master)
            chosen += self._chosen(said, replicas)
            epoch = int(said.get("config-epoch", 0))
            if best is None or epoch > best[0]:
                best = (epoch, _place(said, address), replicas)
            if isinstance(sentinels, list):
                others += sentinels
        if best is None:
            raise self._nobody(failures)
        has_met = self._meet(others)
        self._ears.listen(heard)
        led = self.nodes.at(*best[1])
        heirs = [node for node in dict.fromkeys(chosen) if node is not led]
        self.restless = bool(heirs) or has_met
        for node, (hello,) in ask_all(heirs, (HELLO(),)):
            if fields(hello).get("role") in ("master", "primary"):
                assert isinstance(node, Node)
                led = node
                self.restless = has_met
        return self._shape(led, best[2])

    def _chosen(self, said: dict[str, str], replicas: Any) -> list[Node]:
        """Return the replica that a sentinel is making the primary, if it is."""
        if "failover_in_progress" not in said.get("flags", "").split(","):
            return []
        return [
            self.nodes.at(each["ip"], int(each["port"]))
            for each in map(fields, replicas if isinstance(replicas, list) else ())
            if "promoted" in each.get("flags", "").split(",")
        ]

    def _shape(self, led: Node, replicas: Any) -> Shape:
        found: list[Node] = []
        for each in replicas if isinstance(replicas, list) else ():
            said = fields(each)
            node = self.nodes.at(said["ip"], int(said["port"]))
            if node is led or node in found:
                continue
            flags = set(said.get("flags", "").split(","))
            linked = said.get("master-link-status", "ok") == "ok"
            node.is_cut_off = bool(flags & _UNFIT) or not linked
            found.append(node)
        return Shape([Shard(led, found)])

    def _nobody(self, failures: list[RedponyError]) -> Unavailable:
        service = self._topology.service
        for each in failures:
            if isinstance(each, ServerError) and "No such master" in str(each):
                return Unavailable(
                    f'No sentinel watches a service "{service}"; is its name in '
                    "LOCATION the one that `sentinel monitor` has?"
                )
            if isinstance(each, ServerError):
                return Unavailable(f"The sentinels refuse to answer: {each}")
        places = ", ".join(str(each.config.address) for each in self.sentinels)
        why = f"; the last error was: {failures[-1]}" if failures else ""
        return Unavailable(f'No sentinel of "{service}" answers ({places}){why}')

    def _meet(self, others: list[Any]) -> bool:
        """Remember the sentinels that the others know; return whether there are more."""
        before = len(self._sentinels)
        template = self._topology.sentinels[0]
        for each in others:
            said = fields(each)
            host, port = said.get("ip", ""), int(said.get("port", 0))
            if not host or not port or set(said.get("flags", "").split(",")) & _UNFIT:
                continue
            if self._topology.remap is not None:
                host, port = self._topology.remap(host, port)
            address = Tcp(host, port)
            if address not in self._sentinels and len(self._sentinels) < 15:
                self._sentinels[address] = Link(replace(template, address=address))
        return len(self._sentinels) > before

    # Being told

    def ear(self) -> Any:
        return self._ears if self._ears.links else None

    def hear(self) -> bool:
        """Take in what sentinels publish; a lost connection is news as well."""
        return self._ears.hear(self._topology.service)

    def deafen(self) -> None:
        self._ears.close()

    def close(self) -> None:
        self.nodes.close()
        for link in self.sentinels:
            link.close()

    def reset_after_fork(self) -> None:
        """Leave the ears to the parent: two who read from one hear half of it each."""
        self.nodes.reset_after_fork()
        self._ears.abandon()
        self._ears = _Ears()


class _Ears:
    """A subscription at each sentinel, all of them readable as one file."""

    def __init__(self) -> None:
        self._by_link: dict[Link, _Ear] = {}
        self._selector: selectors.BaseSelector | None = None

    @property
    def links(self) -> list[Link]:
        """The sentinels that are listened to."""
        return list(self._by_link)

    def fileno(self) -> int:
        """Return the descriptor that is readable when one of them is."""
        return self._selector.fileno()  # type: ignore[union-attr, no-any-return]

    def listen(self, heard: list[Link]) -> None:
        """Subscribe at the sentinels that have just answered, and at no other.

        One that hangs tells nothing, and its connection does not end.
        """
        for link in self.links:
            if link not in heard:
                self._drop(link)
        if self._selector is None:
            self._selector = selectors.DefaultSelector()
        for link in heard:
            if link not in self._by_link:
                try:
                    ear = _Ear(link)
                except (RedponyError, OSError, EOFError):
                    continue
                self._by_link[link] = ear
                self._selector.register(ear.file, selectors.EVENT_READ)

    def hear(self, service: str) -> bool:
        """Read what has come; return whether something of it is about the service."""
        news = False
        for link, ear in list(self._by_link.items()):
            try:
                news = ear.concerns(service) or news
            except (RedponyError, OSError, EOFError):
                self._drop(link)
                news = True
        return news

    def close(self) -> None:
        for link in self.links:
            self._drop(link)
        selector, self._selector = self._selector, None
        if selector is not None:
            selector.close()

    def abandon(self) -> None:
        """Let go of everything without a word to anybody."""
        for ear in self._by_link.values():
            ear.file.abandon()
        if self._selector is not None:
            self._selector.close()

    def _drop(self, link: Link) -> None:
        ear = self._by_link.pop(link)
        assert self._selector is not None
        self._selector.unregister(ear.file)
        ear.close()


class _Ear:
    """A subscription to what one sentinel publishes."""

    def __init__(self, link: Link) -> None:
        config = link.config
        self._connection = Connection()
        self._connection.open(config)
        expires = time.monotonic() + config.connect_timeout
        self._connection.send(pack(("SUBSCRIBE", *CHANNELS)), expires)
        stream = self._connection.stream
        assert stream is not None
        self.file = stream

    def concerns(self, service: str) -> bool:
        """Read what has come; return whether something of it is about the service."""
        return any(_about(service, each) for each in self._connection.messages())

    def close(self) -> None:
        self._connection.close()


def _place(said: dict[str, str], address: Any) -> tuple[str, int]:
    """Return where the primary is.

    By `GET-MASTER-ADDR-BY-NAME`, which names the promoted replica as soon as it
    leads; `MASTER` does when all the others follow it, a second later.
    """
    if isinstance(address, list) and len(address) == 2:
        return text(address[0]), int(address[1])
    return said["ip"], int(said["port"])


def _about(service: str, message: Any) -> bool:
    """Whether a message is about a service, or cannot be understood."""
    try:
        kind, channel, payload = message
    except (TypeError, ValueError):
        return True
    if kind != b"message":
        return False
    words = text(payload).split(" ")
    if channel == b"+switch-master":
        return bool(words[0] == service)
    return service in words
