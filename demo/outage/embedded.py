"""The embedded server: paused, killed, and started again by whoever needs it next.

A paused process (SIGSTOP) is the worst way to fail: its connections stay open, it
accepts new ones, and it never answers. Whoever waits for it without a deadline
waits for ever. It cannot hear either that it should stop, so `end` thaws it first.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress

from outage.nodes import Node, breakers
from redpony.embedded import Embedded, status, stop

PATIENCE = 5.0
"""Seconds in which a killed process must be gone."""


class EmbeddedServer:
    """The one server of this project, which lives on a private socket."""

    engine = "embedded"

    def __init__(self, folder: str) -> None:
        self._server = Embedded(folder)
        self._frozen: int | None = None
        self._turn = threading.Lock()

    def begin(self) -> None:
        self._server.resolve()

    def end(self) -> None:
        self.thaw()
        # Another process of the project may use it too, a shell for example.
        if status(self._server).users == (os.getpid(),):
            stop(self._server)

    def look(self) -> list[Node]:
        process = self._process()
        if process is None:
            state, duty = "gone", "the next request starts it"
        else:
            state = "paused" if process == self._frozen else "running"
            duty = f"process {process}"
        breaker = breakers().get(str(self._server), "closed")
        return [Node(1, "The server", "private socket", state, breaker, duty=duty)]

    def do(self, verb: str, number: int) -> None:
        verbs = {
            "pause": self.freeze,
            "continue": self.thaw,
            "kill": self._kill,
            "start": self.begin,
        }
        if number != 1 or verb not in verbs:
            raise LookupError(verb)
        verbs[verb]()

    def freeze(self) -> None:
        with self._turn:
            process = self._process()
            if process is not None:
                os.kill(process, signal.SIGSTOP)
                self._frozen = process

    def thaw(self) -> None:
        with self._turn:
            process, self._frozen = self._frozen, None
            if process is not None:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)

    def stands(self) -> str:
        return "on" if self._frozen is None else "off"

    def name_of(self, node: str) -> str:
        return "the server"

    def _kill(self) -> None:
        with self._turn:
            process = self._process()
            if process is None:
                return
            os.kill(process, signal.SIGKILL)
            deadline = time.monotonic() + PATIENCE
            while _lives(process) and time.monotonic() < deadline:
                time.sleep(0.005)
            self._frozen = None

    def _process(self) -> int | None:
        """Return the process' id; None if there is no server."""
        frozen = self._frozen
        if frozen is not None and _lives(frozen):
            return frozen  # asking it would take for ever
        return status(self._server).pid


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
