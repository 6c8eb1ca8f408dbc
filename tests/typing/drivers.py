"""What type checkers see of a fast path, and of the drivers of tests.

No test is run here: `make types` reads this file with mypy and pyright.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_type

from redpony.cache import RedisCache
from redpony.commands import GET, SET
from redpony.plan import Batch, Plan, TwoColoured, both
from redpony.testing import FakeClock, ScriptedDriver, scripted_cache


class Stable(TwoColoured):
    driver: ScriptedDriver

    def _run(self, plan: Plan[Any]) -> Any:
        return self.driver.run(plan)

    async def _arun(self, plan: Plan[Any]) -> Any:
        return await self.driver.arun(plan)

    def _oats(self, key: str, default: int = 0, *, doubled: bool = False) -> Plan[int]:
        """Return how many oats there are."""
        found = yield GET(key)
        return default if found is None else int(found)

    oats, aoats = both(_oats)

    def _quickly(self, key: str) -> Any:
        return None

    def _hay(self, key: str) -> Plan[str | None]:
        yield Batch([GET(key), SET(key, "1")])
        return None

    hay, ahay = both(_hay, fast=_quickly)


async def a_fast_path_changes_no_type(stable: Stable) -> None:
    assert_type(stable.hay("a"), str | None)
    assert_type(await stable.ahay("a"), str | None)
    unbound: Callable[[Stable, str], str | None] = Stable.hay
    assert_type(unbound(stable, "a"), str | None)


async def a_scripted_driver_keeps_the_plans_result(stable: Stable) -> None:
    driver = ScriptedDriver(b"1", clock=FakeClock(1.0))
    assert_type(driver.run(stable._oats("a")), int)  # pyright: ignore[reportPrivateUsage]
    assert_type(await driver.arun(stable._oats("a")), int)  # pyright: ignore[reportPrivateUsage]
    assert_type(driver.expect(GET("a"), b"1").answer(GET("b")), ScriptedDriver)
    assert_type(scripted_cache(driver, KEY_PREFIX="a"), RedisCache)
