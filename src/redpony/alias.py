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
from redpony.errors import (
    RedponyError,
    Tampered,
    Unavailable,
    Unreadable,
    WriteRefused,
)
from redpony.eventlog import Voice, log_alias
from redpony.plan import (
    Batch,
    Everywhere,
    Plan,
    Replies,
    Settle,
    Wait,
    abandon,
    name_of,
)

R = TypeVar("R")
Drive = Callable[[Plan[Any], Settle], Any]


class Alias:
    """What the rooms of one alias have in common."""

    def __init__(self, config: AliasConfig) -> None:
        self.config = config
        self.name = config.alias
        self.link = link_for(config.link, config.topology)
        self.codec = Codec(config.codec)
        self.routes = config.topology is not None
        self.degrades = config.on_error == "degrade"
        self.ask = self.link.blocking.ask
        self.read = self.link.awaiting.read
        self.drive: Drive = self.link.blocking.drive
        self.adrive: Drive = self.link.awaiting.drive
        node = self.link.label
        log_alias(self.name, Voice(config.logger, config.log_degraded, node))

    def degraded(self, name: str, error: Unavailable | WriteRefused, answer: R) -> R:
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


_aliases: dict[AliasConfig, Alias] = {}
_by_id: dict[int, Alias] = {}
"""The same by the very objects: to hash a configuration is to hash all of it."""


def alias_for(config: AliasConfig) -> Alias:
    """Return the process' alias for a configuration."""
    found = _by_id.get(id(config))
    if found is not None:
        return found
    found = _aliases.get(config)
    if found is None:
        found = _aliases.setdefault(config, Alias(config))
    if found.config is config:
        _by_id[id(config)] = found  # which keeps it, and so its id
    return found


class Watch:
    """One operation under observation, from its call to what its caller gets.

    Use `plan` in place of the one that was given; leaving the `with` block emits
    the `Operation`, after any `Degraded` that explains it.
    """

    def __init__(self, alias: Alias, plan: Plan[Any]) -> None:
        self._alias = alias
        self._name = name_of(plan)
        self._commands: list[str] = []
        self._trips = 0
        self._started = time.perf_counter()
        self.plan = self._follow(plan)
        # A generator's name is what policies and events go by.
        self.plan.__name__ = self._name  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

    def __enter__(self) -> Plan[Any]:
        return self.plan

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        events.emit(
            events.Operation(
                self._alias.name,
                self._name.lstrip("_"),
                tuple(self._commands),
                self._trips,
                time.perf_counter() - self._started,
                self._alias.link.label,
                error,
            )
        )

    def _follow(self, plan: Plan[R]) -> Plan[R]:
        try:
            effect = next(plan)
            while True:
                self._count(effect)
                try:
                    reply = yield effect
                except RedponyError as error:
                    if error.outcome == "not_sent":
                        self._trips -= 1
                    effect = plan.throw(error)
                else:
                    if isinstance(reply, Replies) and reply.outcome(0) == "not_sent":
                        self._trips -= 1
                    effect = plan.send(reply)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        finally:
            # Where it was interrupted, what it has to undo is undone now, and not when
            # whoever holds a traceback lets go of it.
            abandon(plan)

    def _count(self, effect: Any) -> None:
        if isinstance(effect, Command):
            self._commands.append(effect.name)
        elif isinstance(effect, Batch):
            self._commands.extend(command.name for command in effect.commands)
        elif isinstance(effect, Everywhere):
            self._commands.extend(command.name for _, command in effect.asks)
        elif isinstance(effect, Wait):
            before = () if effect.before is None else (effect.before.name,)
            self._commands.extend((*before, effect.command.name))
        else:
            return
        self._trips += 1
