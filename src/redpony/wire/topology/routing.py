"""From commands to servers, and what follows from their answers; sans-IO.

`route` is a generator that both drivers run. It yields what it needs: a list of
`Flight`s (one a server; all of them leave before any answer is awaited), a
`Pause`, or a `Look` (wait until the topology was looked at once more). It returns
one item for each command, in order: the reply, or the error that it met.

What is sent again, and where: what a server refused (MOVED, ASK, TRYAGAIN,
READONLY, CLUSTERDOWN: nothing was applied), and what certainly never left; a read
also where its outcome is unknown. Everything else is at most once. Each command
goes at most `HOPS` times, and the deadline bounds them all.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from redpony.commands import ASKING, SCAN, Access, Command, Spread
from redpony.errors import (
    Asked,
    CircuitOpen,
    ClusterDown,
    CrossSlot,
    DeadlineExceeded,
    Loading,
    MasterDown,
    Moved,
    NoReplicas,
    NotPrimary,
    PoolExhausted,
    ReadOnly,
    RedponyError,
    TryAgain,
    Unavailable,
)
from redpony.wire import outcomes
from redpony.wire.topology import scanning, splitting
from redpony.wire.topology.nodes import Node
from redpony.wire.topology.shape import Shape, Shard

HOPS = 8
PAUSE = 0.005
"""Seconds before a command whose keys are on the move is tried again, at first."""


@dataclass(slots=True)
class Flight:
    """What goes to one server at once; `spare` says that others could answer it."""

    node: Node
    commands: list[Command]
    atomic: bool
    spare: bool


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Look:
    """Wait until the topology was looked at once more."""


Step = list[Flight] | Pause | Look
Route = Generator[Step, Any, list[Any]]


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


@dataclass(slots=True)
class Whole:
    """One command of the caller's: its pieces, and how their answers make one."""

    command: Command
    pieces: list[Piece]
    page: scanning.Page | None = None
    index: int = 0
    """Which of its piece's commands it is, where it was not cut."""

    cut: bool = False


def route(
    chart: Chart,
    commands: Sequence[Command],
    *,
    together: bool = False,
    atomic: bool = False,
    fresh: bool = True,
) -> Route:
    """Send commands to where they belong until each is answered.

    `together` keeps them on one connection and `atomic` in one transaction.
    `fresh` reads from the primary; else replicas are asked for what only reads.
    """
    if together or atomic:
        wholes = _together(commands, atomic=atomic)
    else:
        wholes = [_whole(chart, each) for each in commands]
    seen = {id(piece): piece for whole in wholes for piece in whole.pieces}
    waiting = [piece for piece in seen.values() if not piece.replies]
    while waiting:
        flights, loads = _load(chart, waiting, fresh=fresh)
        answers = yield flights
        for flight, load, items in zip(flights, loads, answers, strict=True):
            _unload(flight, load, items)
        again: list[Piece] = []
        look = False
        pause = 0.0
        for piece in waiting:
            verdict = _judge(chart, piece)
            if verdict is None:
                continue
            again.append(piece)
            look = look or verdict.look
            pause = max(pause, verdict.pause)
        if look:
            yield Look()
            _keep_what_may_succeed(chart, again)
            again = [piece for piece in again if not piece.replies]
        if pause:
            yield Pause(pause)
        waiting = again
    return [_answer(chart, whole) for whole in wholes]


# -- cutting ------------------------------------------------------------------


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
    if not splitting.in_one_slot(command):
        parts = splitting.parts_of(command)
        if parts is not None:
            pieces = [Piece((part,), splitting.slot_for(part)) for part in parts]
            return Whole(command, pieces, cut=True)
    try:
        piece = Piece((command,), splitting.slot_for(command))
    except CrossSlot as error:
        piece = Piece((command,), None)
        piece.fail(error)
    return Whole(command, [piece])


def _together(commands: Sequence[Command], *, atomic: bool) -> list[Whole]:
    piece = Piece(commands, None, atomic=atomic)
    slots: set[int] = set()
    error: CrossSlot | None = None
    for command in commands:
        try:
            slot = splitting.slot_for(command)
        except CrossSlot as refused:
            error = refused
        else:
            if slot is not None:
                slots.add(slot)
    if len(slots) > 1 and error is None:
        error = CrossSlot(
            f"CROSSSLOT {len(commands)} commands are to run together, and their keys "
            "lie in several slots of a cluster; give them one hash tag, as in "
            "{user:1}:a and {user:1}:b"
        )
    piece.slot = min(slots, default=None)
    whole = [
        Whole(command, [piece], index=index) for index, command in enumerate(commands)
    ]
    return whole if error is None else _refused(whole, piece, error)


def _refused(wholes: list[Whole], piece: Piece, error: CrossSlot) -> list[Whole]:
    piece.fail(error)
    return wholes


# -- sending ------------------------------------------------------------------


def _load(
    chart: Chart, pieces: list[Piece], *, fresh: bool
) -> tuple[list[Flight], list[list[Piece]]]:
    """Return one flight a server, and the pieces on board of each."""
    flights: list[Flight] = []
    loads: list[list[Piece]] = []
    shared: dict[tuple[int, bool], int] = {}
    for piece in pieces:
        node, spare = _choose(chart, piece, fresh=fresh)
        piece.to = node
        piece.spare = spare
        piece.hops += 1
        place = None if piece.atomic else shared.get((id(node), spare))
        if place is None:
            place = len(flights)
            flights.append(Flight(node, [], piece.atomic, spare))
            loads.append([])
            if not piece.atomic:
                shared[id(node), spare] = place
        if piece.asking is not None:
            flights[place].commands.append(ASKING())
        flights[place].commands.extend(piece.commands)
        loads[place].append(piece)
    return flights, loads


