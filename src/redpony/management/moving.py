"""What moving over to Redpony changes, and the settings for each of its steps."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

from redpony.conf.model import AliasConfig, Examination
from redpony.conf.project import Backend
from redpony.conf.reading import SECRET_FIELDS
from redpony.conf.resolve import uses_herd
from redpony.conf.table import REDPONY, TABLE, sentinel
from redpony.errors import InvalidSetting
from redpony.wire.config import LinkConfig, Remapped, Sentinels, Tcp
from redpony.wire.masking import masked
from redpony.wire.url import ServerUrl, parse

BACKEND: Final = "redpony.cache.RedisCache"

_ALL: Final = (
    (
        "clear() removes the keys of this KEY_PREFIX, in all versions, and nothing else. "
        'It was FLUSHDB, the whole database; CLEAR "flushdb" keeps that.'
    ),
    (
        "An operation takes {deadline:g} s at most, waiting and repeating included "
        "(DEADLINE); opening a connection {connect:g} s (CONNECT_TIMEOUT). A server that is gone is left "
        "alone for a moment after three failures (BREAKER)."
    ),
    "Every a... method is asynchronous by itself, without a thread.",
)

_REPLICAS: Final = (
    "Where there are replicas: reads go to those that are up and linked, and to the "
    "primary for a second after a write of the same thread or task (READ_YOUR_WRITES). "
    "{whose} takes any of them, and may miss what was just written."
)

_CHANGES: Final[Mapping[str, tuple[str, ...]]] = {
    "django-redis": (
        *_ALL,
        "A value that cannot be read is a miss and an event, not an exception.",
        (
            'IGNORE_EXCEPTIONS is ON_ERROR "degrade": for an unavailable server only. A '
            "wrong type or a full server still raises; so do incr and lock."
        ),
        _REPLICAS.format(whose="django-redis"),
        (
            "Hashes are where django-redis 7 has them; those that 6.0 wrote, without the "
            "prefix, are not found."
        ),
        (
            "from django_redis import get_redis_connection becomes "
            "from redpony.compat.django_redis import get_redis_connection."
        ),
    ),
    "Django": (
        *_ALL,
        (
            "One pool for all threads of a process (POOL_SIZE, 20), where Django's backend "
            "has one for each thread."
        ),
        "Timeouts are exact to the millisecond; Django's backend cuts them to seconds.",
        "incr and incr_version are atomic and keep the time to live.",
        _REPLICAS.format(whose="Django's backend"),
    ),
    "django-valkey": (
        *_ALL,
        (
            "Sync and async are one backend: BACKEND is the same for both, and every "
            "method has its a... twin."
        ),
        (
            "Floating-point numbers that django-valkey stored are misses until they are "
            "written again (it stores them as bare text); negative integers are right."
        ),
        "A value that cannot be read is a miss and an event, not an exception.",
        _REPLICAS.format(whose="django-valkey"),
    ),
}

_FORMATS: Final = {
    "django-redis": "django_redis",
    "django-valkey": "django_redis",
    "Django": "django",
}


_DICTS: Final = ("tls", "breaker", "sentinel_tls", "sentinel_kwargs")
_ARGUMENTS: Final = tuple(sentinel.argument_rows().values())
_SENTINEL_TLS: Final = tuple(sentinel.tls_rows().values())


COLD: Final = (
    "HerdClient wraps every value in a marker of its own, so old and new pods cannot "
    "share values. Move over in one step, to another KEY_PREFIX: the cache starts "
    "empty, and the old entries expire by themselves."
)


def starts_cold(backend: Backend) -> bool:
    """Whether the values that are there cannot be read by Redpony."""
    return uses_herd(backend.params.get("OPTIONS"))


def changes(family: str, config: AliasConfig | None) -> list[str]:
    """Return what is different after moving over from this backend."""
    link = config.link if config else LinkConfig(Tcp("", 0))
    times = {"deadline": link.deadline, "connect": link.connect_timeout}
    return [each.format(**times) for each in _CHANGES[family]]


def steps(backend: Backend, examination: Examination) -> Iterator[str]:
    """The settings for the four deploys; each can be taken back to the one before."""
    old = _FORMATS[backend.family]
    alias = backend.alias
    yield "1. Redpony, writing what the old pods can read:"
    yield ""
    yield from _settings(backend, examination, {"FORMAT": old, "READ_FORMATS": [old]})
    yield ""
    yield "2. When no old pod runs any more, every pod accepts both:"
    yield ""
    yield from _options(alias, {"FORMAT": old, "READ_FORMATS": ["sealed", old]})
    yield ""
    yield "3. When every pod does, write sealed values:"
    yield ""
    yield from _options(alias, {"FORMAT": "sealed", "READ_FORMATS": ["sealed", old]})
    yield ""
    yield "4. When what was written before step 3 has expired, drop the old format:"
    yield ""
    yield f'       del CACHES["{alias}"]["OPTIONS"]["FORMAT"]'
    yield f'       del CACHES["{alias}"]["OPTIONS"]["READ_FORMATS"]'


def _options(alias: str, options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        yield f'       CACHES["{alias}"]["OPTIONS"]["{name}"] = {_written(value)}'


def _settings(
    backend: Backend, examination: Examination, formats: Mapping[str, Any]
) -> Iterator[str]:
    top: dict[str, str] = {}
    options: dict[str, str] = {}
    for field, value in examination.chosen.items():
        name, place = _home(field)
        text = (
            f'os.environ["REDIS_{name}"]' if field in SECRET_FIELDS else _written(value)
        )
        if place == "alias":
            top[name] = text
        elif field == "sentinel.tls":
            options.setdefault("SENTINEL_TLS", text)
        elif place in _DICTS:
            before = options.get(place.upper(), "{}")
            part = before[1:-1] if before.startswith("{") else ""
            both = ", ".join(each for each in (part, f'"{name}": {text}') if each)
            options[place.upper()] = "{" + both + "}"
        else:
            options[name] = text
    topology = examination.config.topology if examination.config else None
    if isinstance(topology, Sentinels) and topology.read_from == "replica":
        options.setdefault("READ_FROM", '"replica"')
    options.update({name: _written(value) for name, value in formats.items()})
    yield f'       CACHES["{backend.alias}"] = ' + "{"
    yield f'           "BACKEND": "{BACKEND}",'
    yield f'           "LOCATION": {_location(backend.location)},'
    for name, text in top.items():
        yield f'           "{name}": {text},'
    yield '           "OPTIONS": {'
    for name, text in options.items():
        yield f'               "{name}": {text},'
    yield "           },"
    yield "       }"


def _home(field: str) -> tuple[str, str]:
    """The name that the table prefers for a field, and where it stands."""
    derived = {
        **{each.sets: (each.name, "sentinel_kwargs") for each in _ARGUMENTS},
        **{each.sets: (each.name, "sentinel_tls") for each in _SENTINEL_TLS},
    }
    rows = [each for each in TABLE if each.sets == field and each.place != "settings"]
    ours = [each for each in rows if each.whose == REDPONY or each.place == "alias"]
    if ours or rows:
        best = (ours or rows)[0]
        return best.name, best.place
    return derived.get(field, (field.partition(".")[2].upper(), "options"))


def _location(location: Any) -> str:
    """LOCATION as one would write it, its secrets in the environment."""
    if isinstance(location, str):
        return _one(location)
    if isinstance(location, list | tuple | set):
        return "[" + ", ".join(_one(str(each)) for each in location) + "]"
    return '"redis://127.0.0.1:6379/1"'


def _one(url: str) -> str:
    name = next((key for key, value in os.environ.items() if value == url), None)
    if name and "://" in url:
        return f'"env://{name}"'
    try:
        found = parse(url)
    except InvalidSetting:
        return f'"{masked(url)}"'
    if isinstance(found, ServerUrl) and found.password is not None:
        return '"env://REDIS_URL"'
    return f'"{masked(url)}"'


def _written(value: Any) -> str:
    if isinstance(value, Remapped):
        pairs = (f"{_written(a)}: {_written(b)}" for a, b in _remapped(value))
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, Tcp):
        return f"({_written(value.host)}, {value.port})"
    if callable(value):
        module = getattr(value, "__module__", "")
        return f'"{module}.{getattr(value, "__qualname__", "...")}"'
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_written(each) for each in value) + "]"
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    return "..."


def _remapped(value: Remapped) -> Iterator[tuple[str, str]]:
    for (host, port), (there, number) in value.pairs:
        yield (
            str(Tcp(host, port)) if port else host,
            str(Tcp(there, number)) if number else there,
        )
