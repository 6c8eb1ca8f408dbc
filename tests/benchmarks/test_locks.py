"""The lock rows run, tell the truth about what they measured, and cannot hang."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.interleave import Sample, Samples
from benchmarks.locks import crowd, handover, patience, report, uncontended
from benchmarks.locks.children import Child, Failed, in_turns
from benchmarks.locks.contestants import RedisPyFloor
from benchmarks.locks.holding import Holder
from benchmarks.locks.requests import Requests
from benchmarks.servers import Measured, running
from benchmarks.targets import LOCKS, verdicts

ROOT = Path(__file__).resolve().parents[2]

# Dependencies of the benchmarks alone; the last is a mode of ours that may be missing.
MAY_BE_ABSENT = {
    "python-redis-lock",
    "python-redis-lock, renewed",
    "pottery",
    "ours, plain",
}
BOTH = {"ours", "redis-py"}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, int]:
    """Return the results of a short run, what it complained of, and its status."""
    target = tmp_path_factory.mktemp("locks") / "found.json"
    options = ("--quick", "--check", "--rows", "locks", "--json", target)
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert target.exists(), ended.stderr
    return json.loads(target.read_text()), ended.stderr, ended.returncode


@pytest.fixture(scope="module")
def found(ran: tuple[dict[str, Any], str, int]) -> dict[str, Any]:
    locks: dict[str, Any] = ran[0]["locks"]
    return locks


@pytest.fixture(scope="module")
def alone() -> Iterator[Measured]:
    with running() as server:
        yield server


# -- a short run ----------------------------------------------------------------


def test_everybody_who_is_here_takes_part(found: dict[str, Any]) -> None:
    assert set(found["absent"]) <= MAY_BE_ABSENT
    present = set(found["meta"]["versions"])
    assert present >= BOTH
    assert present.isdisjoint(found["absent"])
    for form in found["uncontended"]["sync"].values():
        measured = {name for name, taken in form.items() if "of_floor" in taken}
        assert measured == present - {"redis-py, blocking pool"}
    for form in found["uncontended"]["async"].values():
        assert all("of_floor" in form[name] for name in BOTH)
    for row in found["handover"].values():
        assert set(row) == present - {
            "redis-py, blocking pool",
            "python-redis-lock, renewed",
        }
    assert set(found["crowd"]) >= {"ours", "redis-py", "redis-py, blocking pool"}
    for row in found["patience"].values():
        assert set(row) >= BOTH | {"ours, asyncio", "redis-py, asyncio"}


def test_a_lock_that_nobody_wants_is_two_round_trips(found: dict[str, Any]) -> None:
    for form in found["uncontended"]["sync"].values():
        trips = {name: form[name]["round_trips"] for name in ("ours", "redis-py")}
        assert trips == {"ours": 2, "redis-py": 2}


def test_nobody_of_a_crowd_is_in_with_another(found: dict[str, Any]) -> None:
    for place, row in found["handover"].items():
        contenders = handover.CROWDS[place][0] * handover.CROWDS[place][1]
        for name in BOTH:
            taken = row[name]
            assert "error" not in taken, (place, name)
            assert 1 / contenders <= taken["jain"][0] <= 1
            assert taken["round_trips"][0] > 0
            assert taken["sections"][0] > 1


def test_all_tasks_of_ours_are_served(found: dict[str, Any]) -> None:
    assert "error" not in found["crowd"]["ours"]
    # A pool that refuses the 101st caller leaves no figures, but says so.
    theirs = found["crowd"]["redis-py"]
    assert "of_ideal" in theirs or "MaxConnections" in theirs["error"]


def test_nobody_of_ours_gives_up_too_early(found: dict[str, Any]) -> None:
    for row in found["patience"].values():
        for name in ("ours", "ours, asyncio"):
            assert row[name]["error"] == ""
            assert not row[name]["still_held"]
            assert row[name]["late_ms"][1] >= 0


def test_a_run_of_locks_alone_is_judged_by_their_figures(
    ran: tuple[dict[str, Any], str, int],
) -> None:
    results, complaints, status = ran
    missed = [str(each) for each, _, reached in verdicts(results, LOCKS) if not reached]
    # Patience of 8 s is not tried where it has to be quick.
    assert any("patience of 8 s" in each for each in missed)
    assert status == 1
    said = [line for line in complaints.splitlines() if line.startswith("missed: ")]
    assert [line.partition(";")[0] for line in said] == [
        f"missed: {each}" for each in missed
    ]


def test_all_tables_can_be_shown(found: dict[str, Any]) -> None:
    shown = report.everything(found)
    for words in ("SET + GET", "Jain", "200 tasks wait", "gives up", "asyncio"):
        assert words in shown


# -- what hangs ------------------------------------------------------------------


def test_a_process_that_hangs_is_killed_and_said_so(alone: Measured) -> None:
    with Holder(alone.port) as holder, _patient(alone, "hangs") as waiter:
        holder.await_ready()
        waiter.await_ready()
        holder.take("hangs", "redis-py")
        waiter.tell("wait", 1000)
        with pytest.raises(Failed, match=r"hangs: killed after 0.2 s"):
            waiter.hear(0.2)


def test_a_process_that_ends_without_a_word_has_failed() -> None:
    with Child("patience", "no port") as child, pytest.raises(Failed, match="ended"):
        child.await_ready()


def test_one_who_does_not_give_up_is_told_so(alone: Measured) -> None:
    # Of the second that it may wait, it gets a tenth.
    names = {"sync": ["redis-py"], "async": []}
    found = patience.measure(alone, names, -0.9, quick=True)
    assert found["1"]["redis-py"]["still_held"]


def test_who_failed_is_not_asked_again() -> None:
    asked: list[str] = []

    def measure(name: str) -> dict[str, Any]:
        asked.append(name)
        if name == "bad":
            raise Failed("hangs")
        return {"figure": 1}

    found = in_turns(["good", "bad"], 3, measure)
    assert found == {"good": [{"figure": 1}] * 3, "bad": [{"error": "hangs"}]}
    assert asked.count("bad") == 1


def _patient(server: Measured, name: str) -> Child:
    return Child("patience", server.port, "redis-py", "sync", name)


# -- how it is counted -------------------------------------------------------------


def test_what_scripts_do_is_no_request(alone: Measured) -> None:
    client = alone.client()
    script = "redis.call('SET', 'x', 1) return redis.call('GET', 'x')"
    client.eval(script, 0)
    with Requests(alone.port) as requests:
        client.eval(script, 0)
        client.get("x")
    assert requests.count == 2


def test_a_hand_over_lasts_from_leaving_to_the_next_entry() -> None:
    diaries = [[(1.0, 2.0), (3.5, 4.0)], [(2.5, 3.0), (4.001, 5.0)]]
    found = handover.judge(diaries, 0.0, 6.0)
    assert found["median_ms"] == pytest.approx(500)
    assert found["same_again"] == 0
    assert found["jain"] == 1
    assert found["sections"] == 4
    assert found["longest_wait_s"] == 2.5


def test_what_lies_outside_the_time_does_not_count() -> None:
    diaries = [[(0.0, 1.0), (1.1, 2.0), (2.1, 3.0), (3.1, 4.0), (9.0, 9.5)], []]
    found = handover.judge(diaries, 1.05, 5.0)
    assert found["sections"] == 3
    assert found["p99_ms"] == pytest.approx(100)
    assert found["same_again"] == 1
    assert found["jain"] == 0.5
    assert found["longest_wait_s"] == pytest.approx(3.95)


def test_two_who_have_it_at_once_are_an_error() -> None:
    found = handover.judge([[(1.0, 2.0)], [(1.9, 3.0)]], 0.0, 5.0)
    assert found == {"error": "two had the lock at once, 1 times"}


def test_hand_overs_are_compared_within_a_round() -> None:
    # The machine was ten times slower in the second round; nobody else was.
    def took(median: float) -> dict[str, float]:
        return {**dict.fromkeys(handover.FIGURES, 1.0), "median_ms": median}

    rounds = {
        "ours": [{**took(m), "round_trip_us": 100 * m} for m in (1, 10)],
        "redis-py": [{**took(m), "round_trip_us": 100 * m} for m in (2, 20)],
    }
    found = handover.summarise(rounds)
    assert found["redis-py"]["times_ours"] == [2, 2, 2]
    assert found["ours"]["of_round_trip"] == [10, 10, 10]


def test_a_lock_is_compared_with_its_own_clients_floor() -> None:
    high = RedisPyFloor.name
    taken = {
        "low": Samples([Sample(1, 1), Sample(10, 10)]),
        high: Samples([Sample(4, 4), Sample(40, 40)]),
        "ours": Samples([Sample(2, 1), Sample(20, 10)]),
        "redis-py": Samples([Sample(4, 2), Sample(40, 20)]),
    }
    found = uncontended.summarise(taken, {"ours": "low", "redis-py": high})
    assert found["ours"]["of_floor"] == [2, 2, 2]
    assert found["redis-py"]["of_floor"] == [1, 1, 1]
    assert found["ours"]["of_redis_py_floor"] == [0.5, 0.5, 0.5]
    assert found["ours"]["of_redis_py"] == [0.5, 0.5, 0.5]
    assert found["ours"]["cpu_of_redis_py"] == [0.5, 0.5, 0.5]


def test_a_crowd_that_broke_up_has_no_figures() -> None:
    served = {
        "requests_per_second": 2.0,
        "cpu_share": 0.1,
        "drain_s": 0.3,
        "of_ideal": 1.3,
    }
    assert crowd.summarise([served, served])["of_ideal"] == [1.3, 1.3, 1.3]
    broke = {**served, "error": "fails: MaxConnectionsError (100 of 200 tasks)"}
    assert crowd.summarise([served, broke]) == {"error": broke["error"]}


def test_figures_of_locks_that_were_not_taken_are_missed() -> None:
    assert [value for _, value, _ in verdicts({}, LOCKS)] == [None] * len(LOCKS)
    assert not any(reached for _, _, reached in verdicts({}, LOCKS))
