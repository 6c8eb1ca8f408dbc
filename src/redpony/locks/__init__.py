"""Locks that hold: leases with fences, first come first served, woken by push."""

from __future__ import annotations

from redpony.errors import LockError, LockLost, LockNotOwned
from redpony.locks.decorator import locked
from redpony.locks.held import Held
from redpony.locks.lock import Lock
from redpony.locks.quorum import QuorumLock
from redpony.locks.semaphore import ReadWriteLock, Semaphore

__all__ = [
    "Held",
    "Lock",
    "LockError",
    "LockLost",
    "LockNotOwned",
    "QuorumLock",
    "ReadWriteLock",
    "Semaphore",
    "locked",
]
