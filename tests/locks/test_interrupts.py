"""A thread that is interrupted at any bytecode: the lock can be had again.

A signal's handler may raise wherever Python looks for signals: when a function begins,
after a call, at the end of a loop's turn. Each such place inside the package is met
once, in turn; none is left to chance.
"""

from __future__ import annotations

import dis
import functools
import gc
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

import pytest

import redpony
from redpony import leases
from redpony.errors import RedponyError
from redpony.locks import Lock, Semaphore
from redpony.locks.gate import Gate, gate_for
from tests.faults.slots import left_in_use
from tests.servers import Server, until

HOME = redpony.__path__[0]
LEASE = 0.5
LOOKS = ("RESUME", "CALL", "JUMP_BACKWARD", "POP_JUMP_BACKWARD")
"""The instructions after which Python looks for signals begin with these."""


class Stop(BaseException):
    """As KeyboardInterrupt: no Exception."""


class StopInTime(Exception):
    """A worker's soft time limit."""


class StopLikeATimeout(StopInTime, TimeoutError):
    """One that looks like a server's doing."""


STOPS = (Stop, StopInTime, StopLikeATimeout)


def strike(what: Any, frame: object = None) -> None:
    """A signal's handler, by which an interrupt is told from other errors."""
    raise what


@functools.cache
def handlers(code: CodeType) -> list[Any]:
    return list(dis.Bytecode(code).exception_entries)


def handler(code: CodeType, offset: int) -> int | None:
    """Return where it goes on if the instruction at an offset raises."""
    for each in handlers(code):
        if each.start <= offset < each.end:
            return int(each.target)
    return None


class Interrupted:
    """Runs something, and raises in it at the n-th place where a signal could."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.met = 0
        self.at = ""
        self.raises = STOPS[place % len(STOPS)]
        self._before: dict[FrameType, int] = {}

    def run(self, work: Callable[[], object]) -> bool:
        """Return whether there was such a place."""
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            work()
        except STOPS:
            pass
        finally:
            sys.settrace(before)
            self._before.clear()
        return self.met > self.place

    def _called(self, frame: FrameType, event: str, arg: object) -> Any:
        if not frame.f_code.co_filename.startswith(HOME) or _is_dropped(frame):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._step

    def _step(self, frame: FrameType, event: str, arg: object) -> Any:
        if event != "opcode":
            return self._step
        code, here = frame.f_code, frame.f_lasti
        before = self._before.get(frame, here)
        self._before[frame] = here
        if (
            dis.opname[code.co_code[before]].startswith(LOOKS)
            # What is raised here must be met by whoever would have met it there.
            and handler(code, before) == handler(code, here)
        ):
            self.met += 1
            if self.met == self.place + 1:
                where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                self.at = f"at place {self.place}, {where}"
                strike(self.raises)
        return self._step


def _is_dropped(frame: FrameType | None) -> bool:
    """Whether this is Python's doing as an object goes: what is raised there is lost."""
    for _ in range(6):
        if frame is None or frame.f_code.co_name == "__del__":
            break
        frame = frame.f_back
    else:
        return False
    return frame is not None


@pytest.fixture
def place(cache_on: Any, valkey: Server) -> Iterator[Server]:
    valkey.flush()
    cache_on(valkey)
    before = signal.signal(signal.SIGUSR1, strike)
    yield valkey
    signal.signal(signal.SIGUSR1, before)


class Rival(Lock):
    """A lock that does not share this process' line, as one of another process."""

    gate = None  # type: ignore[assignment]


def held_for_a_moment(lock: Lock) -> threading.Thread:
    """Have another thread take a lock, and give it back soon."""
    taken = threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            time.sleep(0.005)

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(30)
    return thread


def free(name: str) -> Callable[[], object]:
    def work() -> None:
        with Lock(name, lease=LEASE):
            pass

    return work


def by_plan(name: str) -> Callable[[], object]:
    def work() -> None:
        lock = Lock(name, timeout=LEASE)
        if lock.acquire(blocking_timeout=10):
            lock.extend(0.1)
            lock.release()

    return work


def behind_one_here(name: str) -> Callable[[], object]:
    held_for_a_moment(Lock(name, lease=LEASE))
    return free(name)


def behind_a_stranger(name: str) -> Callable[[], object]:
    stranger = Rival(name, lease=LEASE)
    stranger.gate = Gate()
    held_for_a_moment(stranger)
    return free(name)


def before_one_here(name: str) -> Callable[[], object]:
    """With one behind it that waits, and must not be forgotten."""

    def follow() -> None:
        with Lock(name, lease=LEASE):
            pass

    def work() -> None:
        with Lock(name, lease=LEASE):
            thread = threading.Thread(target=follow)
            followers.append(thread)
            thread.start()
            until(lambda: len(gate_for(*line(name))) == 1, "it waits")

    return work


followers: list[threading.Thread] = []


def line(name: str) -> tuple[Any, str]:
    lock = Lock(name)
    return lock.alias.link, lock.key


def a_place(name: str) -> Callable[[], object]:
    def work() -> None:
        with Semaphore(name, 1, lease=LEASE):
            pass

    return work


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    "setting",
    [free, by_plan, behind_one_here, behind_a_stranger, before_one_here, a_place],
)
def test_a_lock_survives_an_interrupt_at_any_bytecode(
    place: Server, setting: Callable[[str], Callable[[], object]]
) -> None:
    link = Lock("warm").alias.link
    with Lock("warm"), Semaphore("warm", 1):
        pass
    followers.clear()
    for turn in range(2):
        # Some Pythons tell of a function's instructions from its second call on.
        Interrupted(sys.maxsize).run(setting(f"warm{turn}"))
    number = 0
    places: list[str] = []
    while True:
        each = Interrupted(number)
        if not each.run(setting(f"job{number}")):
            break
        places.append(each.at)
        number += 1
    assert number > 30
    for thread in followers:
        thread.join(30)
        assert not thread.is_alive()
    # What an interrupt has cut off may be kept by its traceback until then.
    gc.collect()
    for number, at in enumerate(places):
        # Whatever became of it is over with its lease; here, and for others.
        if setting is a_place:
            claim: Any = Semaphore(f"job{number}", 1)
        else:
            claim = Lock(f"job{number}")
        assert claim.acquire(blocking_timeout=20), at
        claim.release()
        other = Rival(f"job{number}")
        other.gate = Gate()
        assert other.acquire(blocking_timeout=20), at
        other.release()
    until(lambda: left_in_use(link) == 0, "no connection is lost")
    until(
        lambda: not [key for key in list(place.keys()) if not key.endswith(b":fence")],
        "nothing is left",
    )
    until(lambda: not leases.kept(), "no lease is looked after")
    with pytest.raises(RedponyError):
        Lock("job0").release()
