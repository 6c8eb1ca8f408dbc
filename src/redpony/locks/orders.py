"""In what order locks are taken: a graph, and the circles in it.

An edge from A to B means that somebody was ready to wait for B while it held A. Where
edges close a circle, those who made them wait for each other as soon as they meet at
the wrong moment, and they need not have met yet to be found.

* Nodes are single locks, and families of locks (all that are named "order:7"). One
  that has a family is both, so an edge between two of them may count four times.
  Within a family only the names count: whoever sorts them does nothing wrong.
* Something of `limit` places is held and wanted by weight. Lines are first come first
  served: whoever wants it waits for its holders, and for those who wait before it. So
  an edge *binds* if what is held of A and the most that anybody was ever seen to want
  of A do not fit in together. Readers alone never bind; once a writer was seen they do,
  as a reader stands behind the writer who waits for another reader.
* A circle counts if all its edges bind, and if its steps can be under way at once: two
  that were only ever made by holders of one and the same exclusive lock cannot.

References: Linux, Documentation/locking/lockdep-design.rst; K. Havelund, "Using Runtime
Analysis to Guide Model Checking of Java Programs" (2000), for the guards.

What is remembered is bounded; what was not seen for the longest time is forgotten
first, the edges of single names apart from those between families. Nothing here is
safe among threads.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from redpony.locks.stacks import Stack


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that is held or wanted."""

    kind: str
    name: str
    node: str
    """Which one it is: equal for those that exclude each other."""
    family: str
    """Which ones it is one of; `node` if it is one of none."""
    weight: int
    limit: int

    def __str__(self) -> str:
        return f"the {self.kind} {self.name!r}"

    @property
    def nodes(self) -> tuple[str, ...]:
        return (self.node,) if self.family == self.node else (self.node, self.family)

    @property
    def excludes(self) -> bool:
        """Whether its holder is alone."""
        return self.weight == self.limit


@dataclass(frozen=True, slots=True)
class Step:
    """Somebody wanted one thing while it held another."""

    held: Thing
    wanted: Thing
    held_at: Stack
    wanted_at: Stack
    who: str
    guards: frozenset[str]
    """What it held alone, the one of this step included."""

    @property
    def is_own(self) -> bool:
        """Whether it wanted what it held."""
        return self.held.node == self.wanted.node


Circle = tuple[Step, ...]


@dataclass(slots=True)
class _Edge:
    start: str
    end: str
    step: Step
    guards: frozenset[str]
    """What was held alone whenever this step was made."""
    binds: bool = False


class Orders:
    """The graph of one process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._after: dict[str, dict[str, _Edge]] = {}
        """Each node's edges, by where they lead."""
        self._heaviest: OrderedDict[str, int] = OrderedDict()
        """The most that anybody was seen to want of a node, where that is above 1."""
        self._names: OrderedDict[tuple[str, str], _Edge] = OrderedDict()
        self._families: OrderedDict[tuple[str, str], _Edge] = OrderedDict()

    def __len__(self) -> int:
        """Return how many edges are remembered."""
        return len(self._names) + len(self._families)

    def want(self, thing: Thing, steps: Sequence[Step]) -> list[Circle]:
        """Note that a thing is wanted, with a step from each that is held meanwhile.

        Returns the circles that this closes.
        """
        fresh = self._weigh(thing) if thing.limit > 1 else []
        for step in steps:
            fresh += self._add(step)
        return [circle for edge in fresh if (circle := self._circle(edge))]

    def _weigh(self, thing: Thing) -> list[_Edge]:
        """Note how much of a thing is wanted; return the edges that bind by that."""
        fresh: list[_Edge] = []
        for node in thing.nodes if thing.weight > 1 else ():
            is_more = thing.weight > self._heaviest.get(node, 1)
            if is_more:
                self._heaviest[node] = thing.weight
                edges = self._after.get(node, {}).values()
                fresh += [each for each in edges if self._bind(each)]
            self._heaviest.move_to_end(node)
            if len(self._heaviest) > self._most:
                self._heaviest.popitem(last=False)
        return fresh

    def _add(self, step: Step) -> list[_Edge]:
        """Note a step; return the edges that are new, or tell something new."""
        held, wanted = step.held, step.wanted
        if held.family == wanted.family:
            return self._edge(held.node, wanted.node, step, self._names)
        fresh: list[_Edge] = []
        for start in held.nodes:
            for end in wanted.nodes:
                lasts = start == held.family and end == wanted.family
                edges = self._families if lasts else self._names
                fresh += self._edge(start, end, step, edges)
        return fresh

    def _edge(
        self,
        start: str,
        end: str,
        step: Step,
        edges: OrderedDict[tuple[str, str], _Edge],
    ) -> list[_Edge]:
        edge = edges.get((start, end))
        if edge is None:
            edge = edges[start, end] = _Edge(start, end, step, step.guards)
            self._after.setdefault(start, {})[end] = edge
            if len(edges) > self._most:
                self._forget(edges.popitem(last=False)[1])
            return [edge] if self._bind(edge) else []
        edges.move_to_end((start, end))
        guards = edge.guards & step.guards
        is_freer = guards != edge.guards
        if is_freer:
            edge.guards = guards
        if is_freer or step.held.weight > edge.step.held.weight:
            edge.step = step
        was_bound = edge.binds
        if not was_bound:
            self._bind(edge)
        return [edge] if edge.binds and (is_freer or not was_bound) else []

    def _bind(self, edge: _Edge) -> bool:
        """Look again whether an edge binds; return whether it does so from now on."""
        held = edge.step.held
        binds = held.weight + self._heaviest.get(edge.start, 1) > held.limit
        fresh, edge.binds = binds and not edge.binds, binds
        return fresh

    def _forget(self, edge: _Edge) -> None:
        after = self._after[edge.start]
        del after[edge.end]
        if not after:
            del self._after[edge.start]

    def _circle(self, edge: _Edge) -> Circle:
        """Return the shortest circle through an edge; an empty one if there is none."""
        if edge.start == edge.end:
            return (edge.step,)
        paths: deque[tuple[_Edge, ...]] = deque([(edge,)])
        seen = {edge.end}
        while paths:
            path = paths.popleft()
            for each in self._after.get(path[-1].end, {}).values():
                if each.end in seen or not each.binds or not _at_once(path, each):
                    continue
                if each.end == edge.start:
                    return tuple(one.step for one in (*path, each))
                seen.add(each.end)
                paths.append((*path, each))
        return ()


def _at_once(path: Iterable[_Edge], edge: _Edge) -> bool:
    """Whether a step can be under way together with others."""
    return all(each.guards.isdisjoint(edge.guards) for each in path)
