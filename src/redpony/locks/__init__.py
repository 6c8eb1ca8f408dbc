"""Locks that hold: leases with fences, first come first served, woken by push."""

from __future__ import annotations

from redpony.errors import LockError, LockLost, LockNotOwned
from redpony.locks.held import Held
from redpony.locks.lock import Lock

__all__ = ["Held", "Lock", "LockError", "LockLost", "LockNotOwned"]
