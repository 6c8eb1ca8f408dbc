"""django-redis' exceptions, as the ones that are raised in their place.

`ConnectionInterrupted` is what Redpony raises for a server that cannot be asked,
so that `except ConnectionInterrupted` goes on to catch it. (django-redis itself
lets redis-py's exceptions out; `Unavailable` is one of those too.)
"""

from __future__ import annotations

from redpony.errors import Unavailable as ConnectionInterrupted
from redpony.errors import Unreadable as CompressorError

__all__ = ["CompressorError", "ConnectionInterrupted"]
