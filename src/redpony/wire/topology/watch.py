"""The thread that looks at a topology, so that requests do not have to.

One daemon thread a topology and process. It sleeps in `select` until somebody
asks for a look, a sentinel tells of a failover, or `refresh` seconds are over;
after trouble it looks every `SOON` seconds, then every `LATER`, until the primaries
answer again or nobody has complained for `CALM` seconds. While looks fail, it looks
every `LATER` even if nobody complains. However many ask, there is one look at a time,
and each of them is told when a look that began after its question has ended. Both
colours use it: asyncio is woken in its own loop.

A forked child starts a thread of its own when it first needs one.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from redpony.errors import RedponyError

logger = logging.getLogger("redpony")

Told = Callable[[BaseException | None], None]

GAP = 0.02
"""Least seconds between two looks."""
SOON = 0.05
LATER = 0.5
PATIENCE = 5.0
"""Seconds of trouble after which it is looked at less often."""
CALM = 10.0


class Looker(Protocol):
    """What a watcher does its work with; only its thread calls these."""

    def look(self) -> bool:
        """Look at the topology; return whether all is well. Raises `RedponyError`."""
        ...

    def ear(self) -> Any:
        """Return a file object that becomes readable when there is news, or None."""
        ...

    def hear(self) -> bool:
        """Take in the news; return whether it is worth a look."""
        ...

    def deafen(self) -> None:
        """Close the ear."""
        ...


class Watcher:
    """Looks when it is asked to, when it is told to, and now and then."""

    def __init__(self, looker: Looker, refresh: float, name: str) -> None:
        self._looker = looker
        self._refresh = refresh
        self._name = name
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._leaving: threading.Thread | None = None
        self._asked: list[Told] = []
        self._wake: socket.socket | None = None
        self._stopping = False
        self._stirred = False
        self._complained = 0.0
        self._trouble_since = 0.0
        self._due = 0.0
        self._failed: tuple[float, BaseException] | None = None
        self.looks = 0
        """How many looks there were: for tests and `status`."""

    def ask(self, told: Told) -> None:
        """Have the topology looked at; `told` is called from the watcher's thread."""
        with self._lock:
            self._asked.append(told)
            self._ensure()
        self._rouse()

    def nudge(self) -> None:
        """Say that something is wrong; costs nothing if it is known already."""
        now = time.monotonic()
        if now - self._complained < SOON:
            return
        self._complained = now
        if not self._trouble_since:
            self._trouble_since = now
        with self._lock:
            self._ensure()
        self._rouse()

    def stir(self) -> None:
        """Say that something has changed, which is no trouble: a slot was moved."""
        self.again()
        with self._lock:
            self._ensure()
        self._rouse()

    def again(self) -> None:
        """Look once more soon: for the look itself, which may outlive the watch."""
        self._stirred = True

    def failure(self, within: float) -> BaseException | None:
        """Return what the last look met, if it ended that few seconds ago."""
        failed = self._failed
        if failed is None or time.monotonic() - failed[0] > within:
            return None
        return failed[1]

    def start(self) -> None:
        """Begin to watch, if nobody does."""
        with self._lock:
            self._ensure()

    def stop(self) -> None:
        """End the thread; it starts again with the next question."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._leaving = thread or self._leaving
            self._stopping = True
        if thread is not None and thread is not threading.current_thread():
            self._rouse()
            if thread.is_alive():
                thread.join(2)
        with self._lock:
            if self._thread is None:
                self._part()

    def reset_after_fork(self) -> None:
        """Forget the parent's thread, and its sockets without a word."""
        self._part()
        self._reset()

    def _ensure(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._stopping = False
            self._part()
            mine, self._wake = socket.socketpair()
            mine.setblocking(False)
            self._wake.setblocking(False)
            thread = threading.Thread(
                target=self._watch,
                args=(mine, self._leaving),
                name=self._name,
                daemon=True,
            )
            self._thread = thread
            try:
                thread.start()
            except BaseException:
                # Interrupted: whoever comes next starts another one.
                if not thread.is_alive():
                    self._thread = None
                raise

    def _part(self) -> None:
        """Close our end of the wire to a thread that has ended."""
        wake, self._wake = self._wake, None
        if wake is not None:
            wake.close()

    def _rouse(self) -> None:
        wake = self._wake
        if wake is not None:
            with contextlib.suppress(OSError):
                wake.send(b"\0")

    # In the thread

    def _watch(self, woken: socket.socket, before: threading.Thread | None) -> None:
        me = threading.current_thread()
        looked = 0.0
        try:
            if before is not None and before.is_alive():
                # It may be in the midst of a look.
                before.join()
            while self._thread is me and not self._stopping:
                with self._lock:
                    asked, self._asked = self._asked, []
                due = looked + self._pace() if looked else 0.0
                if self._stirred:
                    self._stirred = False
                    due = looked + SOON
                    self._due = due
                due = min(due, self._due or due)
                if asked or time.monotonic() >= due:
                    looked = self._look(asked)
                    continue
                heard = self._sleep(woken, due - time.monotonic())
                if heard:
                    looked = self._look([])
        finally:
            self._looker.deafen()
            woken.close()
            with self._lock:
                followed = self._thread not in (None, me)
                asked, self._asked = (
                    ([], self._asked) if followed else (self._asked, [])
                )
            self._tell(asked, None)

    def _pace(self) -> float:
        now = time.monotonic()
        if self._trouble_since and now - self._complained > CALM:
            self._trouble_since = 0.0
        if not self._trouble_since:
            # While nobody can be asked, the primary may have been replaced.
            return LATER if self._failed else self._refresh
        return SOON if now - self._trouble_since < PATIENCE else LATER

    def _look(self, asked: list[Told]) -> float:
        error: BaseException | None = None
        self._due = 0.0
        began = time.monotonic()
        try:
            well = self._looker.look()
        except RedponyError as failure:
            error, well = failure, False
            if not self._trouble_since and self._failed is None:
                self._trouble_since = self._complained = began
        except Exception as failure:
            logger.exception("A look at %s failed", self._name)
            error, well = failure, False
        if well and began - self._complained > SOON:
            self._trouble_since = 0.0
        self.looks += 1
        self._failed = None if error is None else (time.monotonic(), error)
        self._tell(asked, error)
        rest = began + GAP - time.monotonic()
        if rest > 0:
            time.sleep(rest)
        return began

    def _tell(self, asked: list[Told], error: BaseException | None) -> None:
        for told in asked:
            with contextlib.suppress(RuntimeError):  # a loop that has ended
                told(error)

    def _sleep(self, woken: socket.socket, seconds: float) -> bool:
        """Wait for a question or for news; return whether there is news."""
        ear = self._looker.ear()
        with selectors.DefaultSelector() as selector:
            selector.register(woken, selectors.EVENT_READ)
            if ear is not None:
                selector.register(ear, selectors.EVENT_READ)
            ready = selector.select(max(seconds, 0.001))
        with contextlib.suppress(OSError):
            while woken.recv(4096):
                pass
        if ear is not None and any(key.fileobj is ear for key, _ in ready):
            return self._looker.hear()
        return False
