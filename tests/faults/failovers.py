"""What the servers themselves need for a failover, and who was without them.

`OwnTime` asks sentinels and nodes all the time, and notes the moment from which a
client that knows everything at once could write again. No client can be faster;
what one needs beyond that is its own.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import redis

from redpony import commands

TICK = 0.002
PATIENCE = 60.0


class OwnTime:
    """The time from a fault until the servers have another primary.

    Of Sentinel: until the first sentinel names another one, and that takes a
    write. Of a cluster: until a replica of the old one takes a write for `key`.
    Sentinel's replica takes writes up to a second before anybody names it: `led`.

        with OwnTime(place.handle, old) as own:
            own.begin(old.kill)
            ...
        own.seconds
    """

    def __init__(self, group: Any, old: Any, key: str = "own") -> None:
        self._group = group
        self._old = old
        self._key = key
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.began = 0.0
        self.led = 0.0
        """When a replica first took a write, by the monotonic clock; 0 until then."""
        self.ended = 0.0
        """When everybody could know that; 0 until then."""

    def __enter__(self) -> Self:
        group, old = self._group, self._old
        self._stack = contextlib.ExitStack()
        connect = self._stack.enter_context
        self._sentinels = [
            connect(each.connect()) for each in getattr(group, "sentinels", ())
        ]
        heirs = group.replicas if self._sentinels else group.replicas_of(old)
        self._heirs = {each.port: connect(each.connect()) for each in heirs}
        for client in (*self._sentinels, *self._heirs.values()):
            client.ping()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._stack.close()

    def begin(self, fault: Callable[[], object]) -> None:
        """Note the time, and do what is to be got over."""
        self.began = time.monotonic()
        self._thread.start()
        fault()

    @property
    def seconds(self) -> float:
        """Wait for the new primary; return how long the servers have needed."""
        self._thread.join(PATIENCE)
        assert self.ended, "no server has become the primary"
        return self.ended - self.began

    @property
    def seconds_to_lead(self) -> float:
        """Wait for the new primary; return after how long it took a write."""
        assert self.seconds
        return self.led - self.began

    def _watch(self) -> None:
        new = 0
        while not self._over.is_set():
            if not new:
                new = next(filter(self._takes_writes, self._heirs), 0)
                self.led = time.monotonic() if new else 0.0
            if new and (not self._sentinels or self._is_named(new)):
                self.ended = time.monotonic()
                return
            time.sleep(TICK)

    def _takes_writes(self, port: int) -> bool:
        try:
            self._heirs[port].execute_command("SET", self._key, "taken")
        except redis.RedisError:
            return False
        return True

    def _is_named(self, port: int) -> bool:
        for sentinel in self._sentinels:
            with contextlib.suppress(redis.RedisError):
                said = sentinel.execute_command(
                    "SENTINEL GET-MASTER-ADDR-BY-NAME", self._group.service
                )
                if int(said[1]) == port:
                    return True
        return False


def outages(load: Any, since: float, *, of_failed: bool = False) -> list[float]:
    """Return for each worker how long after a moment it was served again.

    That is its first answer to what began after the moment; with `of_failed` the
    first one after its last failure.
    """
    found: list[float] = []
    for worker in load.workers:
        start = since
        if of_failed:
            answered = set(worker.answers)
            failed = [span[0] for span in worker.spans if span not in answered]
            start = max([since, *(each for each in failed if each >= since)])
        ends = [end - since for begun, end in worker.answers if begun >= start]
        found.append(min(ends, default=float("inf")))
    return found


class Books:
    """What a server has been given since a moment, by its own word.

    The moment is when it has read what clients left in its buffers.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        with server.connect() as client:
            # Each answer is a turn of the server's loop, which reads from everybody.
            for _ in range(200):
                client.ping()
        self._before = self._read()

    def written(self) -> list[str]:
        """Return what it was given to write; all of its data has to be as it was."""
        (calls, data), (calls_before, data_before) = self._read(), self._before
        found = sorted(
            name for name, count in calls.items() if count > calls_before.get(name, 0)
        )
        return found if found or data == data_before else ["data has changed"]

    def _read(self) -> tuple[dict[str, int], Any]:
        stats = self._server.info("commandstats")
        calls = {
            name.removeprefix("cmdstat_"): said["calls"]
            for name, said in stats.items()
            if name.removeprefix("cmdstat_").partition("|")[0] in WRITES
        }
        return calls, self._server.ask("DEBUG", "DIGEST")


WRITES = frozenset(
    kind.name.lower()
    for kind in vars(commands).values()
    if isinstance(kind, commands.Kind) and kind.access is commands.Access.WRITE
) | {"eval", "evalsha"}
