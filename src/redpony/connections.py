"""From configuration to link: the only place that holds connections.

Django makes a cache object for every thread and every asyncio context. They all
come here, and equal configurations get the same link: one pool, one breaker, one
multiplexed connection for each event loop. (Peers key their pools by URL, so
that a second alias' time-outs are ignored; ours compare whole.)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from redpony.wire.config import LinkConfig, Topology
from redpony.wire.link import Link

if TYPE_CHECKING:
    from redpony.wire.topology.link import TopologyLink

_links: dict[tuple[LinkConfig, Topology | None], Link | TopologyLink] = {}
_lock = threading.Lock()
_also: list[Callable[[], None]] = []


def link_for(
    config: LinkConfig, topology: Topology | None = None
) -> Link | TopologyLink:
    """Return the process' link for a configuration: to one server, or to several."""
    link = _links.get((config, topology))
    if link is None:
        with _lock:
            link = _links.get((config, topology))
            if link is None:
                link = _link(config, topology)
                _links[config, topology] = link
    return link


def _link(config: LinkConfig, topology: Topology | None) -> Link | TopologyLink:
    if topology is None:
        return Link(config)
    # Most projects have one server.
    from redpony.wire.topology.link import TopologyLink

    return TopologyLink(config, topology)


def links() -> list[Link | TopologyLink]:
    """Return every link that the process has."""
    return list(_links.values())


def close_all() -> None:
    """Close what is idle; links stay usable and open new connections.

    For the end of a test or a process. Connections of running event loops close
    with their loops.
    """
    for link in links():
        link.close()
    for close in _also:
        close()


def when_closing(close: Callable[[], None]) -> None:
    """Have something done whenever everything is closed."""
    _also.append(close)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
