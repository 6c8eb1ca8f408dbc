"""`python -m benchmarks.locks.trial PORT NAME`: does a contestant work here at all?"""

from __future__ import annotations

import sys

from benchmarks.locks.children import Child, Failed, report
from benchmarks.locks.contestants import CONTESTANTS, try_out

PATIENCE = 30.0


def line_up(port: int) -> dict[str, dict[str, str]]:
    """Return what each contestant failed at, by colour; nothing where all is well."""
    children = {each.name: Child("trial", port, each.name) for each in CONTESTANTS}
    found: dict[str, dict[str, str]] = {}
    for name, child in children.items():
        with child:
            try:
                found[name] = child.hear(PATIENCE)
            except Failed as failed:
                found[name] = {"sync": str(failed)}
    return found


if __name__ == "__main__":
    report(try_out(sys.argv[2], int(sys.argv[1])))
