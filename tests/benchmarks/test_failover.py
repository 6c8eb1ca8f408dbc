"""The figures of failovers: taken in a short run, judged, and shown in the docs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.failover import report
from benchmarks.failover.moments import MOMENTS
from benchmarks.failover.outages import summary
from benchmarks.failover.polling import served_again

ROOT = Path(__file__).resolve().parents[2]
LATEST = ROOT / "benchmarks" / "results" / "failover.json"

APPLICATIONS = {"ours", "ours, asyncio", "redis-py"}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the results of a short run."""
    target = tmp_path_factory.mktemp("failover") / "found.json"
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.failover", "--quick", "--json", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    loaded: dict[str, Any] = json.loads(target.read_text())
    return loaded


def test_every_application_is_served_again(found: dict[str, Any]) -> None:
    for measured in found["outages"].values():
        (one,) = measured["rounds"]
        assert one.keys() >= APPLICATIONS
        for name in APPLICATIONS:
            assert 0 < one[name]["outage"] < 30
            assert sum(one[name]["errors"].values()) > 0


def test_the_servers_tell_when_what_happened(found: dict[str, Any]) -> None:
    for topology, measured in found["outages"].items():
        (one,) = measured["rounds"]
        told = list(one["moments"])
        assert told == [name for name in MOMENTS[topology] if name in told]
        assert len(told) >= 3
        times = list(one["moments"].values())
        assert times == sorted(times)
        assert one["led"] <= one["servers"]


def test_nobody_notices_slots_that_move(found: dict[str, Any]) -> None:
    for measured in found["resharding"].values():
        assert measured["slots"] == 50
        assert measured["operations"] > 0
        assert measured["errors"] == {}
        assert measured["complaint"] == ""
        assert measured["wrong"] == measured["duplicates"] == measured["lost"] == 0


def test_every_acknowledged_write_is_looked_for(found: dict[str, Any]) -> None:
    for ways in found["losses"].values():
        for measured in ways.values():
            for mode in ("plain", "wait"):
                assert 0 <= measured[mode]["lost"] <= measured[mode]["acknowledged"]
                assert measured[mode]["acknowledged"] > 400
    # The cluster's servers hold writes back until the replica has them all.
    asked = found["losses"]["cluster"]["request"]
    assert asked["plain"]["lost"] == asked["wait"]["lost"] == 0


def test_all_tables_can_be_shown(found: dict[str, Any]) -> None:
    shown = report.everything(found)
    for name in ("redis-py", "Sentinel", "Cluster", "WAIT 1", "slots moved"):
        assert name in shown


def test_the_outage_ends_with_the_longest_silence() -> None:
    # An answer that was on its way when the server was killed does not count.
    assert served_again(100.0, [100.001, 101.5, 101.51]) == 1.5
    assert served_again(100.0, [101.0, 101.01]) == 1.0
    assert served_again(100.0, []) == 60.0


def test_ratios_are_taken_within_a_round() -> None:
    def one(servers: float, ours: float) -> dict[str, Any]:
        taken = {"outage": ours, "errors": {"Unavailable": 2}, "slowest": 0.1}
        moments = {"it has won": servers}
        return {
            "servers": servers,
            "led": servers,
            "moments": moments,
            **dict.fromkeys(APPLICATIONS, taken),
        }

    found = summary([one(1.0, 1.1), one(2.0, 2.4), one(3.0, 3.0)])
    assert found["servers"] == [2.0, 1.0, 3.0]
    ours = found["applications"]["ours"]
    assert ours["ratio"] == [1.1, 1.0, 1.2]
    assert ours["errors"] == 6
    assert found["moments"] == {"it has won": [2.0, 1.0, 3.0]}


def test_a_figure_that_is_too_large_is_missed(found: dict[str, Any]) -> None:
    assert all(each.reached for each in report.targets(found) if "slots" in each.what)
    worse = json.loads(json.dumps(found))
    worse["resharding"]["valkey"]["errors"] = {"Unavailable": 1}
    missed = [each.what for each in report.targets(worse) if not each.reached]
    assert "Valkey, 50 slots moved: errors" in missed
    assert "MISSED" in report.figures(worse)


def test_the_pages_show_the_published_run() -> None:
    published = json.loads(LATEST.read_text())
    assert not published["meta"]["quick"]
    page = (ROOT / "docs" / "explanation" / "failover.md").read_text()
    for name, show in report.REGIONS.items():
        shown = f"<!-- {name}:start -->\n\n{show(published)}\n\n<!-- {name}:end -->"
        assert shown in page
