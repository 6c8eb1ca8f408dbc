"""Credentials that change while connections live (IAM, Entra and their like).

A provider that streams tokens (redis-py's `StreamingCredentialProvider`) tells
us about each new one. Connections are not thrown away: each sends AUTH in band
before its next command, because its epoch is older than the link's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from redpony.wire.config import LinkConfig


class Renewal:
    """The newest credentials of a link, and how often they have changed."""

    def __init__(self, config: LinkConfig) -> None:
        self.epoch = 0
        self.words: tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        provider: Any = config.credential_provider
        if provider is None:
            return
        streams = getattr(provider, "is_streaming", None)
        subscribe = getattr(provider, "on_next", None)
        if subscribe is not None and (streams is None or streams()):
            subscribe(self.receive)

    def receive(self, token: Any) -> None:
        """Take a new token: redis-py's `TokenInterface`, or credentials."""
        if isinstance(token, tuple):
            words = tuple(str(word) for word in token)
        else:
            user = token.try_get("oid")
            words = (str(user), token.get_value()) if user else (token.get_value(),)
        with self._lock:
            self.words = words
            self.epoch += 1
        for listener in list(self._listeners):
            listener()

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener`, from any thread, when new credentials have come."""
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe
