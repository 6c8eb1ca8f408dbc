"""A primary and its replicas, as sentinels know them.

All sentinels are asked at once, and the one with the highest configuration epoch
is believed: one that was cut off still names the old primary. What one of them
publishes on `+switch-master` is a reason to ask all of them at once.

Source: the Sentinel client guidelines, https://redis.io/docs/latest/develop/reference/sentinel-clients/
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from redpony.commands import (
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
        self._ear: _Ear | None = None

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
            epoch = int(said.get("config-epoch", 0))
            if best is None or epoch > best[0]:
                best = (epoch, _place(said, address), replicas)
            if isinstance(sentinels, list):
                others += sentinels
        if best is None:
            raise self._nobody(failures)
        self._meet(others)
        self._listen(heard)
        return self._shape(best[1], best[2])

    def _shape(self, primary: tuple[str, int], replicas: Any) -> Shape:
        led = self.nodes.at(*primary)
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

    def _meet(self, others: list[Any]) -> None:
        """Remember the sentinels that the others know, should those of LOCATION end."""
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

    # Being told

    def _listen(self, heard: list[Link]) -> None:
        """Subscribe at one of the sentinels that have just answered."""
        if self._ear is not None:
            if self._ear.link in heard:
                return
            # A sentinel that hangs tells nothing, and its connection does not end.
            self.deafen()
        for link in heard:
            try:
                self._ear = _Ear(link)
            except (RedponyError, OSError, EOFError):
                continue
            return

    def ear(self) -> Any:
        return None if self._ear is None else self._ear.file

    def hear(self) -> bool:
        """Take in what a sentinel publishes; a lost connection is news as well."""
        if self._ear is None:
            return False
        try:
            return self._ear.concerns(self._topology.service)
        except (RedponyError, OSError, EOFError):
            self.deafen()
            return True

    def deafen(self) -> None:
        ear, self._ear = self._ear, None
        if ear is not None:
            ear.close()

    def close(self) -> None:
        self.nodes.close()
        for link in self.sentinels:
            link.close()

    def reset_after_fork(self) -> None:
        """Leave the ear to the parent: two who read from it hear half of it each."""
        self.nodes.reset_after_fork()
        ear, self._ear = self._ear, None
        if ear is not None:
            ear.file.abandon()


class _Ear:
    """A subscription to what one sentinel publishes."""

    def __init__(self, link: Link) -> None:
        config = link.config
        self.link = link
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
