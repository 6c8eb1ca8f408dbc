"""Who is asked for a read: replicas in turn, and what is left when nothing fits."""

from __future__ import annotations

import pytest

from redpony.commands import GET
from redpony.errors import CircuitOpen, RedponyError, Unavailable, Unreachable
from redpony.wire.topology.nodes import Node
from tests.wire.topology.charts import Chart, Journey, cluster, replicated, scripted


def failing(chart: Chart, error: RedponyError) -> Journey:
    """Return the way of a read whose first server fails, as its breaker hears."""

    def answer(flight: object) -> list[object]:
        shard = chart.shape.shards[0]
        if getattr(flight, "node", None) is shard.primary:
            shard.primary.breaker.failed(error)
            return [error]
        return [b"v"]

    return Journey(chart, [GET(b"b")], answer, fresh=False)


def cut_off(node: Node) -> None:
    node.is_cut_off = True


@pytest.mark.parametrize("make", [replicated, lambda: cluster(replicas=2)])
@pytest.mark.parametrize("leave_out", [Node.rest, cut_off])
@pytest.mark.parametrize(
    "error",
    [Unreachable("refused"), Unavailable("lost", outcome="unknown")],
    ids=["refused", "lost"],
)
def test_a_replica_that_is_left_out_answers_when_the_primary_cannot(
    make, leave_out, error
):
    chart = make()
    for replica in chart.shape.shards[0].replicas:
        leave_out(replica)
    journey = failing(chart, error)
    assert journey.items == [b"v"]
    ports = [port for (flight,) in journey.trace for port in flight[:1]]
    assert ports[0] == 1
    assert ports[-1] > 10


def test_a_replica_that_is_left_alone_is_not_asked_for_want_of_others():
    chart = replicated(1)
    (replica,) = chart.shape.shards[0].replicas
    for _ in range(3):
        replica.breaker.failed(OSError("gone"))
    gone = Unreachable("refused")
    journey = failing(chart, gone)
    assert journey.items == [gone]
    assert [len(each) for each in journey.trace] == [1]


def test_who_is_read_from_is_the_primary_where_nothing_else_fits():
    chart = replicated(1)
    (replica,) = chart.shape.shards[0].replicas
    replica.rest()
    journey = Journey(chart, [GET(b"b")], scripted(b"v"), fresh=False)
    assert journey.trace == [[(1, ["GET"])]]


def test_a_primary_that_is_left_alone_costs_its_replicas_nothing():
    chart = replicated(1)
    shard = chart.shape.shards[0]
    for _ in range(3):
        shard.primary.breaker.failed(OSError("gone"))
    shard.replicas[0].rest()
    journey = Journey(chart, [GET(b"b")], scripted(b"v"), fresh=False)
    assert journey.items == [b"v"]
    assert journey.trace == [[(11, ["GET"])]]
    assert not any(isinstance(each, CircuitOpen) for each in journey.items)
