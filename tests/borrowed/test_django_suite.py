"""Django's own tests for cache backends and for sessions in the cache.

They come from the source distribution of the Django that is installed. Nothing
of them may fail; what they skip is listed here, with the reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.borrowed.sdists import unpacked
from tests.servers import Server

RUNNER = Path(__file__).with_name("django_runner.py")

# The server evicts by its own maxmemory-policy; the backend culls nothing.
SKIPPED = {"test_cull", "test_zero_cull", "test_cull_delete_when_store_empty"}

# The session engines that keep sessions in a cache, and what each must run.
AT_LEAST = {
    "BackendTests": 54,
    "CacheSessionTests": 65,
    "CacheDBSessionTests": 65,
    "CacheDBSessionWithTimeZoneTests": 65,
}


@pytest.mark.borrowed
@pytest.mark.parametrize(
    ("flavour", "format_"), [("valkey", "sealed"), ("redis", "django")]
)
def test_django_s_own_cache_and_session_tests_pass(
    flavour: str, format_: str, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    with Server(flavour) as server:
        cache = {
            "BACKEND": "redpony.cache.RedisCache",
            "LOCATION": server.url(),
            "OPTIONS": {"FORMAT": format_, "READ_FORMATS": [format_], "DEADLINE": 5},
        }
        ran = subprocess.run(
            [sys.executable, RUNNER, unpacked("Django"), report, json.dumps(cache)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    outcomes = json.loads(report.read_text())
    assert outcomes["failed"] == {}, ran.stderr
    skipped = {test.rpartition(".")[2] for test in outcomes["skipped"]}
    assert skipped == SKIPPED
    run = {
        case: sum(f".{case}." in test for test in outcomes["run"]) for case in AT_LEAST
    }
    assert run == {case: max(run[case], least) for case, least in AT_LEAST.items()}
    assert len(outcomes["run"]) > 250
