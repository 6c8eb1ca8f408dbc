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
from dataclasses import dataclass
from typing import Any

from redpony.commands import Command
from redpony.errors import (
    Asked,
    Busy,
    CircuitOpen,
    ClusterDown,
    DeadlineExceeded,
    Loading,
    MasterDown,
    Moved,
    NoReplicas,
    NotPrimary,
    PoolExhausted,
    ReadOnly,
    Redirected,
    RedponyError,
    TryAgain,
    Unavailable,
)
from redpony.plan import Replies
from redpony.wire import outcomes
from redpony.wire.topology.nodes import UNFIT, Node
from redpony.wire.topology.pieces import Chart, Piece, Whole, all_together, wholes_of
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
    apart = not (together or atomic)
    if apart:
        wholes = wholes_of(chart, commands)
    else:
        wholes = all_together(chart, commands, atomic=atomic)
    waiting = [piece for piece in _pieces(wholes) if not piece.replies]
    while waiting:
        flights, loads = _load(chart, waiting, fresh=fresh)
        answers = yield flights
        for load, items in zip(loads, answers, strict=True):
            _unload(load, items)
        again: list[Piece] = []
        stuck: set[Piece] = set()
        pause = 0.0
        for piece in waiting:
            verdict = _judge(chart, piece)
            if verdict is None:
                continue
            again.append(piece)
            if verdict.look:
                stuck.add(piece)
            pause = max(pause, verdict.pause)
        if stuck:
            yield Look()
            again = [
                piece
                for piece in again
                if piece not in stuck or _may_succeed(chart, piece, fresh=fresh)
            ]
        if pause:
            if apart:
                again = _cut_up(wholes, again)
            yield Pause(pause)
        waiting = again
    if any(each.ends_a_scan for each in wholes):
        yield Look()
    return [each.answer(chart) for each in wholes]


def _pieces(wholes: list[Whole]) -> list[Piece]:
    return list(dict.fromkeys(piece for whole in wholes for piece in whole.pieces))


def _cut_up(wholes: list[Whole], waiting: list[Piece]) -> list[Piece]:
    """Ask for keys one by one where they lie on two servers, their slot being moved."""
    parts = {
        piece: whole.pieces
        for whole in wholes
        for piece in whole.pieces[:1]
        if piece in waiting and type(piece.replies[0]) is TryAgain and whole.cut_up()
    }
    return [part for piece in waiting for part in parts.get(piece, [piece])]


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
        flights[place].commands.extend(piece.words)
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


def _unload(load: list[Piece], items: list[Any]) -> None:
    at = 0
    for piece in load:
        count = len(piece.words)
        piece.take(items[at : at + count])
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
    if error is None and len(piece.replies) == 1:
        return None
    if error is not None and piece.hops < HOPS:
        node = piece.to
        assert node is not None
        if type(error) is ClusterDown and piece.slot is not None:
            error = ClusterDown(f"{error} (slot {piece.slot})", outcome="refused")
            piece.fail(error)
        verdict = _verdict(chart, piece, error, node)
        if verdict is not None:
            return verdict
    if any(isinstance(reply, Redirected) for reply in piece.replies):
        piece.replies = list(map(_not_led_on, piece.replies))
    return None


def _not_led_on(reply: Any) -> Any:
    """Return what the caller sees of a redirection that led nowhere."""
    if not isinstance(reply, Redirected):
        return reply
    return TryAgain(
        f"Slot {reply.slot} is being moved, and the servers do not agree yet on where "
        f"it is (the last word was: {reply})",
        outcome="refused",
    )


def _refusal(piece: Piece) -> RedponyError | None:
    """Return why nothing of a piece was applied, or what its reads met; else None."""
    replies = piece.replies
    first = replies[0]
    if not isinstance(first, RedponyError):
        return None
    if len(replies) == 1:
        return first
    for command, reply in zip(piece.commands, replies, strict=True):
        if not command.keys and command.kind.safe:
            continue
        if not isinstance(reply, RedponyError):
            return None
        if reply.outcome == "unknown" and not command.kind.safe:
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
        # Two that send to each other need a moment to agree.
        return _AT_ONCE if piece.hops < 3 else _Again(pause=_pause(piece.hops - 3))
    if isinstance(error, Asked):
        piece.asking = chart.at(error.host or node_host(node), error.port)
        return _AT_ONCE
    if kind is TryAgain:
        return _Again(pause=_pause(piece.hops))
    if piece.spare:
        return _from_replica(piece, error, node)
    if isinstance(error, (ReadOnly, NotPrimary, ClusterDown, MasterDown, NoReplicas)):
        chart.nudge()
        return _AFTER_A_LOOK if piece.hops <= 2 and piece.pinned is None else None
    if not isinstance(error, Unavailable) or isinstance(
        error, (Loading, Busy, PoolExhausted)
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
    if error.outcome == "unknown" and piece.hops == 1:
        # A read whose connection was lost after others of its flight were answered.
        return _AT_ONCE
    return _AFTER_A_LOOK if piece.hops <= 2 else None


def _from_replica(piece: Piece, error: RedponyError, node: Node) -> _Again | None:
    """Ask somebody else: what a replica cannot answer, another one or the primary can."""
    if isinstance(error, UNFIT):
        node.rest()
    elif not isinstance(error, Unavailable):
        return None
    piece.tried.append(node)
    return _AT_ONCE


def _may_succeed(chart: Chart, piece: Piece, *, fresh: bool) -> bool:
    """Return whether there is another place for a piece.

    A look may have found one. And for a read, now that the primary has failed, replicas
    will do that were left out.
    """
    node, _ = _choose(chart, piece, fresh=fresh)
    return node is not piece.to


def _pause(times: int) -> float:
    return PAUSE * 2.0 ** min(times, 5)


def late(label: str, flight: Flight) -> Replies:
    """Return the answers of a flight for which there was no time left."""
    error = DeadlineExceeded(
        f"{label} did not answer within the deadline (DEADLINE)", outcome="not_sent"
    )
    return Replies([error] * len(flight.commands))


def node_host(node: Node) -> str:
    """Return a node's host: a redirection without one means the server that sent it."""
    return getattr(node.address, "host", "")
