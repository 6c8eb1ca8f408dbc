"""Lua scripts: one file each under `lua/`, whose header is its contract."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from redpony.commands import Script


@cache
def script(name: str) -> Script:
    """Return the script of this name; read once a process."""
    source = files(__name__).joinpath("lua", f"{name}.lua").read_text("utf-8")
    return Script(name, source)
