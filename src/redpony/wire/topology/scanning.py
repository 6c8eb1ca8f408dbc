"""SCAN over all primaries at once, behind a cursor that names them.

A server's cursor means nothing to another one. So ours lists, for each shard that
is not done, a slot of it, the cursor, and the server that gave it:
`1/0@0:13@127.0.0.1:7000,5461:7@127.0.0.1:7001`. Where that server leads no shard
any more, whoever has the slot by now is scanned from its start. In front stand how
often the scan began, and how often slots had changed hands when it first did: a key
that moves meanwhile, from a shard not scanned yet to one that was, would be missed,
so a scan that saw slots move begins again, at most `AGAIN` times; the router has the
topology looked at before it believes that none has. Keys may come twice; that is
SCAN's way. A key whose slot is still being moved at the end may be missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redpony.commands import Argument, Command
from redpony.errors import RedponyError
from redpony.wire.topology.nodes import Node
from redpony.wire.topology.shape import Shape

START = b"0"
AGAIN = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One shard's part of a page: who is asked, and from where."""

    slot: int
    node: Node
    command: Command


@dataclass(frozen=True, slots=True)
class Page:
    """All shards' parts of one page."""

    steps: list[Step]
    moves: int
    begun: int
    is_first: bool = False


def page(command: Command, shape: Shape, moves: int) -> Page:
    """Return what to ask for the page that a command's cursor stands at."""
    cursor = command.args[0]
    text = cursor.decode() if isinstance(cursor, bytes) else cursor
    if "@" not in text:
        first = _from_the_start(_shared_out(command, shape), shape)
        return Page(first, moves, 1, is_first=True)
    command = _shared_out(command, shape)
    head, _, rest = text.partition("@")
    begun, _, since = head.partition("/")
    leading = {str(node.address): node for node in shape.primaries}
    steps: list[Step] = []
    for part in rest.split(","):
        number, _, stand = part.partition(":")
        at, _, place = stand.partition("@")
        slot = int(number)
        node = leading.get(place)
        if node is not None:
            steps.append(_step(command, slot, node, at.encode()))
            continue
        shard = shape.table[slot] if shape.table else None
        if shard is not None:
            steps.append(_step(command, slot, shard.primary, START))
    return Page(steps, int(since), int(begun))


def is_last(page: Page, replies: list[Any]) -> bool:
    """Whether a scan of several pages would end here, if no slot has moved."""
    return (
        not page.is_first
        and page.begun <= AGAIN
        and not any(isinstance(reply, RedponyError) for reply in replies)
        and all(cursor == START for cursor, _ in replies)
    )


def turned(
    page: Page, command: Command, shape: Shape, moves: int, replies: list[Any]
) -> list[Any]:
    """Return SCAN's reply for all shards: the next cursor and what was found."""
    found: list[Any] = []
    left: list[str] = []
    for step, (cursor, names) in zip(page.steps, replies, strict=True):
        found += names
        if cursor != START:
            left.append(f"{step.slot}:{cursor.decode()}@{step.node.address}")
    if left:
        return [_cursor(page.begun, page.moves, left), found]
    if moves == page.moves or page.begun > AGAIN:
        return [START, found]
    again = [
        f"{step.slot}:0@{step.node.address}" for step in _from_the_start(command, shape)
    ]
    return [_cursor(page.begun + 1, moves, again), found]


def _shared_out(command: Command, shape: Shape) -> Command:
    """Return the command with each shard's part of `COUNT`: a page stays a page."""
    args = list(command.args)
    for place in range(1, len(args) - 1, 2):
        if args[place] in (b"COUNT", "COUNT"):
            each = max(1, int(args[place + 1]) // max(1, len(shape.shards)))
            args[place + 1] = b"%d" % each
    return Command(command.kind, tuple(args), command.timeout)


def _cursor(begun: int, moves: int, left: list[str]) -> bytes:
    return f"{begun}/{moves}@{','.join(left)}".encode()


def _from_the_start(command: Command, shape: Shape) -> list[Step]:
    table = shape.table
    steps: list[Step] = []
    seen: set[int] = set()
    for slot, shard in enumerate(table or ()):
        if shard is not None and id(shard) not in seen:
            seen.add(id(shard))
            steps.append(_step(command, slot, shard.primary, START))
    return steps


def _step(command: Command, slot: int, node: Node, cursor: Argument) -> Step:
    return Step(
        slot, node, Command(command.kind, (cursor, *command.args[1:]), command.timeout)
    )
