"""Real servers that fail on purpose, and a network that does.

* `Server`: one process, to be stopped, paused, killed and started again.
* `Replication`, `Sentinel`, `Cluster`: several that belong together, which can be
  promoted, failed over and resharded besides.
* `Proxy`: a network that is slow, cuts, resets, stalls or is gone; `Proxies`: one
  before each of several servers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redpony.testing.chaos.cluster import Cluster
    from redpony.testing.chaos.counted import Counted
    from redpony.testing.chaos.group import Group
    from redpony.testing.chaos.migration import Migration
    from redpony.testing.chaos.process import until
    from redpony.testing.chaos.programs import free_port
    from redpony.testing.chaos.proxies import Proxies
    from redpony.testing.chaos.proxy import Outage, Proxy, Toxic
    from redpony.testing.chaos.replication import Replication
    from redpony.testing.chaos.sentinel import Sentinel
    from redpony.testing.chaos.server import Certificates, Server

__all__ = [
    "Certificates",
    "Cluster",
    "Counted",
    "Group",
    "Migration",
    "Outage",
    "Proxies",
    "Proxy",
    "Replication",
    "Sentinel",
    "Server",
    "Toxic",
    "free_port",
    "until",
]

_HOMES = {
    "Certificates": "server",
    "Cluster": "cluster",
    "Counted": "counted",
    "Group": "group",
    "Migration": "migration",
    "Outage": "proxy",
    "Proxies": "proxies",
    "Proxy": "proxy",
    "Replication": "replication",
    "Sentinel": "sentinel",
    "Server": "server",
    "Toxic": "proxy",
    "free_port": "programs",
    "until": "process",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