def _choose(chart: Chart, piece: Piece, *, fresh: bool) -> tuple[Node, bool]:
    """Return where a piece goes, and whether others could answer it as well."""
    if piece.asking is not None:
        return piece.asking, False
    if piece.pinned is not None:
        return piece.pinned, False
    shard = _shard(chart.shape, piece.slot)
    if piece.writes or fresh or any(each.kind.paged for each in piece.commands):
        return shard.primary, False
    node = shard.reader(piece.tried)
    return node, node is not shard.primary


def _shard(shape: Shape, slot: int | None) -> Shard:
    if shape.table is not None and slot is not None:
        found = shape.table[slot]
        if found is not None:
            return found
    for shard in shape.shards:
        if not shard.primary.breaker.blocked:
            return shard
    return shape.shards[0]


def _unload(flight: Flight, load: list[Piece], items: list[Any]) -> None:
    at = 0
    for piece in load:
        if piece.asking is not None:
            at += 1
            piece.asking = None
        count = len(piece.commands)
        piece.replies = items[at : at + count]
        at += count


# -- judging ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Again:
    look: bool = False
    pause: float = 0.0


_AT_ONCE = _Again()
_AFTER_A_LOOK = _Again(look=True)


def _judge(chart: Chart, piece: Piece) -> _Again | None:
    """Return how a piece goes on; None where its replies stand."""
    error = _refusal(piece)
    if error is None:
        return None
    node = piece.to
    assert node is not None
    verdict = _verdict(chart, piece, error, node)
    if verdict is not None and piece.hops >= HOPS:
        return None
    return verdict


def _refusal(piece: Piece) -> RedponyError | None:
    """Return why nothing of a piece was applied, or what its read met; else None."""
    replies = piece.replies
    first = replies[0]
    if not isinstance(first, RedponyError):
        return None
    if len(replies) == 1:
        return first
    for command, reply in zip(piece.commands, replies, strict=True):
        if not command.keys and command.kind.safe:
            continue
        if not isinstance(reply, RedponyError) or reply.outcome == "unknown":
            return None
    return first


def _verdict(  # noqa: PLR0911 (a table of what each refusal asks for)
    chart: Chart, piece: Piece, error: RedponyError, node: Node
) -> _Again | None:
    kind = type(error)
    if isinstance(error, Moved):
        chart.moved(error.slot, error.host or node_host(node), error.port)
        if piece.pinned is not None:
            return None
        return _AT_ONCE
    if isinstance(error, Asked):
        piece.asking = chart.at(error.host or node_host(node), error.port)
        return _AT_ONCE
    if kind is TryAgain:
        return _Again(pause=PAUSE * 2 ** min(piece.hops, 5))
    if piece.spare:
        return _from_replica(piece, error, node)
    if isinstance(error, (ReadOnly, NotPrimary, ClusterDown, NoReplicas)):
        chart.nudge()
        return _AFTER_A_LOOK if piece.hops <= 2 and piece.pinned is None else None
    if not isinstance(error, Unavailable) or isinstance(
        error, (Loading, MasterDown, PoolExhausted)
    ):
        return None
    chart.nudge()
    if piece.pinned is not None or isinstance(error, DeadlineExceeded):
        return None
    safe = all(each.kind.safe for each in piece.commands)
    if error.outcome != "not_sent" and not safe:
        return None
    if isinstance(error, CircuitOpen):
        # Nobody waits for a node that is left alone, unless another leads by now.
        led = _shard(chart.shape, piece.slot).primary
        return _AT_ONCE if led is not node and piece.hops <= 2 else None
    if outcomes.is_final(error):
        return None
    return _AFTER_A_LOOK if piece.hops <= 2 else None


def _from_replica(piece: Piece, error: RedponyError, node: Node) -> _Again | None:
    """Ask somebody else: what a replica cannot answer, another one or the primary can."""
    if isinstance(error, (Loading, MasterDown, ReadOnly, ClusterDown)):
        node.rest()
    elif not isinstance(error, Unavailable):
        return None
    piece.tried.append(node)
    return _AT_ONCE


def _keep_what_may_succeed(chart: Chart, pieces: list[Piece]) -> None:
    """Send again what a look has found a place for; the rest keeps its error."""
    for piece in pieces:
        node = _shard(chart.shape, piece.slot).primary
        error = piece.replies[0]
        same = node is piece.to and piece.asking is None
        if not (same and isinstance(error, (Unavailable, ReadOnly))):
            piece.replies = []


def node_host(node: Node) -> str:
    """Return a node's host: a redirection without one means the server that sent it."""
    return getattr(node.address, "host", "")


# -- answering ----------------------------------------------------------------


def _answer(chart: Chart, whole: Whole) -> Any:
    if whole.page is not None:
        replies = [piece.replies[0] for piece in whole.pieces]
        for reply in replies:
            if isinstance(reply, RedponyError):
                return reply
        return scanning.turned(
            whole.page, whole.command, chart.shape, chart.moves, replies
        )
    if whole.cut:
        parts = [piece.replies[0] for piece in whole.pieces]
        return splitting.merged(whole.command, parts)
    return whole.pieces[0].replies[whole.index]
