"""Names that are filled in from the arguments of a call."""

from __future__ import annotations

import inspect
import string
from collections.abc import Callable
from typing import Any

from redpony.errors import InvalidSetting


def naming(
    decorator: str, name: str, function: Callable[..., Any]
) -> Callable[[tuple[Any, ...], dict[str, Any]], str]:
    """Return what makes a name of a call's arguments, as `str.format` does.

    Raises `InvalidSetting` for a name that asks for what the function does not take.
    """
    signature = inspect.signature(function)
    wanted = {
        part.partition(".")[0].partition("[")[0]
        for _, part, _, _ in string.Formatter().parse(name)
        if part is not None
    }
    unknown = wanted - set(signature.parameters)
    if unknown:
        takes = ", ".join(signature.parameters) or "nothing"
        raise InvalidSetting(
            f"@{decorator}({name!r}): {function.__qualname__} takes no "
            f"{', '.join(sorted(map(repr, unknown)))}, only {takes}"
        )

    def fill_in(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return name.format(**bound.arguments)

    return fill_in
