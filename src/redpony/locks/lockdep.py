"""Lockdep: possible deadlocks are told before they happen, as Linux' does it.

Whoever is about to wait for a lock says so (`wants`), and so does who has it (`took`).
From that `redpony.locks.orders` knows in what order locks are taken in this process,
by all threads and tasks, at any time. A circle in it is told once, with the stacks of
all who made it: as a warning, and as an event.

What always holds:

* Off, it costs one look at `watching`. It is on under `DEBUG`, or where the settings
  say so: `REDPONY = {"LOCKS": {"LOCKDEP": True}}`.
* It only watches: a warning comes before anything was asked of the server, so one that
  is turned into an error leaves nothing behind.
* A task that starts another one does not hold its locks for it, nor for a thread.
* Nobody has to say that it gave a lock back: whether a lease is over is asked when its
  holder wants the next one.
* A lock that may be given back by others (`thread_local=False`) is never held in this
  sense: who waits for it need not wait for the one who took it.
* A forked child begins anew.
"""

from __future__ import annotations

import asyncio
import os
import re
import string
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, ref

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from redpony import events
from redpony.conf.rooms import lock_settings
from redpony.locks import stacks
from redpony.locks.holder import whose
from redpony.locks.orders import Circle, Orders, Step, Thing
from redpony.locks.stacks import Stack

if TYPE_CHECKING:
    from redpony.locks.claim import Claim
    from redpony.locks.held import Held

MOST: Final = 1024
"""So many edges of single names are remembered, and so many between families."""

MOST_TOLD: Final = 256
"""So many circles are remembered as told."""

watching = True
"""Whether orders are watched. True until the first lock has found out."""

_is_decided = False


class PossibleDeadlock(RuntimeWarning):
    """Locks are taken in orders that can make their takers wait for each other."""


@dataclass(frozen=True, slots=True)
class _Holding:
    held: ref[Held]
    thing: Thing
    stack: Stack

    @property
    def stands(self) -> bool:
        held = self.held()
        return held is not None and held.valid


class _Owner:
    """What a thread or task has, and wants."""

    __slots__ = ("__weakref__", "holds", "wanting")

    def __init__(self) -> None:
        self.holds: list[_Holding] = []
        self.wanting: tuple[Thing, Stack] | None = None


_owners: WeakKeyDictionary[Any, _Owner] = WeakKeyDictionary()
_lock = threading.Lock()
_orders = Orders(MOST)
_told: dict[frozenset[tuple[str, str, bool]], None] = {}


# What locks say; each after a look at `watching`


def wants(claim: Claim[Any], blocking: bool, timeout: float | None) -> None:
    """Say that this thread or task asks for something now, and whether it waits.

    Warns of each `PossibleDeadlock` that this shows, once a process.
    """
    if not _is_on():
        return
    me = _mine()
    thing, stack = me.wanting = _thing(claim), stacks.here()
    if not blocking or (timeout is not None and timeout <= 0):
        return  # Who does not wait locks nobody out.
    me.holds = holds = [each for each in me.holds if each.stands]
    guards = frozenset(each.thing.node for each in holds if each.thing.excludes)
    who = _name()
    steps = [Step(each.thing, thing, each.stack, stack, who, guards) for each in holds]
    if not steps and thing.limit == 1:
        return
    if not _lock.acquire(timeout=1):
        return  # A signal's handler has interrupted who is in here: it must not wait.
    try:
        found = [each for each in _orders.want(thing, steps) if _is_news(each)]
    finally:
        _lock.release()
    told = [(circle, _head(circle)) for circle in found]
    for circle, head in told:
        names = tuple(dict.fromkeys(step.held.name for step in circle))
        events.emit(events.CircularWait(claim.alias.name, names, head))
    for circle, head in told:
        file, line, _ = stacks.innermost(stack)
        text = "\n".join([head, *map(_tell, circle)])
        warnings.warn_explicit(text, PossibleDeadlock, file, line)


def took(claim: Claim[Any], held: Held) -> None:
    """Say that this thread or task has what it wanted."""
    if not claim.thread_local or not _is_on():
        return
    me = _mine()
    wanting, me.wanting = me.wanting, None
    thing = _thing(claim)
    stack = wanting[1] if wanting and wanting[0] == thing else stacks.here()
    me.holds = [each for each in me.holds if each.stands]
    me.holds.append(_Holding(ref(held), thing, stack))


