"""The benchmarks run, tell the truth about what they measured, and judge it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report, results, tables
from benchmarks.interleave import Sample, Samples
from benchmarks.targets import verdicts

ROOT = Path(__file__).resolve().parents[2]


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the results of a short run of three rows."""
    target = tmp_path_factory.mktemp("bench") / "found.json"
    rows = ("--rows", "get", "--rows", "get_many", "--rows", "aget_20")
    ran = bench("--quick", "--json", target, *rows)
    assert ran.returncode == 0, ran.stderr
    loaded: dict[str, Any] = json.loads(target.read_text())
    return loaded


def test_every_contestant_answers_rightly_and_is_measured(
    found: dict[str, Any],
) -> None:
    # django-valkey is a dependency of the benchmarks alone.
    assert set(found["absent"]) <= {"django-valkey"}
    everybody = {"floor", "redis-py", "ours", "django", "django-redis", "django-valkey"}
    for name, row in found["rows"].items():
        measured = {each for each, taken in row.items() if "wall_us" in taken}
        assert measured == everybody - set(found["absent"]), name


def test_a_get_is_one_round_trip_by_the_servers_count(found: dict[str, Any]) -> None:
    trips = {n: row.get("round_trips") for n, row in found["rows"]["get"].items()}
    assert trips == dict.fromkeys(trips, 1)


def test_figures_that_were_not_taken_are_missed(found: dict[str, Any]) -> None:
    missed = [str(target) for target, value, _ in verdicts(found) if value is None]
    assert any("`set_many`" in each for each in missed)
    assert any("silent server" in each for each in missed)
    assert not any(reached for _, value, reached in verdicts(found) if value is None)


def test_check_ends_with_1_and_names_what_was_missed(tmp_path: Path) -> None:
    ran = bench(
        "--quick", "--check", "--rows", "missing", "--json", tmp_path / "found.json"
    )
    assert ran.returncode == 1, ran.stderr
    assert "missed: `set_many` of 100" in ran.stderr


def test_ratios_are_taken_within_a_round() -> None:
    # The machine was ten times slower in the second round; nobody else was.
    floor = Samples([Sample(1, 1), Sample(10, 10)])
    ours = Samples([Sample(2, 2), Sample(20, 20)])
    row = results.summarise({"floor": floor, "ours": ours})
    assert row["ours"]["of_floor"] == [2, 2, 2]


def test_a_slice_that_failed_is_left_out_and_counted() -> None:
    floor = Samples([Sample(1, 1), Sample(1, 1)])
    ours = Samples([None, Sample(3, 3)], error="Unavailable: gone")
    row = results.summarise({"floor": floor, "ours": ours})
    assert row["ours"]["of_floor"] == [3, 3, 3]
    assert row["ours"]["lost"] == 1


def test_only_what_stands_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.START}\nold\n{report.END}\nafter\n")
    assert tables.fill(page, "new")
    assert page.read_text() == f"before\n{report.START}\n\nnew\n\n{report.END}\nafter\n"


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing to fill\n")
    assert not tables.fill(page, "new")
    assert page.read_text() == "nothing to fill\n"
