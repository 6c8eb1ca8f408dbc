"""A link: one server, one configuration, both drivers, one breaker."""

from __future__ import annotations

from typing import TypeVar

from redpony.plan import Plan
from redpony.wire.awaiting import AsyncDriver
from redpony.wire.blocking import BlockingDriver
from redpony.wire.breaker import Breaker
from redpony.wire.config import LinkConfig
from redpony.wire.credentials import Renewal
from redpony.wire.handshake import Facts

R = TypeVar("R")


class Link:
    """What the process has towards one server; shared by all its threads."""

    def __init__(self, config: LinkConfig) -> None:
        self.config = config
        self.breaker = Breaker(
            config.label, config.breaker_failures, config.breaker_cooldown
        )
        self.renewal = Renewal(config)
        self.facts = Facts()
        shared = (config, self.breaker, self.renewal, self.facts)
        self.blocking = BlockingDriver(*shared)
        self.awaiting = AsyncDriver(*shared)
        self.closings = 0
        """How often it was closed: what was left to do before is not done after."""

    @property
    def label(self) -> str:
        """The server in messages and events; without credentials."""
        return self.config.label

    def run(self, plan: Plan[R]) -> R:
        """Drive a plan, blocking."""
        return self.blocking.run(plan)

    async def arun(self, plan: Plan[R]) -> R:
        """Drive a plan in asyncio."""
        return await self.awaiting.run(plan)

    def close(self) -> None:
        """Close idle blocking connections, and those of loops that have ended."""
        self.closings += 1
        self.blocking.close()
        self.awaiting.loops.sweep()

    def nodes(self) -> list[Link]:
        """Return a link for every server: this one."""
        return [self]

    def __repr__(self) -> str:
        return f"<Link to {self.config.label}>"
