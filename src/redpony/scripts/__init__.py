"""Lua scripts: one file each under `lua/`, whose header is its contract.

A line `--@include NAME` stands for another file's text. Comments are not sent: a
script goes over the wire whole after each restart of a server.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from redpony.commands import Script


@cache
def script(name: str) -> Script:
    """Return the script of this name; read once a process."""
    return Script(name, _COMMENT.sub("", _source(name)))


def _source(name: str) -> str:
    text = files(__name__).joinpath("lua", f"{name}.lua").read_text("utf-8")
    return _INCLUDE.sub(lambda found: _source(found[1]), text)


_INCLUDE = re.compile(r"^--@include (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)
