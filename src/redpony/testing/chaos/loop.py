"""The one thread that carries all connections of a proxy.

It alone touches their sockets. Others hand it functions with `do`, which returns
when the function has run: what a test asks for is the case before its next line.
"""

from __future__ import annotations

import heapq
import itertools
import math
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from redpony.testing.chaos.relay import Place, Relay
from redpony.testing.chaos.toxics import Direction

if TYPE_CHECKING:
    from redpony.testing.chaos.proxy import Toxic

R = TypeVar("R")


class Loop:
    """Relays between whoever is accepted and a server, with what hurts them."""

    now = staticmethod(time.monotonic)

    def __init__(self, places: list[Place], seed: int | None) -> None:
        self.selector = selectors.DefaultSelector()
        self.relays: set[Relay] = set()
        self.toxics: list[Toxic] = []
        self.accepted = 0
        self.carried = dict.fromkeys(get_args(Direction), 0)
        self._places = places
        self._listener: socket.socket | None = None
        self._random = Random(seed)  # noqa: S311 (nobody has to be kept from guessing)
        self._due: list[tuple[float, int, Relay]] = []
        self._numbers = itertools.count()
        self._calls: deque[Callable[[], None]] = deque()
        self._over = False
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self.selector.register(self._woken, selectors.EVENT_READ, self._obey)
        self._thread = threading.Thread(
            target=self._run, name="redpony-chaos-proxy", daemon=True
        )
        self._thread.start()

    # -- from other threads ---------------------------------------------------

    def do(self, function: Callable[..., R], *args: Any) -> R:
        """Return what a function returns in the proxy's thread."""
        outcome: Future[R] = Future()

        def call() -> None:
            try:
                outcome.set_result(function(*args))
            except BaseException as error:  # noqa: BLE001 (the caller's)
                outcome.set_exception(error)

        self._calls.append(call)
        try:
            self._waker.send(b"!")
        except BlockingIOError:
            pass  # it has been woken often enough
        except OSError:
            raise RuntimeError("The proxy is closed") from None
        while not outcome.done():
            if not self._thread.is_alive():
                raise RuntimeError("The proxy is closed")
            try:
                return outcome.result(1)
            except TimeoutError:
                continue
        return outcome.result()

    def close(self) -> None:
        """Close all connections and end the thread."""
        if self._thread.is_alive():
            self.do(self._stop)
            self._thread.join()

    # -- from the proxy's own thread ----------------------------------------------

    def listen(self, listener: socket.socket) -> None:
        """Accept from a socket."""
        accept = partial(self._accept, listener)
        self.selector.register(listener, selectors.EVENT_READ, accept)
        self._listener = listener

    def ignore(self) -> None:
        """Accept nobody."""
        if self._listener is not None:
            self.selector.unregister(self._listener)
            self._listener = None

    @property
    def listening(self) -> bool:
        return self._listener is not None

    def close_all(self) -> None:
        """Close all connections."""
        for relay in list(self.relays):
            relay.close()

    def add(self, toxic: Toxic) -> None:
        """Let a toxic work on all connections, and on those to come."""
        self.toxics.append(toxic)
        now = self.now()
        for relay in list(self.relays):
            relay.meet(toxic, now, self._random)
            relay.settle()

    def remove(self, toxic: Toxic) -> None:
        """Let a toxic work no more."""
        if toxic in self.toxics:
            self.toxics.remove(toxic)
            now = self.now()
            for relay in list(self.relays):
                relay.part(toxic, now)

    def schedule(self, relay: Relay) -> None:
        """Come back to a relay when something of it is due."""
        due = relay.due
        if due < relay.scheduled:
            relay.scheduled = due
            heapq.heappush(self._due, (due, next(self._numbers), relay))

    def _accept(self, listener: socket.socket, events: int, now: float) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                relay = Relay(self, client, self._places)
            except OSError:
                client.close()
                continue
            self.relays.add(relay)
            for toxic in self.toxics:
                relay.meet(toxic, now, self._random)
            relay.start()

    def _obey(self, events: int, now: float) -> None:
        self._woken.recv(4096)
        while self._calls:
            self._calls.popleft()()

    def _stop(self) -> None:
        self._over = True

    def _run(self) -> None:
        try:
            while not self._over:
                wait = self._due[0][0] - self.now() if self._due else math.inf
                ready = self.selector.select(None if wait == math.inf else max(0, wait))
                now = self.now()
                for key, events in ready:
                    key.data(events, now)
                self._tick(self.now())
        finally:
            self.close_all()
            self.selector.close()
            self._woken.close()
            self._waker.close()

    def _tick(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            _, _, relay = heapq.heappop(self._due)
            if relay.open:
                relay.scheduled = math.inf
                relay.tick(now)
