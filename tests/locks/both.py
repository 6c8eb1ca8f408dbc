"""A lock in the colour of a test."""

from __future__ import annotations

from typing import Any

from tests.colours import Both


class InBoth(Both):
    """A lock whose methods, and whose `with`, are of the test's colour."""

    def __enter__(self) -> Any:
        if self.colour.is_async:
            held = self.colour.run(self.target.__aenter__())
        else:
            held = self.target.__enter__()
        return Both(held, self.colour)

    def __exit__(self, *exc: object) -> Any:
        if self.colour.is_async:
            return self.colour.run(self.target.__aexit__(*exc))
        return self.target.__exit__(*exc)
