"""The table of all options: whose each is, and what becomes of it.

`docs/reference/options.md` shows the same rows; a test compares the two. Whoever
adds an option adds a row here and a row there, and nothing else: a reader turns
the value into what is stored in the field that `sets` names.
"""

from __future__ import annotations

from typing import Final

from redpony.conf.table import django_redis, ours, redis_py
from redpony.conf.table.option import REDPONY, Does, Option, Place

__all__ = ["REDPONY", "TABLE", "Does", "Option", "Place", "own_name", "rows"]

TABLE: Final = (
    *ours.alias(),
    *ours.ours(),
    *ours.parts(),
    *django_redis.options(),
    *redis_py.arguments(),
    *django_redis.settings(),
)


def rows(*places: Place) -> dict[str, Option]:
    """The rows of these places by name."""
    return {each.name: each for each in TABLE if each.place in places}


def own_name(option: Option) -> str | None:
    """Redpony's own name for what this option sets, if it has another."""
    part, _, field = option.sets.partition(".")
    if part == "sentinel_tls":
        names = [each.name for each in TABLE if each.sets == f"tls.{field}"]
        return None if option.whose == REDPONY else f"SENTINEL_TLS.{names[0]}"
    for each in TABLE:
        if each.whose == REDPONY and each.sets == option.sets:
            prefix = (
                f"{each.place.upper()}." if each.place in ("tls", "breaker") else ""
            )
            return None if each is option else f"{prefix}{each.name}"
    return None
