"""An alias whose lock commands arrive twice, and some of them once more much later.

A request that is resent on the wire would shift all answers after it, so this resends
commands: what a client that repeats, and a network that keeps a copy, do to a server.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from redpony.alias import Alias
from redpony.commands import Command, Repeat
from redpony.conf import AliasConfig
from redpony.errors import RedponyError
from redpony.plan import Plan, abandon

LATE = 0.6
"""At most so many seconds later."""


class Doubled(Alias):
    """An alias that sends the scripts of locks twice.

    Of two answers the plan gets either one where the command says that they are
    alike, and else the first. `late` is from when on copies may arrive late, and answers
    be lost. `tell` is told of what was sent "twice", of a late "copy", and of an "echo" by which a lock
    may be taken.
    """

    def __init__(
        self,
        config: AliasConfig,
        rng: random.Random,
        late: float,
        tell: Callable[[str], object],
    ) -> None:
        super().__init__(config)
        self._rng = rng
        self._late = late
        self._tell = tell
        drive, adrive = self.drive, self.adrive

        def ask_twice(command: Command) -> Any:
            return self.link.blocking.run(self._twice(_one(command)))

        self.ask = ask_twice
        self.drive = lambda plan, settle: drive(self._twice(plan), settle)
        self.adrive = lambda plan, settle: adrive(self._twice(plan), settle)

    def _twice(self, plan: Plan[Any]) -> Plan[Any]:
        try:
            effect = next(plan)
            while True:
                try:
                    reply = yield effect
                except GeneratorExit:
                    abandon(plan)
                    raise
                except BaseException as error:
                    effect = plan.throw(error)
                    continue
                if isinstance(effect, Command) and effect.script is not None:
                    try:
                        second = yield effect
                    except GeneratorExit:
                        abandon(plan)
                        raise
                    except RedponyError:
                        pass
                    else:
                        self._tell("twice")
                        if effect.repeat is Repeat.SAFE and self._prefers_last():
                            reply = second
                    self._keep_a_copy(effect)
                effect = plan.send(reply)
        except StopIteration as stop:
            return stop.value

    def _prefers_last(self) -> bool:
        # Whose first answer comes after the second one was given has lost a message.
        return time.monotonic() < self._late or self._rng.random() < 0.5

    def _keep_a_copy(self, command: Command) -> None:
        if time.monotonic() < self._late:
            return
        assert command.script is not None
        takes = command.script.name.endswith("_acquire")
        if self._rng.random() > (0.005 if takes else 0.1):
            return

        def deliver() -> None:
            self._tell("copy")
            if takes:
                self._tell("echo")
            with contextlib.suppress(RedponyError):
                self.link.blocking.ask(command)
            if takes:
                self._tell("echo")

        timer = threading.Timer(self._rng.random() * LATE, deliver)
        timer.daemon = True
        timer.start()


def _one(command: Command) -> Plan[Any]:
    return (yield command)
