"""redis-py's own lock tests, run against `cache.lock` in its Lock's place.

They come from the source distribution of the redis-py that is installed.
`redis_py_exceptions.toml` lists the tests that fail, each with the reason why that is
right and the error that it fails with; an unlisted failure fails here, and so does a
listed test that passes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import redpony
from tests.borrowed.sdists import unpacked
from tests.servers import Server

HERE = Path(__file__).parent
EXCEPTIONS = HERE / "redis_py_exceptions.toml"

# Their files, and how many tests each has at least.
FILES = {"test_lock.py": 31, "test_asyncio/test_lock.py": 58}


def expected_errors() -> dict[str, str]:
    """Return the listed exceptions: by test, what its failure must say."""
    listed = tomllib.loads(EXCEPTIONS.read_text())
    return {
        test: each["error"] for each in listed["exception"] for test in each["tests"]
    }


@pytest.mark.parametrize("flavour", ["valkey", "redis"])
def test_redis_py_s_own_lock_tests_pass_but_for_the_listed(
    flavour: str, tmp_path: Path
) -> None:
    tree = unpacked("redis")
    report = tmp_path / "report.json"
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nmarkers =\n    onlynoncluster: theirs\n"
    )
    with Server(flavour) as server:
        asked = {"url": server.url(), "report": str(report)}
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "redis_py_plugin"),
                *("-p", "no:cacheprovider", "-c", tmp_path / "pytest.ini"),
                *("--rootdir", tree, "--redis-url", server.url()),
                *(tree / "tests" / f"{file}::TestLock" for file in FILES),
            ],
            cwd=tree,
            env={
                **os.environ,
                "PYTHONPATH": f"{HERE}{os.pathsep}{Path(redpony.__path__[0]).parent}",
                "PYTHONDONTWRITEBYTECODE": "1",
                "REDPONY_BORROWED": json.dumps(asked),
            },
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
    assert report.exists(), ran.stdout + ran.stderr
    outcomes: dict[str, dict[str, str]] = json.loads(report.read_text())
    for file, least in FILES.items():
        assert sum(test.startswith(file) for test in outcomes) >= least, ran.stdout
    failed = {
        # Each of asyncio's comes twice, by what connects their client.
        re.sub(r"\[.*\]", "", test): each["text"]
        for test, each in outcomes.items()
        if each["outcome"] != "passed"
    }
    expected = expected_errors()
    assert failed.keys() == expected.keys(), ran.stdout
    for test, error in expected.items():
        assert re.search(error, failed[test]), failed[test]
