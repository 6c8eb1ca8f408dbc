"""What may be asked of a toxic; anything else is an error that names the argument."""

from __future__ import annotations

import math
from typing import Any, get_args

from redpony.errors import InvalidSetting
from redpony.testing.chaos.toxics import Direction


def checked(name: str, above: int | None = None, **given: Any) -> str:
    """Return the call as it was made; raise if an argument is out of its range."""
    for argument, value in given.items():
        if not _is_number(value) or not 0 <= value < math.inf or value == above:
            least = "0 or more" if above is None else f"more than {above}"
            raise InvalidSetting(
                f"{name}: {argument} is a number, {least}, not {value!r}"
            )
    shown = ", ".join(f"{argument}={value:g}" for argument, value in given.items())
    return f"{name}({shown})"


def whole(name: str, least: int, **given: Any) -> None:
    """Raise if an argument is no whole number."""
    for argument, value in given.items():
        if type(value) is not int or value < least:
            raise InvalidSetting(
                f"{name}: {argument} is a whole number, {least} or more, not {value!r}"
            )


def common(given: str, stream: Any, toxicity: Any) -> None:
    """Check what all toxics take."""
    if stream not in get_args(Direction):
        raise InvalidSetting(
            f'{given}: stream is "downstream" (to the client) or "upstream" (to the '
            f"server), not {stream!r}"
        )
    if not _is_number(toxicity) or not 0 <= toxicity <= 1:
        raise InvalidSetting(
            f"{given}: toxicity is a share of connections, from 0 to 1, not "
            f"{toxicity!r}"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
