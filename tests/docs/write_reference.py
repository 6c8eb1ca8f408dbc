"""Writes docs/reference/cache.md from the code: `python -m tests.docs.write_reference`.

A room of the cache is a chapter; what it says is its module's docstring. Signatures
are those that `both` gives to the public methods.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from redpony.cache import RedisCache
from redpony.cache.client import Client
from redpony.cache.room import DEFAULT, Room

PAGE = Path(__file__).parents[2] / "docs/reference/cache.md"

HEAD = """\
<!-- Written by `python -m tests.docs.write_reference`; a test compares. -->

# The cache's methods

`caches[alias]` is a `RedisCache`. Where a method names its async twin, that takes the
same arguments. What each answers without a server is in
[What happens when](../topics/failure.md#on-error-raise-or-go-on-without); what values
may be, in [Values](../topics/values.md).

`key` is your key; prefix and version are added. `version` is the alias' own unless you
name one. A `timeout` that is not given is the alias' `TIMEOUT`. `key in cache`,
`make_key` and the rest of Django's base class are as
[Django documents them](https://docs.djangoproject.com/en/stable/topics/cache/).

```{py:currentmodule} redpony.cache
```

```{py:class} RedisCache
```
"""

# What annotations are called outside of their module.
NAMES = {
    "AsyncIterator": "collections.abc.AsyncIterator",
    "Bound": "float | str",
    "Cast": "Callable",
    "Lock": "redpony.locks.Lock",
    "Page": "tuple[bytes, list[bytes]]",
    "datetime": "datetime.datetime",
    "timedelta": "datetime.timedelta",
}


def rooms() -> list[type]:
    """Return the cache's rooms, in the order in which the class names them."""
    return [room for room in RedisCache.__bases__ if issubclass(room, Room)]


def methods(owner: type) -> Iterator[tuple[str, Any, str | None]]:
    """Yield a class' public methods, each with its twin's name."""
    own = vars(owner)
    for name, method in own.items():
        if name.startswith("_") or not inspect.isfunction(method):
            continue
        if name[0] == "a" and name[1:] in own:
            continue
        if method.__doc__:
            twin = f"a{name}"
            yield name, method, twin if twin in own else None


def signature(method: Any) -> str:
    parts = []
    starred = False
    found = inspect.signature(method)
    for each in list(found.parameters.values())[1:]:
        text = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        if each.kind is each.KEYWORD_ONLY and not starred:
            parts.append("*")
        starred |= each.kind in (each.VAR_POSITIONAL, each.KEYWORD_ONLY)
        text += each.name
        annotated = each.annotation not in ("Any", each.empty)
        if annotated:
            text += f": {_plain(each.annotation)}"
        if each.default is not each.empty:
            shown = "DEFAULT" if each.default is DEFAULT else repr(each.default)
            text += f" = {shown}" if annotated else f"={shown}"
        parts.append(text)
    returned = _plain(found.return_annotation)
    return f"({', '.join(parts)}) -> {returned}"


def chapter(owner: type, shown: str) -> Iterator[str]:
    module = sys.modules[owner.__module__]
    first, _, rest = inspect.cleandoc(module.__doc__ or "").partition("\n\n")
    title, _, sentence = " ".join(first.split()).partition(": ")
    yield f"\n## {title}\n"
    yield sentence[:1].upper() + sentence[1:]
    if rest:
        yield f"\n{rest}"
    for name, method, twin in methods(owner):
        yield f"\n```{{py:method}} {shown}.{name}{signature(method)}\n"
        yield inspect.cleandoc(method.__doc__)
        if twin:
            yield f"\nAsync: `{twin}`."
        yield "```"
        if twin:
            yield f"\n```{{py:method}} {shown}.{twin}\n:async:\n:no-typesetting:\n```"


def page() -> str:
    lines = [HEAD.rstrip()]
    for room in rooms():
        lines += chapter(room, "RedisCache")
    lines += chapter(Client, "RedisCache.client")
    return "\n".join(lines) + "\n"


def _plain(annotation: str) -> str:
    return re.sub(
        r"\b[A-Z]?\w+\b", lambda word: NAMES.get(word[0], word[0]), annotation
    )


if __name__ == "__main__":
    from django.conf import settings

    settings.configure()
    PAGE.write_text(page())
