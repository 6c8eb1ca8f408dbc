"""Runs `manage.py redpony ...` on settings of the test's own."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from redpony import connections
from redpony.realtime import registry
from tests.management.guard import SECRET, allow
from tests.servers import Server


@dataclass(frozen=True)
class Ran:
    """What a command printed, and its exit code."""

    text: str
    code: int

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


@pytest.fixture
def manage() -> Iterator[Callable[..., Ran]]:
    def run(*words: str, caches: dict[str, Any], **settings: Any) -> Ran:
        out = io.StringIO()
        with override_settings(CACHES=caches, **settings):
            try:
                call_command("redpony", *words, stdout=out)
            except SystemExit as error:
                return Ran(out.getvalue(), int(error.code or 0))
            except CommandError as error:
                return Ran(out.getvalue() + str(error), error.returncode)
        return Ran(out.getvalue(), 0)

    yield run
    # Here, the process does not end with the command.
    connections.close_all()


@pytest.fixture(autouse=True)
def corner(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the state of embedded servers in a directory of the test's own."""
    with tempfile.TemporaryDirectory(prefix="rp-") as directory:
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        monkeypatch.setenv("TMPDIR", directory)
        yield


@pytest.fixture
def guarded(server: Server) -> Iterator[Server]:
    """Return a server with a user "app" who may do nothing yet."""
    server.ask("ACL", "SETUSER", "app", "reset", "on", f">{SECRET}", "-@all")
    server.ask("ACL", "LOG", "RESET")
    yield server
    server.ask("ACL", "DELUSER", "app")


@pytest.fixture
def cache_of(guarded: Server, cache_on: Any) -> Callable[..., Any]:
    """Return a function that makes a cache whose user has been granted its rights."""

    def make(**options: Any) -> Any:
        url = guarded.url(options.pop("db", 0), user="app", password=SECRET)
        cache = cache_on(None, LOCATION=url, **options)
        allow(guarded, cache.alias.config)
        return cache

    return make


@pytest.fixture(autouse=True)
def no_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests have channels, for which a user would need rights."""
    monkeypatch.setattr(registry, "_classes", {})
