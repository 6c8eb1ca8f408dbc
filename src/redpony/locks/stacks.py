"""Where in a user's code something happens: the frames that are the user's own."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Final

Place = tuple[str, int, str]
"""A file, a line, and the function that it belongs to."""

Stack = tuple[Place, ...]
"""Places, the innermost last."""

MOST: Final = 6
"""So many frames of a stack are kept."""

_OURS: Final = str(Path(__file__).parents[1])


def here(most: int = MOST) -> Stack:
    """Return the innermost frames that belong neither to us nor to any library.

    Where there is none, as in code that is installed like a library: the innermost
    that are not ours.
    """
    users: list[Place] = []
    others: list[Place] = []
    # `inspect.stack` reads files.
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    while frame is not None and len(users) < most:
        code = frame.f_code
        whose = _whose(code.co_filename)
        if whose != "ours" and (whose == "the user's" or len(others) < most):
            found = users if whose == "the user's" else others
            found.append((code.co_filename, frame.f_lineno or 0, code.co_name))
        frame = frame.f_back
    return tuple(reversed(users or others))


def innermost(stack: Stack) -> Place:
    """Return where the code stands."""
    return stack[-1] if stack else ("<unknown>", 0, "<unknown>")


def told(stack: Stack) -> str:
    """Return a stack as tracebacks are printed."""
    entries = [(file, line, name, None) for file, line, name in stack]
    return "".join(traceback.format_list(entries)).rstrip("\n")


@lru_cache(maxsize=4096)
def _whose(file: str) -> str:
    if file.startswith(_OURS):
        return "ours"
    is_installed = not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)
    if is_installed or file.startswith(("<frozen ", *_standard())):
        return "a library's"
    return "the user's"


@lru_cache(maxsize=1)
def _standard() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return paths["stdlib"], paths["platstdlib"]
