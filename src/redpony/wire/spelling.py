"""Which known name somebody may have meant."""

from __future__ import annotations

import difflib


def nearest(name: str, known: tuple[str, ...]) -> str:
    """Return ` Did you mean "...?"` if a known name is near, else nothing."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    if not found:
        by_folded = {each.casefold(): each for each in known}
        near = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
        found = [by_folded[each] for each in near]
    return f' Did you mean "{found[0]}"?' if found else ""
