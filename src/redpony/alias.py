"""One alias: its keys, its codec, its link and its policy.

What every feature is built on. Made once per process and configuration; the
objects that Django makes per thread and context share it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from redpony import events
from redpony.codec import Codec
from redpony.commands import Command
from redpony.conf import AliasConfig
from redpony.connections import link_for
from redpony.errors import RedponyError, Tampered, Unavailable, Unreadable
from redpony.eventlog import Voice, log_alias
from redpony.plan import Batch, Plan, Raised, Wait, name_of

R = TypeVar("R")


class Alias:
    """What the rooms of one alias have in common."""

    def __init__(self, config: AliasConfig) -> None:
        self.config = config
        self.name = config.alias
        self.link = link_for(config.link)
        self.codec = Codec(config.codec)
        self.degrades = config.on_error == "degrade"
        self.drive: Callable[[Plan[Any]], Any] = self.link.blocking.drive
        self.adrive = self.link.awaiting.drive
        node = self.link.config.label
        log_alias(self.name, Voice(config.logger, config.log_degraded, node))

    def degraded(self, name: str, error: Unavailable, answer: R) -> R:
        """Return the answer of an operation whose server is unavailable.

        Raises the error instead, unless the policy is to degrade.
        """
        if not self.degrades:
            raise error
        events.emit(events.Degraded(self.name, name, error))
        return answer

    def refused(self, error: Tampered | Unreadable) -> None:
        """Tell that a stored value was not used."""
        if isinstance(error, Tampered):
            reason = "tampered"
        else:
            reason = getattr(error, "reason", "undecodable")
        events.emit(events.Refused(self.name, reason, str(error)))

    def observed(self, plan: Plan[R]) -> Plan[R]:
        """Return the plan, with an `Operation` event at its end."""
        watched = _observe(plan, self.name, self.link.config.label)
        # A generator's name is what policies and events go by.
        watched.__name__ = name_of(plan)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        return watched


def _observe(plan: Plan[R], alias: str, node: str) -> Plan[R]:
    name = name_of(plan).lstrip("_")
    commands: list[str] = []
    trips = 0
    failure: BaseException | None = None
    started = time.perf_counter()
    try:
        effect = next(plan)
        while True:
            kind = type(effect)
            if kind is Command:
                commands.append(effect.name)
                trips += 1
            elif kind is Batch:
                commands.extend(command.name for command in effect.commands)
                trips += 1
            elif kind is Wait:
                commands.append(effect.command.name)
                trips += 1
            try:
                reply = yield effect
            except RedponyError as error:
                effect = plan.throw(error)
            else:
                effect = plan.send(reply)
    except StopIteration as stop:
        result: R = stop.value
        if isinstance(result, Raised):
            failure = result.error
        return result
    except BaseException as error:
        failure = error
        raise
    finally:
        seconds = time.perf_counter() - started
        events.emit(
            events.Operation(
                alias, name, tuple(commands), trips, seconds, node, failure
            )
        )
