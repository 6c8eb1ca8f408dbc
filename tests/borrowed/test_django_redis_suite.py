"""django-redis' own tests, run against Redpony in django-redis' place.

They come from the source distribution of the django-redis that is installed.
`django_redis_exceptions.toml` lists the tests that fail, each with the reason
why that is right; an unlisted failure fails here, and so does a listed test that
passes.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.borrowed.sdists import unpacked
from tests.servers import Sentinel, Server

HERE = Path(__file__).parent
EXCEPTIONS = HERE / "django_redis_exceptions.toml"

# Their settings modules, but for client-side sharding, which is refused, and herd
# markers, which have no effect.
SETTINGS = (
    "sqlite",
    "sqlite_gzip",
    "sqlite_json",
    "sqlite_lz4",
    "sqlite_msgpack",
    "sqlite_sentinel",
    "sqlite_sentinel_opts",
    "sqlite_usock",
    "sqlite_zlib",
    "sqlite_zstd",
)
SERVICES = {"sqlite_sentinel": "127.0.0.1", "sqlite_sentinel_opts": "default_service"}
"""What the primary is called in those with sentinels."""

TESTS_EACH = 165
AT_ONCE = 8


@dataclass(frozen=True)
class Expectation:
    """A test of theirs that must fail, and why."""

    test: str
    reason: str
    settings: tuple[str, ...] = SETTINGS
    formats: tuple[str, ...] = ("sealed", "django_redis")


def expectations() -> list[Expectation]:
    """Return the listed exceptions, one per test."""
    listed = tomllib.loads(EXCEPTIONS.read_text())
    return [
        Expectation(
            test,
            each["reason"],
            tuple(each.get("settings", SETTINGS)),
            tuple(each.get("formats", Expectation.formats)),
        )
        for each in listed.get("exception", [])
        for test in each["tests"]
    ]


Case = tuple[str, str, str]
Outcomes = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Case, Future[Outcomes]]]:
    """Start the runs of all selected tests, several at once: they mostly sleep."""
    unpacked("django-redis")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found: dict[Case, Future[Outcomes]] = {}
        for item in request.session.items:
            if item.path == request.path and isinstance(item, pytest.Function):
                chosen = item.callspec.params
                case = chosen["flavour"], chosen["format_"], chosen["settings"]
                directory = tmp_path_factory.mktemp("-".join(case))
                found[case] = pool.submit(_redpony, *case, directory)
        yield found


@pytest.mark.borrowed
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(
    ("flavour", "format_"), [("valkey", "sealed"), ("redis", "django_redis")]
)
def test_django_redis_own_tests_pass_but_for_the_listed(
    flavour: str,
    format_: str,
    settings: str,
    runs: dict[Case, Future[Outcomes]],
) -> None:
    outcomes = runs[flavour, format_, settings].result()
    failed = {test for test, each in outcomes.items() if each["outcome"] == "failed"}
    expected = {
        f"{each.test}[{settings}]"
        for each in expectations()
        if settings in each.settings and format_ in each.formats
    }
    texts = "\n".join(outcomes[test]["text"] for test in sorted(failed - expected))
    assert failed == expected, texts
    assert len(outcomes) == TESTS_EACH


def _redpony(flavour: str, format_: str, settings: str, directory: Path) -> Outcomes:
    options = {
        "FORMAT": format_,
        "READ_FORMATS": [format_],
        # Their tests leave keys of other prefixes behind, for FLUSHDB to remove.
        "CLEAR": "flushdb",
        # Several runs share the machine, and this is no test of speed.
        "DEADLINE": 5,
        "CONNECT_TIMEOUT": 5,
    }
    return run("redpony.cache.RedisCache", flavour, settings, options, directory)


def run(
    backend: str, flavour: str, settings: str, options: dict[str, Any], directory: Path
) -> Outcomes:
    """Run their suite with one settings module; return each test's outcome."""
    tree = unpacked("django-redis")
    report = directory / "report.json"
    with contextlib.ExitStack() as stack:
        addresses: dict[str, str] = {}
        sentinels: list[tuple[str, int]] = []
        if service := SERVICES.get(settings):
            group = Sentinel(flavour, replicas=0, sentinels=1, service=service)
            stack.enter_context(group)
            sentinels = [(each.host, each.port) for each in group.sentinels]
        else:
            server = stack.enter_context(Server(flavour))
            addresses = {
                "127.0.0.1:6379": f"127.0.0.1:{server.port}",
                # Where nobody ever listens: another run's server may come to a free
                # port, and they flush what they find there.
                "127.0.0.1:56379": "127.0.0.1:1",
                "/tmp/redis.sock": str(server.socket_path),
            }
        asked = {
            "tree": str(tree),
            "report": str(report),
            "backend": backend,
            "settings": settings,
            "options": options,
            "addresses": addresses,
            "sentinels": sentinels,
        }
        (directory / "pytest.ini").write_text("[pytest]\n")
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "django_redis_plugin"),
                *("-p", "no:cacheprovider", "-c", directory / "pytest.ini"),
                *("--rootdir", tree, tree / "tests"),
            ],
            cwd=tree,
            env={
                **os.environ,
                "PYTHONPATH": str(HERE),
                "PYTHONDONTWRITEBYTECODE": "1",
                "REDPONY_BORROWED": json.dumps(asked),
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert report.exists(), ran.stdout + ran.stderr
    found: Outcomes = json.loads(report.read_text())
    return found
