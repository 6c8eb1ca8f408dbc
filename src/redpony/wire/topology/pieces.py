"""What a router carries: the caller's commands, whole or cut, and their answers.

A `Piece` is what goes to one server together. A `Whole` is one command of the
caller's, and knows how the answers of its pieces make one. Commands that have to
run together are one piece, which nothing takes apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from redpony.commands import ASKING, SCAN, Access, Command, Kind, Spread
from redpony.errors import CrossSlot, RedponyError
from redpony.wire.topology import scanning, splitting
from redpony.wire.topology.nodes import Node
from redpony.wire.topology.shape import Shape


class Chart(Protocol):
    """What routing knows of the topology."""

    @property
    def shape(self) -> Shape: ...
    @property
    def moves(self) -> int: ...
    def nudge(self) -> None: ...
    def moved(self, slot: int, host: str, port: int) -> Node: ...
    def at(self, host: str, port: int) -> Node: ...


@dataclass(slots=True, eq=False)
class Piece:
    """Commands that go to one server together, and what has become of them."""

    commands: Sequence[Command]
    slot: int | None
    atomic: bool = False
    pinned: Node | None = None
    asking: Node | None = None
    to: Node | None = None
    tried: list[Node] = field(default_factory=list[Node])
    hops: int = 0
    replies: list[Any] = field(default_factory=list[Any])
    writes: bool = False
    spare: bool = False

    def __post_init__(self) -> None:
        self.writes = any(each.access is Access.WRITE for each in self.commands)

    def fail(self, error: RedponyError) -> None:
        self.replies = [error] * len(self.commands)

    @property
    def words(self) -> Sequence[Command]:
        """What is sent: ASKING as well, where a slot is on its way to the server.

        It holds for one command, or for a transaction. A script goes with its
        source then: a digest that is not known would use it up.
        """
        if self.asking is None:
            return self.commands
        sent = [_outright(each) for each in self.commands]
        if self.atomic:
            return [ASKING(), *sent]
        return [each for command in sent for each in (ASKING(), command)]

    def take(self, items: list[Any]) -> None:
        """Take the replies to `words`."""
        if self.asking is not None:
            items = items[1:] if self.atomic else items[1::2]
            self.asking = None
        self.replies = items


def _outright(command: Command) -> Command:
    if command.script is None:
        return command
    kind = Kind("EVAL", command.access, command.repeat, None)
    return Command(kind, command.words(source=True)[1:], command.timeout)


@dataclass(slots=True)
class Whole:
    """One command of the caller's: its pieces, and how their answers make one."""

    command: Command
    pieces: list[Piece]
    page: scanning.Page | None = None
    index: int = 0
    """Which of its piece's commands it is, where it was not cut."""

    cut: bool = False

    def answer(self, chart: Chart) -> Any:
        """Return the caller's answer, or error."""
        if self.cut:
            parts = [piece.replies[0] for piece in self.pieces]
            return splitting.merged(self.command, parts)
        if self.page is None:
            return self.pieces[0].replies[self.index]
        replies = [piece.replies[0] for piece in self.pieces]
        for reply in replies:
            if isinstance(reply, RedponyError):
                return reply
        return scanning.turned(
            self.page, self.command, chart.shape, chart.moves, replies
        )

    @property
    def ends_a_scan(self) -> bool:
        """Whether this was the last of several pages."""
        return self.page is not None and scanning.is_last(
            self.page, [piece.replies[0] for piece in self.pieces]
        )

    def cut_up(self) -> bool:
        """Ask for each key by itself, if the command can be cut; return whether."""
        parts = splitting.parts_of(self.command)
        if self.cut or parts is None:
            return False
        self.cut = True
        self.pieces = [Piece((part,), splitting.slot_for(part)) for part in parts]
        return True


def wholes_of(chart: Chart, commands: Sequence[Command]) -> list[Whole]:
    """Return commands, each by itself, with what is sent for them."""
    return [_whole(chart, each) for each in commands]


def _whole(chart: Chart, command: Command) -> Whole:
    shape = chart.shape
    kind = command.kind
    if shape.table is None:
        return Whole(command, [Piece((command,), None)])
    if kind is SCAN:
        page = scanning.page(command, shape, chart.moves)
        pieces = [Piece((step.command,), None, pinned=step.node) for step in page.steps]
        return Whole(command, pieces, page=page)
    if kind.keys is None and command.script is None:
        if kind.spread is Spread.EVERY:
            pieces = [Piece((command,), None, pinned=each) for each in shape.primaries]
            return Whole(command, pieces, cut=True)
        return Whole(command, [Piece((command,), None)])
    whole = Whole(command, [])
    if splitting.in_one_slot(command) or not whole.cut_up():
        try:
            whole.pieces = [Piece((command,), splitting.slot_for(command))]
        except CrossSlot as error:
            whole.pieces = [Piece((command,), None)]
            whole.pieces[0].fail(error)
    return whole


def all_together(
    chart: Chart, commands: Sequence[Command], *, atomic: bool
) -> list[Whole]:
    """Return commands as one piece, which fails where their slots differ."""
    piece = Piece(commands, None, atomic=atomic)
    if chart.shape.table is not None:
        try:
            piece.slot = _common_slot(commands)
        except CrossSlot as error:
            piece.fail(error)
    return [
        Whole(command, [piece], index=index) for index, command in enumerate(commands)
    ]


def _common_slot(commands: Sequence[Command]) -> int | None:
    slots = {splitting.slot_for(command) for command in commands} - {None}
    if len(slots) > 1:
        raise CrossSlot(
            f"CROSSSLOT {len(commands)} commands are to run together, and their keys "
            "lie in several slots of a cluster; give them one hash tag, as in "
            "{user:1}:a and {user:1}:b"
        )
    return slots.pop() if slots else None
