"""The real-time rows run, and tell the truth about what browsers were sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.realtime import (
    browsers,
    herd,
    layers,
    publishing,
    report,
    speed,
    standing,
)
from benchmarks.realtime.children import Child, Failed
from benchmarks.realtime.contestants import CONTESTANTS, line_up
from benchmarks.servers import Measured, crowded
from benchmarks.targets import REALTIME, verdicts

OURS = {"ours", "ours, WebSocket"}
PATIENCE = 30.0


@pytest.fixture(scope="module")
def server() -> Iterator[Measured]:
    pytest.importorskip("uvloop", reason="a dependency of the benchmarks alone")
    with crowded() as running:
        yield running


@pytest.fixture(scope="module")
def found(server: Measured) -> dict[str, Any]:
    """Return the results of a run with few browsers."""
    present, absent = line_up()
    return {
        "meta": {
            "date": "today",
            "server": server.version,
            "versions": {each.distribution: each.version() for each in present},
            "load": 0.0,
            "quick": True,
        },
        "absent": absent,
        "standing": standing.measure(server, present, (3, 6)),
        "speed": speed.measure(server.port, present, speed.Effort(1, 5, 20, 5, 0.2)),
        "herd": herd.measure(server.port, present, 1, clients=5, missed=20),
        "layers": layers.measure(server.port, 1, consumers=5, burst=10),
        "publishing": publishing.measure(server.port, (3, 3)),
    }


def test_everybody_who_is_here_takes_part(found: dict[str, Any]) -> None:
    present = {each.name for each in CONTESTANTS} - set(found["absent"])
    assert present >= OURS
    for section in ("standing", "speed"):
        taken = found[section]
        assert set(taken) == present
        assert all("error" not in taken[each] for each in OURS), taken
    assert set(found["herd"]) == {each.name for each in CONTESTANTS if each.keeps} & (
        present
    )


def test_our_streams_hold_neither_threads_nor_databases(found: dict[str, Any]) -> None:
    for each in OURS:
        for number in ("3", "6"):
            assert found["standing"][each][number]["database"] == 0
            assert found["standing"][each][number]["redis"] == 0


def test_nothing_of_ours_is_lost_or_comes_twice(found: dict[str, Any]) -> None:
    for each in OURS:
        taken = found["speed"][each]
        assert taken["delivered"] == 5 * 5
        assert taken["burst_delivered"] == 20 * 5
        back = found["herd"][each]
        assert back["delivered"] == 20 * 5
        for key in ("missing", "doubled", "disordered"):
            assert taken[key] == taken[f"burst_{key}"] == back[key] == 0


def test_publishing_is_compared_with_the_same_client(found: dict[str, Any]) -> None:
    for row in found["publishing"].values():
        assert row[publishing.FLOOR]["of_floor"] == [1, 1, 1]
        assert row["redis-py"]["of_redis_py"] == [1, 1, 1]
        assert row["ours"]["of_floor"][0] > 0


def test_all_tables_can_be_shown(found: dict[str, Any]) -> None:
    shown = report.everything(found)
    for words in ("memory a client", "a burst", "return", "channel layer", "PUBLISH"):
        assert words in shown


def test_figures_that_were_not_taken_are_missed(found: dict[str, Any]) -> None:
    judged = {
        str(each): value for each, value, _ in verdicts({"realtime": found}, REALTIME)
    }
    assert judged["lost, doubled or out of order: at most 0"] == 0
    assert judged["streams, memory a client at 1,000: at most 20 kB"] is None
    assert not any(reached for _, _, reached in verdicts({}, REALTIME))


# -- how it is counted -------------------------------------------------------------


def test_messages_are_found_wherever_the_network_cuts_them() -> None:
    text = (
        b'id: 1-2\ndata: {"n":12,"t":100,"p":"x"}\n\ndata: {"n": 13, "t": 101, "p": 1}'
    )
    for cut in range(len(text)):
        chunks = [(1, text[:cut]), (2, text[cut:])]
        found = list(browsers.seen(chunks))
        assert [each[:2] for each in found] == [(12, 100), (13, 101)], cut


def test_what_is_lost_doubled_or_out_of_order_is_counted() -> None:
    def came(*numbers: int) -> list[browsers.Seen]:
        return [(number, 0, 1_000_000 * number) for number in numbers]

    found = browsers.judge([came(1, 2, 3, 4), came(2, 1, 2), came()], 1, 4)
    assert found["delivered"] == 6
    assert found["missing"] == 6
    assert found["doubled"] == 1
    assert found["disordered"] == 1
    assert found["p99_ms"] == 4
    assert found["last"] == 4_000_000


def test_a_layer_that_cannot_be_had_is_said_so(server: Measured) -> None:
    with Child("layers", "ours", "no port", 1) as child, pytest.raises(Failed):
        child.hear(PATIENCE)


def test_a_process_is_asked_of_the_kernel(tmp_path: Any) -> None:
    with Child("layers", "core", 1, 0) as child:
        child.hear(PATIENCE)
        assert child.threads() >= 1
        assert child.resident() > 1_000_000
        assert child.cpu() > 0
        assert child.opened(str(tmp_path / "none")) == 0
