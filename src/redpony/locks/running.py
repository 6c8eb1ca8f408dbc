"""How the plans of this room are run."""

from __future__ import annotations

from typing import Any, TypeVar

from redpony import events
from redpony.alias import Alias, Watch, alias_for
from redpony.conf import alias_config, lock_settings
from redpony.errors import RedponyError, ServerError, Unavailable
from redpony.plan import Plan, TwoColoured, finish

R = TypeVar("R")


def alias_of(using: str | Alias | None) -> Alias:
    """Return the alias that is named or given, or `REDPONY["LOCKS"]["ALIAS"]`."""
    if using is None:
        using = lock_settings().alias
    return alias_for(alias_config(using)) if isinstance(using, str) else using


class Running(TwoColoured):
    """The base of what has operations on a lock of an alias."""

    alias: Alias
    name: str

    def _run(self, plan: Plan[R]) -> R:
        if events.listening:
            with Watch(self.alias, plan) as watched:
                return finish(self.alias.drive(watched, self._settle))  # type: ignore[no-any-return]
        return finish(self.alias.drive(plan, self._settle))  # type: ignore[no-any-return]

    async def _arun(self, plan: Plan[R]) -> R:
        if events.listening:
            with Watch(self.alias, plan) as watched:
                return finish(await self.alias.adrive(watched, self._settle))  # type: ignore[no-any-return]
        return finish(await self.alias.adrive(plan, self._settle))  # type: ignore[no-any-return]

    def _settle(self, plan: Plan[Any], error: RedponyError) -> Any:
        """Raise the error with the lock that it was met at: no policy makes one up."""
        del plan
        raise self._explain(error)

    def _explain(self, error: RedponyError) -> RedponyError:
        if isinstance(error, (Unavailable, ServerError)):
            note = f'At the lock {self.name!r} of CACHES["{self.alias.name}"].'
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
        return error
