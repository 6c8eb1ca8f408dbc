"""The scoreboard runs, measures everybody alike, and says what it did not measure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults import report
from benchmarks.faults.__main__ import FAULTS, PAGE
from benchmarks.faults.contestants import CONTESTANTS

ROOT = Path(__file__).resolve().parents[2]
MEASURED = ("hung", "stalled", "page-killed")
WHO = ("ours", "ours-degrade", "django")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the figures of a short run of three faults."""
    target = tmp_path_factory.mktemp("faults") / "found.json"
    words = [word for each in MEASURED for word in ("--fault", each)]
    words += [word for each in WHO for word in ("--contestant", each)]
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.faults", "peers", "--quick"),
            *words,
            *("--json", target),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert target.with_suffix(".md").read_text().count("\n| ") > 40
    loaded: dict[str, Any] = json.loads(target.read_text())
    return loaded


def test_everybody_is_hurt_in_each_way(found):
    faults = found["peers"]["faults"]
    assert set(faults) == set(MEASURED)
    assert all(set(row) == set(WHO) for row in faults.values())
    assert not any(
        "crashed" in each for row in faults.values() for each in row.values()
    )


def test_ours_holds_nobody_gives_no_wrong_answer_and_repeats_nothing(found):
    for fault in ("hung", "stalled"):
        for name in ("ours", "ours-degrade"):
            figures = found["peers"]["faults"][fault][name]
            assert figures["calls"] > 0
            assert (figures["wrong"], figures["duplicates"]) == (0, 0)
            assert figures["still_held"] == 0


def test_a_page_that_goes_on_without_its_server_is_all_good(found):
    page = found["peers"]["faults"]["page-killed"]
    assert page["ours-degrade"]["good"] == page["ours-degrade"]["requests"] > 0
    assert page["django"]["good"] < page["django"]["requests"]


def test_every_fault_has_a_row_and_what_was_not_measured_says_so(found):
    assert set(report.TITLES) == set(FAULTS)
    text = report.everything(found)
    for title in report.TITLES.values():
        assert title in text
    for contestant in CONTESTANTS.values():
        assert contestant.title in text
    refused = report.by_fault(found, report.held, ["refused"]).splitlines()[-1]
    assert refused.count("not measured") == len(CONTESTANTS)
    assert "The suite was not measured." in text


@pytest.mark.parametrize("part", ["--quick", "-k f01", "--fault hung"])
def test_the_docs_are_not_written_from_a_part(part):
    words = ["-m", "benchmarks.faults", "--write-docs", *part.split()]
    ran = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert "--write-docs wants whole figures" in ran.stderr


def test_cells_tell_shares_times_and_ends():
    assert report.answered({"calls": 3, "prompt": 3}) == "100 %"
    # Rounding makes nothing out of something, nor all out of nearly all.
    assert report.answered({"calls": 10**6, "prompt": 10**6 - 1}) == "99.9 %"
    assert report.answered({"calls": 10**6, "prompt": 1}) == "0.1 %"
    failed = {"calls": 4, "prompt": 1, "errors": {"Refused": 1, "Late": 2}}
    assert report.answered(failed) == "25.0 % (`Late`)"
    assert report.held({"held": 8.2, "still_held": 1}) == "more than 8.20 s"
    assert report.held({"held": 0.0012}) == "1.2 ms"
    assert report.number("wrong", {"wrong": 0}) == "0"
    assert report.number("duplicates", {"wrong": 0}) == "not measured"
    assert report.crash(-11) == "SIGSEGV"
    crashed = {"peers": {"faults": {"hung": {"django": {"crashed": "SIGSEGV"}}}}}
    assert "crashed (SIGSEGV)" in report.by_fault(crashed, report.held, ["hung"])


def test_long_runs_are_summed():
    runs = {"one": {"operations": 700_000, "wrong": 0}, "two": {"operations": 400_000}}
    text = report.soak({"soak": {"runs": runs}})
    assert "| together | 1,100,000 " in text


def test_the_page_of_the_docs_has_a_place_for_it(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text())
    assert report.fill(page, "THE TABLES")
    assert report.fill(page, "OTHER TABLES")
    text = page.read_text()
    assert "OTHER TABLES" in text
    assert "THE TABLES" not in text
    assert text.startswith(PAGE.read_text().partition(report.START)[0])
