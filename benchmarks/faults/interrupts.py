"""A caller whose operations are interrupted at random moments, as by a time limit.

A signal's handler raises between any two bytecodes. What counts is what is left
behind: slots of the pool that nobody can give back, and wrong answers.
"""

from __future__ import annotations

import contextlib
import gc
import random
import signal
import sys
from typing import Any

from benchmarks.faults.contestants import slots_in_use
from benchmarks.faults.scenes import Ground

SEED = 3


class Interrupted(Exception):
    """What a soft time limit raises."""


def interrupted(ground: Ground, times: int) -> dict[str, Any]:
    """Interrupt one caller so many times; return what that left behind."""
    cache = ground.cache()
    for number in range(20):
        cache.set(f"key:{number}", number, None)
    rng = random.Random(SEED)
    struck = answered = wrong = lost = 0
    errors: dict[str, int] = {}

    def strike(*_: object) -> None:
        raise Interrupted

    signal.signal(signal.SIGALRM, strike)
    # What Python cannot raise inside a destructor it prints; it is not counted.
    sys.unraisablehook = lambda _: None
    while struck < times:
        number = rng.randrange(20)
        try:
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-6, 300e-6))
            try:
                for _ in range(20):
                    found = cache.get(f"key:{number}")
                    answered += 1
                    wrong += found not in (number, None)
                    lost += found is None
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except Interrupted:
            struck += 1
        except Exception as error:
            name = type(error).__name__
            errors[name] = errors.get(name, 0) + 1
        if sum(errors.values()) + lost > 1_000:
            break  # its pool is used up
    with contextlib.suppress(Interrupted):
        signal.setitimer(signal.ITIMER_REAL, 0)
    gc.collect()
    slots, size = slots_in_use(ground.name, cache)
    return {
        "calls": answered + sum(errors.values()),
        "answered": answered,
        "wrong": wrong,
        "errors": errors,
        "interrupts": struck,
        "slots": slots,
        "of_slots": size,
        "hollow": lost,
        "connections": len(ground.server.users()),
    }
