"""A process that contends for locks, and writes down what it believes.

`python -m tests.locks.contender '{"location": ..., "diary": ..., ...}'`. Two threads
and two tasks take locks, places of a semaphore and both sides of a read-write lock,
over and over: some with a lease that is renewed, some with a hard one, some with
little patience, some twice over, some for too long; tasks are cancelled now and then. Who has a lock
writes to a register in the name of its fence, and now and then does so without a look
at whether it still has it. What the lines of the diary mean is in `tests.locks.diary`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import threading
import time
from typing import Any

from tests.locks.diary import EXCLUSIVE, LEASE, LIMITS, Diary, is_sure
from tests.locks.register import Writer


class Turn:
    """One try of one contender: what it wants, and what it does with it."""

    def __init__(self, who: Contender, name: str) -> None:
        rng = who.rng
        self.who = who
        self.name = name
        options: dict[str, Any] = {"lease": LEASE, "using": who.alias}
        if rng.random() < 0.3:
            options["timeout"] = rng.choice([0.3, 1.0])
        # A body that takes longer than its lease, and does not look.
        self.overruns = rng.random() < 0.03
        if self.overruns:
            options["timeout"] = 0.1
        patience = rng.choice([0.005, 0.05, 0.5]) if rng.random() < 0.3 else None
        options["blocking_timeout"] = patience
        options["on_lost"] = self.lost
        self.again = name in EXCLUSIVE and rng.random() < 0.2
        if self.again:
            options["reentrant"] = True
        self.claim, self.weight = self._claim(options, rng)
        self.lasts = rng.choice([0, 0, 0.001, 0.005, 0.02, 0.01, 0.01])
        if self.overruns:
            self.lasts = 0.15
        self.looks = not self.overruns and rng.random() < 0.5
        self.forges = rng.random() < 0.1
        who.say("want", name, "ever" if patience is None else patience)

    def _claim(self, options: dict[str, Any], rng: random.Random) -> tuple[Any, int]:
        from redpony.locks import Lock, ReadWriteLock, Semaphore

        if self.name == "s":
            weight = rng.choice([1, 1, 2, 3])
            return Semaphore("s", LIMITS["s"], weight=weight, **options), weight
        if self.name == "r":
            lock = ReadWriteLock("r", **options)
            if rng.random() < 0.7:
                return lock.read, 1
            return lock.write, LIMITS["r"]
        return Lock(self.name, **options), 1

    @property
    def is_alone(self) -> bool:
        return self.weight == LIMITS[self.name]

    def entered(self, held: Any) -> bool:
        """Write down that it has the lock; False if that is not sure any more."""
        words = ("enter", self.name, self.who.name, held.fence, self.weight)
        if self.who.diary.surely(held, *words):
            self.write(held)
            return True
        self.who.say("late", self.name, held.fence)
        return False

    def leaves(self, held: Any) -> None:
        """Do the last things under the lock."""
        self.who.diary.surely(held, "sure", self.name, self.who.name, held.fence)
        if not self.looks or held.valid:
            self.write(held)

    def write(self, held: Any) -> None:
        """Write to the register, which refuses whoever is late."""
        if not self.is_alone:
            return
        writer = f"{self.who.diary.pid}-{self.who.name}"
        accepted = self.who.writer.write(self.name, held.fence, writer)
        sure = is_sure(held, time.monotonic())
        said = ("accepted" if accepted else "refused") + ("-sure" if sure else "")
        self.who.say("write", self.name, held.fence, said)

    def compare(self, held: Any, owned: bool) -> None:
        """Complain if the server does not know of what is surely held."""
        if not owned and is_sure(held, time.monotonic()):
            self.who.say("stray", self.name, held.fence)

    def forged(self) -> Any:
        """Return a command that releases what was never taken."""
        from redpony.locks.tokens import new_token

        return self.claim.terms.release(new_token(None, self.weight), b"", 0)

    def released(self, reply: Any) -> None:
        if reply != 0:
            self.who.say("stolen", self.name, 0)

    def lost(self, held: Any) -> None:
        until = f"{held.until:.6f}"
        self.who.say("lost", self.name, held.fence, until)


class Contender:
    """One thread or task."""

    def __init__(self, name: str, job: dict[str, Any], seed: float) -> None:
        from redpony.alias import alias_for
        from redpony.conf import alias_config
        from tests.locks.doubling import Doubled

        self.name = name
        self.rng = random.Random(seed)
        self.diary = Diary(job["diary"])
        self.writer = Writer(job["register"])
        self.ends = float(job["ends"])
        self.stays_calm_until = float(job["calm"])
        self.alias: Any = alias_for(alias_config("default"))
        if job["doubles"]:
            self.alias = Doubled(
                self.alias.config,
                self.rng,
                self.stays_calm_until,
                lambda what: self.diary.write(what, "-", name),
            )

    def say(self, what: str, name: str, *words: Any) -> None:
        self.diary.write(what, name, self.name, *words)

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.ends

    def turn(self) -> Turn:
        return Turn(self, self.rng.choice(list(LIMITS)))

    @property
    def pause(self) -> float:
        return self.rng.random() * 0.01

    def in_thread(self) -> None:
        with contextlib.closing(self.writer):
            self.work()

    def work(self) -> None:
        from redis.exceptions import RedisError

        while self.goes_on:
            turn = self.turn()
            try:
                with turn.claim as held:
                    if turn.entered(held):
                        time.sleep(turn.lasts)
                        if turn.again:
                            self.enter_again(turn, held)
                        if self.rng.random() < 0.1:
                            turn.compare(held, held.owned())
                        turn.leaves(held)
                self.say("leave", turn.name, held.fence)
                if turn.forges:
                    turn.released(self.alias.link.blocking.ask(turn.forged()))
            except RedisError as error:
                self.say("quit", turn.name, type(error).__name__)
                time.sleep(0.01)
            time.sleep(self.pause)

    def enter_again(self, turn: Turn, held: Any) -> None:
        """Take a reentrant lock that it has: it is the same holding, until the end."""
        if not is_sure(held, time.monotonic() + LEASE / 10):
            return
        with turn.claim as inner:
            same = inner is held and held.count == 2
        if not same or held.count != 1:
            self.say("torn", turn.name, held.fence)
        turn.compare(held, held.owned())

    async def in_task(self) -> None:
        with contextlib.closing(self.writer):
            await self.awork()

    async def awork(self) -> None:
        while self.goes_on:
            turn = self.turn()
            task = asyncio.create_task(self.once(turn))
            if self.rng.random() < 0.2:
                await asyncio.sleep(self.rng.random() * 0.02)
                task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                self.say("quit", turn.name, "cancelled")
            await asyncio.sleep(self.pause)

    async def once(self, turn: Turn) -> None:
        from redis.exceptions import RedisError

        try:
            async with turn.claim as held:
                if turn.entered(held):
                    await asyncio.sleep(turn.lasts)
                    if self.rng.random() < 0.1:
                        turn.compare(held, await held.aowned())
                    turn.leaves(held)
            self.say("leave", turn.name, held.fence)
            if turn.forges:
                turn.released(await self.alias.link.awaiting.ask(turn.forged()))
        except RedisError as error:
            self.say("quit", turn.name, type(error).__name__)
            await asyncio.sleep(0.01)


def main() -> None:
    job = json.loads(sys.argv[1])
    from django.conf import settings

    backend = {
        "BACKEND": "redpony.cache.RedisCache",
        "LOCATION": job["location"],
        "OPTIONS": job.get("options", {}),
    }
    settings.configure(CACHES={"default": backend}, SECRET_KEY="x" * 50)
    import django

    django.setup()
    rng = random.Random(job["seed"])
    threads = [
        threading.Thread(target=Contender(f"t{n}", job, rng.random()).in_thread)
        for n in range(2)
    ]
    for thread in threads:
        thread.start()

    async def tasks() -> None:
        mine = [Contender(f"c{n}", job, rng.random()) for n in range(2)]
        await asyncio.gather(*(each.in_task() for each in mine))

    asyncio.run(tasks())
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
