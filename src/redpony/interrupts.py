"""Telling an exception of a signal's handler from one of the code it interrupted."""

from __future__ import annotations

import signal
import threading
from typing import Any


def is_interrupt(error: BaseException) -> bool:
    """Whether a signal's handler raised this: then it is its caller's, not ours.

    A handler that ends a long request may well raise `TimeoutError`, and must not
    find that we took it for the server's; nor that a value whose decoding it
    interrupted was taken for a bad one.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    handlers = set(map(_code, map(signal.getsignal, signal.valid_signals())))
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code in handlers:
            return True
        traceback = traceback.tb_next
    return False


def _code(handler: Any) -> Any:
    called = getattr(handler, "__func__", handler)
    if not hasattr(called, "__code__"):
        called = getattr(type(handler), "__call__", None)  # noqa: B004
    return getattr(called, "__code__", None)
