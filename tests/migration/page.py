"""The settings of each deploy, as the documentation prints them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/migrate-from-django-redis.md"
_BLOCK = re.compile(
    r"^```\{code-block\} python\n:name: (?P<name>\S+)\n\n(?P<code>.*?)^```",
    re.MULTILINE | re.DOTALL,
)


def deploys(prefix: str = "") -> dict[int, dict[str, Any]]:
    """Return `CACHES` by deploy; 2 has the settings of 1, as the page says."""
    found: dict[int, dict[str, Any]] = {}
    for block in _BLOCK.finditer(PAGE.read_text()):
        name = re.fullmatch(rf"{prefix}deploy-(\d)", block["name"])
        if name is not None:
            settings: dict[str, Any] = {}
            exec(block["code"], settings)
            found[int(name[1])] = settings["CACHES"]
    found[2] = found[1]
    return found
