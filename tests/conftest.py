"""What every test may ask for: servers, caches on them, and both colours.

* `places`: the servers of the whole run by name, one or several that belong
  together; `valkey`, `redis_debian`: one server of each kind.
* `server`: a test that asks for it runs on each of the two, with empty data;
  below `tests/cache` also on replicas, Sentinel, a cluster, and with TLS and an ACL.
* `cold_server`: makes servers that the test may configure, pause and kill.
* `make_cache`, `cache_on`: caches on `server`, or on one that the test names,
  through Django's settings.
* `cache`: one such cache, in both colours.
* `both`: gives any object both colours.

A skipped test fails: what cannot run here has to say so by failing.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import itertools
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import django
import hypothesis
import pytest
from django.conf import settings

from tests.colours import Both, Colour
from tests.places import SINGLE, Guarded, Handle, Places, options
from tests.postgres import Postgres
from tests.servers import Server


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the long tests too")
    parser.addoption(
        "--places",
        choices=["all", "most", "few"],
        default="all",
        help="most: faults hurt single servers alone; few: nothing but one server of "
        "each kind and a cluster, several servers and others' suites on Valkey alone, "
        "no faults that need a place of their own, and no short runs of the benchmarks",
    )
    parser.addoption("--scoreboard", help="write how each fault was met to this file")


# The same examples in every run of CI, so that a failure is a change's; elsewhere
# new ones each time.
# A slow machine is no failure.
_PATIENT = {
    "deadline": None,
    "suppress_health_check": [hypothesis.HealthCheck.too_slow],
}
hypothesis.settings.register_profile("ci", derandomize=True, **_PATIENT)
hypothesis.settings.register_profile("here", **_PATIENT)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_configure() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As a shell has it for what it runs in the background, and our children too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    settings.configure(
        SECRET_KEY="the tests' own secret key, long enough to be one",
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "redpony",
        ],
        # Shared between the threads of the process, gone with its last connection.
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": "file:redpony-tests?mode=memory&cache=shared",
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}},
        ROOT_URLCONF="tests.urls",
        ALLOWED_HOSTS=["testserver"],
        USE_TZ=True,
        LOGGING_CONFIG=None,
    )
    django.setup()


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave the long tests out, and most places, as if they were not there."""
    left = [item for item in items if not _is_wanted(item, config)]
    config.hook.pytest_deselected(items=left)
    gone = set(map(id, left))
    items[:] = [item for item in items if id(item) not in gone]
    if "PYTEST_XDIST_WORKER" in os.environ:
        _start_long_files_first(items)


TESTS = Path(__file__).parent
BENCHMARKS = TESTS / "benchmarks"
STORMS = TESTS / "realtime" / "test_storms.py"
BROWSER = TESTS / "browser"
LONG = (
    BENCHMARKS,
    TESTS / "borrowed",
    TESTS / "locks" / "test_history.py",
    TESTS / "locks" / "test_once_processes.py",
    STORMS,
    BROWSER,
    TESTS / "testing",
)
"""Files of few tests that take long: one that starts last is what all wait for."""


def _start_long_files_first(items: list[pytest.Item]) -> None:
    """Order the files, for `--no-loadscope-reorder`: the long ones, then by size."""
    sizes = Counter(item.path for item in items)
    ranks = {
        path: next((i for i, each in enumerate(LONG) if each in (path, path.parent)), 9)
        for path in sizes
    }
    items.sort(key=lambda item: (ranks[item.path], -sizes[item.path], item.path))


FEW = {*SINGLE, "valkey-cluster"}
SEVERAL = ("cluster", "group", "replication", "sentinel", "several", "flavour", "part")
"""Parameters that say which servers a test starts for itself."""


def _is_wanted(item: pytest.Item, config: pytest.Config) -> bool:
    if item.get_closest_marker("soak") and not config.getoption("--soak"):
        return False
    places = config.getoption("--places")
    if places == "all":
        return True
    params = getattr(getattr(item, "callspec", None), "params", {})
    hurt = params.get("place")
    if places == "most":
        return hurt is None or hurt[0] == "single"
    if {BENCHMARKS, BROWSER, STORMS} & {item.path, *item.path.parents}:
        return False
    if any(str(params.get(name, "")).startswith("redis") for name in SEVERAL):
        return False
    return hurt is None and params.get("server") in {None, *FEW}


def _watchers() -> set[threading.Thread]:
    """Return the threads that look after a topology."""
    return {
        each
        for each in threading.enumerate()
        if each.name.startswith("redpony ")
        and " asks " not in each.name
        # One a process, for good.
        and each.name not in {"redpony leases", "redpony realtime"}
    }


