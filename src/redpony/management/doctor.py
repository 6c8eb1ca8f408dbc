"""`manage.py redpony doctor`: what is wrong, what is unwise, what would change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from redpony.conf.advice import locks_live_in, on_project, sessions_live_in
from redpony.conf.model import AliasConfig, Examination
from redpony.conf.project import Backend, backends
from redpony.conf.rooms import room_problems
from redpony.errors import RedponyError
from redpony.locks.directory import START, Directory
from redpony.management import moving, standing
from redpony.management.node import Node, Survey, survey
from redpony.management.text import columns, points, size, wrapped
from redpony.wire.config import Replicated, Sentinels, Tls
from redpony.wire.topology.link import label_of

# What everybody reads in a URL.
_PLAIN: Final = frozenset({"LOCATION: db", "LOCATION: username", "LOCATION: password"})


LOCKS: Final = "locks live"
_PAGES: Final = 20
"""How many pages of keys are looked at for a lock."""


@dataclass(slots=True)
class _Patient:
    """One alias, and what was found."""

    backend: Backend
    examination: Examination
    survey: Survey | None = None
    errors: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])


def doctor(only: str | None, *, offline: bool) -> tuple[bool, list[str]]:
    """Return whether there is no error, and the report."""
    everyone = [_Patient(each, each.examined()) for each in backends()]
    for advice in on_project((p.backend.location, p.examination) for p in everyone):
        for patient in everyone:
            if patient.backend.alias == advice.alias:
                text = advice.text[0].upper() + advice.text[1:]
                patient.warnings.append(f"{text} {advice.remedy}")
    patients = [each for each in everyone if only in (None, each.backend.alias)]
    rooms = [str(each) for each in room_problems()]
    if only and not patients:
        return False, [f'CACHES has no alias "{only}" in Redis.']
    if not patients:
        return True, [
            "No alias of CACHES is in Redis. To begin:",
            "",
            '    CACHES = {"default": {',
            f'        "BACKEND": "{moving.BACKEND}",',
            '        "LOCATION": "embedded://",',
            "    }}",
        ]
    for patient in patients:
        _examine(patient, offline=offline)
    lines = [line for patient in patients for line in _report(patient)]
    if rooms:
        lines = ["REDPONY", "=======", "", *_section("Errors", rooms), *lines]
    errors = sum(len(each.errors) for each in patients) + len(rooms)
    warnings = sum(len(each.warnings) for each in patients)
    total = f"{_count(errors, 'error')}, {_count(warnings, 'warning')}."
    lines.append(total[0].upper() + total[1:])
    return not errors, lines


def _examine(patient: _Patient, *, offline: bool) -> None:
    patient.errors.extend(str(each) for each in patient.examination.problems)
    config = patient.examination.config
    if config is None:
        return
    patient.errors.extend(_missing_files(config))
    if offline:
        return
    patient.survey = found = survey(config)
    several = len(found.nodes) > 1
    patient.errors.extend(found.faults)
    for node in found.nodes:
        which = f"The server {node.address}" if several else "The server"
        if node.reason:
            patient.errors.append(f"{which} cannot be asked: {node.reason}")
        if node.too_old:
            patient.errors.append(
                f"{which} is Redis {node.version}; Redpony needs 6.2 or later."
            )
    patient.warnings.extend(standing.warnings(config, found))
    lasting = _lasting(patient.backend, found)
    if LOCKS in lasting:
        patient.warnings.extend(standing.at_failover(found))
    # Replicas evict what their primary does.
    leading = [each for each in found.nodes if each.role == "primary"]
    eviction = (
        text for each in leading or found.nodes for text in _eviction(lasting, each)
    )
    patient.warnings.extend(dict.fromkeys(eviction))


def _missing_files(config: AliasConfig) -> Iterator[str]:
    topology = config.topology
    links = [("TLS", config.link)]
    if isinstance(topology, Replicated):
        links += [("TLS", each) for each in topology.nodes]
    if isinstance(topology, Sentinels):
        links += [("SENTINEL_TLS", each) for each in topology.sentinels]
    seen: set[Tls] = set()
    for option, link in links:
        if link.tls is None or link.tls in seen:
            continue
        seen.add(link.tls)
        for name in ("ca_file", "ca_path", "cert_file", "key_file"):
            path = getattr(link.tls, name)
            if path and not Path(path).exists():
                yield f"{option} {name.upper()}: there is no {path}."


def _eviction(lasting: Sequence[str], node: Node) -> Iterator[str]:
    if not node.limit or not node.policy:
        return
    if node.policy == "noeviction":
        yield (
            f"The server refuses writes when {size(node.limit)} are used (maxmemory, "
            "noeviction): a full cache then raises. For a cache alone take "
            "allkeys-lru or allkeys-lfu."
        )
    elif lasting:
        which = "any key"
        if node.policy.startswith("volatile-"):
            which = "any key that has a lifetime, as these have,"
        remedy = ""
        if LOCKS in lasting:
            remedy = ' For locks, name its alias in REDPONY["LOCKS"]["ALIAS"].'
        yield (
            f"The server may evict {which} at {size(node.limit)} (maxmemory-policy "
            f"{node.policy}), and {_listed(lasting)} here: what is evicted is lost "
            "before its time. Give that data a server of its own with noeviction."
            f"{remedy}"
        )


def _lasting(backend: Backend, survey: Survey) -> list[str]:
    """What an alias holds that must not be evicted, as far as this can be known."""
    alias = backend.alias
    found: list[str] = []
    if sessions_live_in(alias):
        found.append("sessions live")
    rooms: Any = getattr(settings, "REDPONY", None)
    for name in ("SESSIONS", "STREAMS", "TASKS"):
        room = rooms.get(name) if isinstance(rooms, dict) else None
        if isinstance(room, dict) and room.get("ALIAS", "default") == alias:
            found.append(f"{name.lower()} live")
    if locks_live_in(alias) or (_matters(survey) and _has_locks(backend)):
        found.append(LOCKS)
    return found


def _matters(survey: Survey) -> bool:
    """Whether something could be said of locks, if there are any."""
    return any(
        each.name
        and (each.role == "replica" or (each.limit and each.policy != "noeviction"))
        for each in survey.nodes
    )


def _has_locks(backend: Backend) -> bool:
    """Whether locks were used on an alias of ours within a day, as its keys tell."""
    if backend.family != "Redpony":
        return False
    cursor = START
    directory = Directory(backend.alias)
    with suppress(RedponyError):  # who may only look at servers is not told
        for _ in range(_PAGES):
            cursor, found = directory.page(cursor, everything=True)
            if found:
                return True
            if cursor == START:
                break
    return False


def _report(patient: _Patient) -> Iterator[str]:
    backend, examination = patient.backend, patient.examination
    place = _place(examination)
    title = f'CACHES["{backend.alias}"], served by {backend.family}, {place}'
    yield title
    yield "=" * len(title)
    for node in patient.survey.nodes if patient.survey else ():
        several = examination.config is not None and examination.config.topology
        where = f"{node.address}, " if several else ""
        yield from wrapped(f"{where}{_told(node)}", "Server: ")
    yield ""
    yield from _section("Errors", patient.errors)
    yield from _section("Warnings", patient.warnings)
    yield from _options(backend, examination)
    if backend.family != "Redpony":
        yield from _section(
            f"What changes with {moving.BACKEND}",
            moving.changes(backend.family, examination.config),
        )
        if moving.starts_cold(backend):
            yield from _section("Moving over", [moving.COLD])
        elif not examination.problems:
            yield "Moving over under load, one deploy a step, and back at any step:"
            yield ""
            for line in moving.steps(backend, examination):
                yield f"  {line}".rstrip()
            yield ""


def _place(examination: Examination) -> str:
    config = examination.config
    if config is None:
        return "not readable"
    if config.topology is None:
        return config.link.label
    return label_of(config.link, config.topology)


def _section(title: str, texts: Sequence[str]) -> Iterator[str]:
    if texts:
        yield f"{title}:"
        yield from points(texts)
        yield ""


def _options(backend: Backend, examination: Examination) -> Iterator[str]:
    rows = [
        (
            each.verdict,
            each.where,
            "see Errors" if each.verdict == "refused" else each.note,
        )
        for each in examination.treatments
        if not (each.verdict == "honoured" and each.where in _PLAIN)
    ]
    if not rows:
        return
    future = "" if backend.family == "Redpony" else " would"
    yield f"How Redpony{future} take{'s' if not future else ''} its options:"
    yield from columns(rows, indent=2)
    yield ""


def _told(node: Node) -> str:
    if node.reason:
        return "not reachable"
    if node.idle:
        return "not running; it starts with its first use"
    if not node.name:
        return "it answers, and does not say more to this user"
    memory = f"{size(node.memory)} used"
    limit = f" of {size(node.limit)} ({node.policy})" if node.limit else ", no limit"
    told = (f"{node.name} {node.version}", node.role, node.standing)
    # A sentinel keeps no data.
    held = () if node.role == "sentinel" else (f"{memory}{limit}",)
    return ", ".join([*(each for each in told if each), *held])


def _listed(texts: Sequence[str]) -> str:
    return " and ".join(texts)


def _count(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"
