"""Locks that hold: leases with fences, first come first served, woken by push."""

from __future__ import annotations

from redpony.errors import (
    BrokenBarrier,
    LockError,
    LockLost,
    LockNotOwned,
    ReleasedInTransaction,
)
from redpony.locks.barrier import Barrier
from redpony.locks.decorator import locked
from redpony.locks.held import Held
from redpony.locks.latch import Event, Latch
from redpony.locks.leader import Leader
from redpony.locks.lock import Lock
from redpony.locks.lockdep import PossibleDeadlock
from redpony.locks.once import once
from redpony.locks.quorum import QuorumLock
from redpony.locks.semaphore import ReadWriteLock, Semaphore

__all__ = [
    "Barrier",
    "BrokenBarrier",
    "Event",
    "Held",
    "Latch",
    "Leader",
    "Lock",
    "LockError",
    "LockLost",
    "LockNotOwned",
    "PossibleDeadlock",
    "QuorumLock",
    "ReadWriteLock",
    "ReleasedInTransaction",
    "Semaphore",
    "locked",
    "once",
]
