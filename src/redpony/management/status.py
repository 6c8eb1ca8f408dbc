"""`manage.py redpony status`: whether every server is there, and how it does."""

from __future__ import annotations

from collections.abc import Iterator

from redpony.conf.project import Backend, backends
from redpony.management.node import Node, survey
from redpony.management.text import columns, size, wrapped

_HEAD = (
    "ALIAS",
    "STATE",
    "SERVER",
    "PING",
    "MEMORY",
    "POLICY",
    "HITS",
    "CONN",
    "ADDRESS",
)


def status(only: str | None = None) -> tuple[bool, list[str]]:
    """Return whether all is well, and the lines to print."""
    well = True
    rows: list[tuple[str, ...]] = []
    remarks: dict[int, str] = {}
    for backend in backends("Redpony"):
        if only and backend.alias != only:
            continue
        for state, cells, remark in _rows(backend):
            well = well and state in ("up", "idle")
            if cells:
                rows.append((backend.alias, state, *cells))
            if remark:
                before = remarks.get(len(rows))
                remarks[len(rows)] = f"{before} {remark}" if before else remark
    if not rows:
        return _nothing(only)
    lines: list[str] = []
    for index, line in enumerate(columns([_HEAD, *rows])):
        lines.append(line)
        if index in remarks:
            lines.extend(wrapped(remarks[index], "  "))
    return well, lines


def _rows(backend: Backend) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Return state, cells and remark of each server; a remark alone is on all."""
    examination = backend.examined()
    if examination.config is None:
        blank = ("-",) * (len(_HEAD) - 2)
        yield "BAD", blank, " ".join(str(each) for each in examination.problems)
        return
    found = survey(examination.config)
    several = examination.config.topology is not None
    for node in found.nodes:
        yield _row(node, several=several)
    for fault in found.faults:
        yield "DOWN", (), fault


def _row(node: Node, *, several: bool) -> tuple[str, tuple[str, ...], str]:
    cells = _cells(node, several=several)
    if node.reason:
        return "DOWN", cells, node.reason
    if node.idle:
        return "idle", cells, "Not running: it starts with its first use."
    if node.too_old:
        return "OLD", cells, "Redpony needs Redis 6.2 or later, or Valkey."
    if not node.name:
        return "up", cells, f"It does not say more to this user: {node.mode}"
    return "up", cells, ""


def _cells(node: Node, *, several: bool) -> tuple[str, ...]:
    standalone = not node.name or node.mode in ("standalone", node.role)
    words = (
        node.name,
        node.version,
        "" if standalone else node.mode,
        node.role if several or node.role != "primary" else "",
    )
    server = " ".join(each for each in words if each)
    if node.standing:
        server = f"{server}, {node.standing}"
    limit = f" of {size(node.limit)}" if node.limit else ""
    ratio = node.hit_ratio
    return (
        server or "-",
        "-" if node.ping is None else f"{node.ping * 1000:.2f} ms",
        "-" if node.memory is None else size(node.memory) + limit,
        node.policy or "-",
        "-" if ratio is None else f"{ratio:.0%}",
        "-" if node.connections is None else str(node.connections),
        node.address,
    )


def _nothing(only: str | None) -> tuple[bool, list[str]]:
    others = [each for each in backends() if each.family != "Redpony"]
    if only:
        return False, [f'CACHES has no alias "{only}" with redpony.cache.RedisCache.']
    if others:
        names = ", ".join(f"{each.alias} ({each.family})" for each in others)
        return True, [
            f"No alias is served by Redpony yet. In Redis by other backends: {names}.",
            "What moving over changes: manage.py redpony doctor",
        ]
    return True, ["No alias of CACHES is in Redis."]
