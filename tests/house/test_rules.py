"""The rules of the suite itself: what is skipped fails, what is long waits."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SUITE = """
import warnings
import pytest

def test_plain():
    pass

@pytest.mark.soak
def test_long():
    pass

def test_skipped():
    pytest.skip("not today")

@pytest.mark.borrowed
def test_borrowed_and_skipped():
    pytest.skip("theirs")

def test_warns():
    warnings.warn("a warning")
"""


def run(folder, *arguments):
    """Run the small suite; return each test's outcome and what was printed."""
    suite = folder / "test_suite.py"
    suite.write_text(SUITE)
    options = ["-c", ROOT / "pyproject.toml", "-p", "tests.conftest", "-q", "-rA"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *arguments, suite],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    found = {}
    for line in done.stdout.splitlines():
        word, _, rest = line.partition(" ")
        if word in ("PASSED", "FAILED", "SKIPPED"):
            found[rest.rpartition("::")[2].split(" ")[0]] = word
    return found, done.stdout


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return run(tmp_path_factory.mktemp("plain"), "-p", "no:cacheprovider")


def test_a_skipped_test_fails_unless_it_is_somebody_elses(plain):
    found, printed = plain
    assert found["test_skipped"] == "FAILED"
    assert "not today" in printed
    assert "1 skipped" in printed


def test_a_warning_fails(plain):
    found, _ = plain
    assert found["test_warns"] == "FAILED"
    assert found["test_plain"] == "PASSED"


def test_a_long_test_is_deselected_unless_it_is_asked_for(plain, tmp_path):
    found, printed = plain
    assert "test_long" not in found
    assert "1 deselected" in printed
    found, printed = run(tmp_path, "-p", "no:cacheprovider", "--soak")
    assert found["test_long"] == "PASSED"
    assert " deselected" not in printed