def family_of(name: str) -> str:
    """Return which locks one of this name is one of; called where it is made.

    Names that differ in numbers only are of one family. So are those that are made on
    one line and begin alike, up to the first colon or slash. Any other name is its own.
    """
    if not _is_on():
        return ""
    shape = _NUMBER.sub("#", name)
    if shape != name:
        return shape
    stem = _STEM.match(name)
    if stem is None:
        return name
    file, line, _ = stacks.innermost(stacks.here(1))
    return f"{stem[0]}# ({file}:{line})"


def family_of_template(template: str) -> str:
    """Return which locks one is one of whose name is filled in from arguments."""
    parts = string.Formatter().parse(template)
    shape = "".join(text + "#" * (field is not None) for text, field, _, _ in parts)
    return _NUMBER.sub("#", shape)


_NUMBER: Final = re.compile(
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"  # a UUID
    r"|\b(?=[0-9a-f]*\d)[0-9a-f]{16,}\b|\d+"
)
_STEM: Final = re.compile(r"[^:/]+[:/](?=.)")


def forget() -> None:
    """Forget all orders, and what was told: for tests."""
    global _owners, _orders, _lock
    _lock = threading.Lock()
    _owners = WeakKeyDictionary()
    _orders = Orders(MOST)
    _told.clear()


# Whether


def _is_on() -> bool:
    global watching, _is_decided
    if not _is_decided:
        watching = _is_wanted()
        _is_decided = True
    return watching


def _is_wanted() -> bool:
    try:
        option = lock_settings().lockdep
        return bool(settings.DEBUG if option is None else option)
    except ImproperlyConfigured:  # locks of an alias without a project
        return False


def _ask_again(*, setting: str, **_: Any) -> None:
    global watching, _is_decided
    if setting in ("DEBUG", "REDPONY"):
        watching, _is_decided = True, False


setting_changed.connect(_ask_again, dispatch_uid="redpony.locks.lockdep")


# Who and what


def _mine() -> _Owner:
    owner = whose()
    mine = _owners.get(owner)
    if mine is None:
        mine = _owners[owner] = _Owner()
    return mine


def _name() -> str:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    if task is not None:
        return f"the task {task.get_name()}"
    return f"the thread {threading.current_thread().name}"


def _thing(claim: Claim[Any]) -> Thing:
    terms, name = claim.terms, claim.name
    server = claim.alias.link.label
    family = claim.family or family_of(name)
    # The key holds what else tells locks apart: the prefix, and what they are.
    head, found, tail = terms.line.rpartition(name)
    key = f"{head}{family}{tail}" if found else family
    return Thing(
        claim.kind,
        name,
        f"{server} {terms.line}",
        f"{server} {key}",
        terms.weight,
        _limit(terms),
    )


def _limit(terms: Any) -> int:
    """Return how much there is of something; the one place that looks for it."""
    for limit in (getattr(terms, "value", None), getattr(terms, "limit", None)):
        if isinstance(limit, int):
            return limit
    return 1


# What is told


def _is_news(circle: Circle) -> bool:
    """Whether a circle is told for the first time; with the lock held."""
    subject = frozenset(
        (step.held.family, step.wanted.family, step.is_own) for step in circle
    )
    if subject in _told:
        return False
    _told[subject] = None
    if len(_told) > MOST_TOLD:
        del _told[next(iter(_told))]
    return True


def _head(circle: Circle) -> str:
    step = circle[0]
    held, wanted = step.held, step.wanted
    file, line, _ = stacks.innermost(step.wanted_at)
    at = f"{file}:{line}"
    if step.is_own:
        if held.weight + wanted.weight > held.limit:
            return (
                f"Deadlock: {step.who} waits for {wanted} at {at} and holds "
                f"{held}: it waits for itself"
            )
        return (
            f"Possible deadlock: {step.who} takes {wanted} at {at} and holds "
            f"{held}: with somebody in line in between who wants more of it, each "
            "waits for the other"
        )
    others = " and ".join(map(_where, circle[1:]))
    way = "the other way round" if len(circle) == 2 else "on, in a circle,"
    return (
        f"Possible deadlock: {wanted} is taken while {held} is held, at {at}, "
        f"and {way} at {others}. Take locks in one order everywhere"
    )


def _where(step: Step) -> str:
    file, line, _ = stacks.innermost(step.wanted_at)
    return f"{file}:{line} ({step.held.name!r}, then {step.wanted.name!r})"


def _tell(step: Step) -> str:
    return (
        f"  {step.who} takes {step.wanted}:\n{stacks.told(step.wanted_at)}\n"
        f"  while it holds {step.held}, taken here:\n{stacks.told(step.held_at)}"
    )


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)
