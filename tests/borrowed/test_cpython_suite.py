"""CPython's own tests of `threading`'s locks, run on Redpony's.

`cpython_runner.py` says what is run on what. `cpython_exceptions.toml` lists the tests
that fail, each with the reason why that is right and the error that it fails with; an
unlisted failure fails here, and so does a listed test that passes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from tests.servers import Server

HERE = Path(__file__).parent
RUNNER = HERE / "cpython_runner.py"
EXCEPTIONS = HERE / "cpython_exceptions.toml"

# What each kind must run, at least.
AT_LEAST = {
    "Lock": 17,
    "RLock": 18,
    "Semaphore": 11,
    "BoundedSemaphore": 11,
    "Condition": 7,
}


def expected_errors() -> dict[str, str]:
    """Return the listed exceptions: by test, what its failure must say."""
    listed = tomllib.loads(EXCEPTIONS.read_text())
    return {
        test: each["error"] for each in listed["exception"] for test in each["tests"]
    }


@pytest.mark.parametrize("flavour", ["valkey", "redis"])
def test_cpython_s_own_lock_tests_pass_but_for_the_listed(
    flavour: str, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    with Server(flavour) as server:
        ran = subprocess.run(
            [sys.executable, RUNNER, server.url(), report],
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
    assert report.exists(), ran.stdout + ran.stderr
    outcomes = json.loads(report.read_text())
    tests: dict[str, str] = outcomes["tests"]
    run = Counter(test.partition(".")[0] for test in tests)
    assert run.keys() == AT_LEAST.keys()
    # gevent's copy is older, and has fewer.
    if outcomes["of"] == "test.lock_tests":
        assert all(run[kind] >= least for kind, least in AT_LEAST.items()), run
    failed = {test: text for test, text in tests.items() if text}
    expected = {test: each for test, each in expected_errors().items() if test in tests}
    assert failed.keys() == expected.keys(), ran.stderr
    for test, error in expected.items():
        assert re.search(error, failed[test]), failed[test]