@pytest.fixture(autouse=True)
def no_watcher_is_left() -> Iterator[None]:
    """A topology that nobody closed would be looked after during the tests to come."""
    before = _watchers()
    yield
    end = time.monotonic() + 10
    again = time.monotonic() + 2
    while left := _watchers() - before:
        assert time.monotonic() < end, f"still there: {left}"
        if time.monotonic() > again:
            # What was under way when the link was closed has found its servers anew.
            _disconnect()
            again += 2
        gc.collect()
        time.sleep(0.05)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not item.get_closest_marker("borrowed"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped: {report.longrepr}"
    return report


# -- servers ----------------------------------------------------------------


@pytest.fixture(scope="session")
def places() -> Iterator[Places]:
    """Return the servers of the whole run by name: `places["valkey-cluster"]`."""
    with Places() as places:
        yield places


@pytest.fixture(scope="session")
def valkey(places: Places) -> Server:
    return places["valkey"]


@pytest.fixture(scope="session")
def redis_debian(places: Places) -> Server:
    return places["redis_debian"]


@pytest.fixture(params=SINGLE)
def server(request: pytest.FixtureRequest, places: Places) -> Handle:
    """Return a running server without data, one of each kind in turn.

    Below `tests/cache` in all forms; see the `conftest.py` there.
    """
    return places.fresh(request.param)


@pytest.fixture
def cold_server() -> Iterator[Callable[..., Server]]:
    """Return `Server`, but started, and closed with the test."""
    with contextlib.ExitStack() as stack:

        def start(flavour: str = "valkey", **options: Any) -> Server:
            return stack.enter_context(Server(flavour, **options))

        yield start


# -- caches -----------------------------------------------------------------

_OWN_KEYS = {
    "BACKEND",
    "KEY_FUNCTION",
    "KEY_PREFIX",
    "LOCATION",
    "OPTIONS",
    "REVERSE_KEY_FUNCTION",
    "TIMEOUT",
    "VERSION",
}

MakeCache = Callable[..., Any]

PATIENT = {"DEADLINE": 2.0, "CONNECT_TIMEOUT": 5.0}
"""What a cache on a real server has unless a test says otherwise: a busy machine must
not decide a test."""


@pytest.fixture
def cache_settings() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Return a function that replaces CACHES until the test ends."""
    from django.core.cache import caches
    from django.test import override_settings

    with contextlib.ExitStack() as stack:
        stack.callback(_disconnect)

        def replace(configured: dict[str, Any]) -> None:
            stack.enter_context(override_settings(CACHES=configured))
            stack.callback(caches.close_all)

        yield replace


@pytest.fixture
def cache_on(cache_settings: Callable[[dict[str, Any]], None]) -> MakeCache:
    """Return a function that makes a cache alias on a server and returns its cache.

    `cache_on(server, TIMEOUT=5, DEADLINE=1)`: what Django knows goes to
    `CACHES[alias]`, the rest to its `OPTIONS`. The first alias is "default", then
    come "second", "third" ... `cache_on(None, LOCATION="redis://...")` is for
    places that no server of ours is at.
    """
    configured: dict[str, Any] = {}
    guarded: list[str] = []
    names = itertools.chain(
        ["default", "second", "third", "fourth"],
        (f"alias{number}" for number in itertools.count(5)),
    )

    def make(server: Handle | None, *, alias: str | None = None, **given: Any) -> Any:
        from django.core.cache import caches

        alias = alias or next(names)
        own = {name: given.pop(name) for name in _OWN_KEYS & given.keys()}
        own.setdefault("BACKEND", "redpony.cache.RedisCache")
        if server is not None:
            own.setdefault("LOCATION", server.url())
            given = {**PATIENT, **options(server), **given}
        configured[alias] = {**own, "OPTIONS": {**own.get("OPTIONS", {}), **given}}
        cache_settings({"default": settings.CACHES["default"], **configured})
        if isinstance(server, Guarded):
            guarded.append(alias)
            server.admit(*guarded)
        return caches[alias]

    return make


@pytest.fixture
def make_cache(cache_on: MakeCache, server: Handle) -> MakeCache:
    """Return `cache_on` for the `server` of the test: `make_cache(DEADLINE=1)`."""
    return functools.partial(cache_on, server)


def _disconnect() -> None:
    """Close every link of this process, so that no test inherits one."""
    from redpony import connections

    connections.close_all()


# -- colours ----------------------------------------------------------------


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> Iterator[Colour]:
    """Run the test twice: blocking, and in an event loop of its own."""
    with Colour(request.param) as colour:
        yield colour


@pytest.fixture
def both(colour: Colour) -> Callable[[Any], Any]:
    """Return a function that makes an object answer in the test's colour."""
    return lambda target: Both(target, colour)


@pytest.fixture
def cache(make_cache: MakeCache, both: Callable[[Any], Any]) -> Any:
    """Return a cache on each server and in each colour; write the test as sync."""
    return both(make_cache())


# -- the database -----------------------------------------------------------


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Return the alias of a PostgreSQL server, which runs as long as the tests."""
    from django.db import connections

    with Postgres() as server:
        configured = dict(connections.settings["default"])
        configured |= server.settings
        connections.settings["postgres"] = configured
        yield "postgres"
        connections["postgres"].close()
        del connections["postgres"]
        del connections.settings["postgres"]


@pytest.fixture(scope="session")
def _tables() -> Iterator[None]:
    from django.core.management import call_command
    from django.db import connection

    # The database lives as long as one connection to it does.
    connection.ensure_connection()
    call_command("migrate", verbosity=0, run_syncdb=True)
    yield
    connection.close()


@pytest.fixture
def database(_tables: None) -> Iterator[None]:
    """Give the test a database with the tables of the installed apps."""
    from django.core.management import call_command
    from django.db import connections

    yield
    call_command("flush", verbosity=0, interactive=False)
    for connection in connections.all(initialized_only=True):
        connection.close_if_unusable_or_obsolete()
