"""What each toxic does to pieces, by a clock that the test moves."""

from __future__ import annotations

import math
from random import Random

import hypothesis
import hypothesis.strategies as st
import pytest

from redpony.testing.chaos.toxics import (
    Bandwidth,
    End,
    Ending,
    Latency,
    LimitData,
    Slicer,
    SlowClose,
    Stage,
    Stall,
)


def latency(ms=100, jitter=0, seed=1):
    return Latency(0, Random(seed), seconds=ms / 1000, jitter=jitter / 1000)


def bandwidth(rate):
    return Bandwidth(0, Random(1), rate=rate)


def slicer(size, variation=0, delay=0.0):
    return Slicer(0, Random(1), size=size, variation=variation, delay=delay)


def limit(size, end=End.CLOSED):
    return LimitData(0, Random(1), size=size, end=end)


def ending(seconds, end=End.CLOSED):
    return Ending(0, Random(1), seconds=seconds, end=end)


def schedule(stage):
    """Return everything that a stage keeps, each with the time when it is due."""
    found = []
    while stage.due < math.inf:
        due = stage.due
        found += [(pytest.approx(due), piece) for piece in stage.take(due)]
    return found


def test_latency_delays_each_piece_by_itself():
    stage = latency(100)
    stage.put(b"a", 0)
    stage.put(b"b", 0.05)
    assert schedule(stage) == [(0.1, b"a"), (0.15, b"b")]


def test_latency_delays_the_end_too():
    stage = latency(100)
    stage.put(b"a", 0)
    stage.put(End.FINISHED, 0.01)
    assert schedule(stage) == [(0.1, b"a"), (0.11, End.FINISHED)]


def test_jitter_stays_within_its_bounds_and_keeps_order():
    stage = latency(100, jitter=90)
    for number in range(200):
        stage.put(b"%d" % number, number)
        due = stage.due - number
        assert 0.01 <= due <= 0.19
        stage.take(stage.due)
    crowd = latency(100, jitter=90)
    pieces = [b"%d" % number for number in range(200)]
    for piece in pieces:
        crowd.put(piece, 0)
    assert crowd.take(1) == pieces


def test_jitter_above_the_latency_never_delivers_before_now():
    stage = latency(1, jitter=100)
    for number in range(100):
        stage.put(b"x", number)
        assert stage.due >= number
        stage.take(math.inf)


def test_jitter_is_the_same_for_the_same_seed():
    def dues(seed):
        stage = latency(100, jitter=50, seed=seed)
        return [stage.put(b"x", now) or stage.due for now in range(20)]

    assert dues(7) == dues(7)
    assert dues(7) != dues(8)


def test_bandwidth_lets_so_many_bytes_through_in_a_second():
    stage = bandwidth(1000)
    stage.put(b"x" * 500, 0)
    stage.put(b"y" * 500, 0)
    stage.put(End.FINISHED, 0)
    assert sum(map(len, stage.take(0.25))) == 200
    assert sum(map(len, stage.take(0.5))) == 300
    rest = stage.take(1.0)
    assert rest[-1] is End.FINISHED
    assert b"".join(rest[:-1]) == b"y" * 500


def test_bandwidth_that_was_not_used_is_not_saved_up():
    stage = bandwidth(1000)
    stage.put(b"x" * 100, 10)
    assert stage.take(10) == []
    assert stage.take(10.1) == [b"x" * 100]


def test_slices_have_about_the_size_that_was_asked_for():
    stage = slicer(10, variation=3)
    stage.put(bytes(1000), 0)
    sizes = [len(piece) for piece in stage.take(0)]
    assert sum(sizes) == 1000
    assert all(7 <= size <= 13 for size in sizes[:-1])
    assert len(set(sizes)) > 3


def test_slices_follow_each_other_after_a_pause():
    stage = slicer(2, delay=0.5)
    stage.put(b"abcde", 1)
    stage.put(b"f", 1)
    stage.put(End.FINISHED, 1)
    assert schedule(stage) == [
        (1, b"ab"),
        (1.5, b"cd"),
        (2, b"e"),
        (2.5, b"f"),
        (2.5, End.FINISHED),
    ]


def test_a_limit_cuts_within_a_piece():
    stage = limit(5)
    stage.put(b"abc", 0)
    stage.put(b"def", 0)
    stage.put(b"ghi", 0)
    assert stage.take(0) == [b"abc", b"de", End.CLOSED]


def test_a_limit_ends_the_connection_with_the_last_byte_that_it_lets_through():
    stage = limit(3, End.RESET)
    stage.put(b"abc", 0)
    assert stage.take(0) == [b"abc", End.RESET]


def test_a_limit_of_nothing_waits_for_the_first_byte():
    stage = limit(0)
    assert stage.take(math.inf) == []
    stage.put(b"a", 0)
    assert stage.take(0) == [End.CLOSED]


def test_a_stream_that_ends_within_its_limit_ends_as_it_would():
    stage = limit(5)
    stage.put(b"abc", 0)
    stage.put(End.FINISHED, 0)
    assert stage.take(0) == [b"abc", End.FINISHED]


def test_a_timeout_lets_nothing_through_and_ends_in_time():
    stage = ending(2)
    stage.put(b"a", 0)
    assert stage.take(1.9) == []
    assert stage.take(2) == [End.CLOSED]


def test_a_timeout_of_nothing_never_ends():
    stage = ending(None)
    stage.put(b"a", 0)
    stage.put(End.FINISHED, 0)
    assert stage.take(math.inf) == []
    assert stage.due == math.inf


def test_a_timeout_that_has_lost_something_ends_the_connection_as_it_leaves():
    stage = ending(None)
    assert stage.leave() == []
    stage.put(b"a", 0)
    assert stage.leave() == [End.CLOSED]


def test_a_slow_close_delays_the_end_alone():
    stage = SlowClose(0, Random(1), seconds=3)
    stage.put(b"a", 1)
    stage.put(End.FINISHED, 1)
    assert schedule(stage) == [(1, b"a"), (4, End.FINISHED)]


def test_a_stall_keeps_everything_until_it_is_over():
    stage = Stall(0, Random(1))
    stage.put(b"a", 0)
    stage.put(End.RESET, 0)
    assert stage.take(1e9) == []
    assert stage.size == 1
    assert stage.leave() == [b"a", End.RESET]
    assert stage.size == 0


STAGES = st.one_of(
    st.just(Stage),
    st.just(Stall),
    st.builds(
        lambda ms, jitter: (
            lambda now, random: Latency(now, random, seconds=ms, jitter=jitter)
        ),
        st.floats(0, 2),
        st.floats(0, 2),
    ),
    st.builds(
        lambda rate: lambda now, random: Bandwidth(now, random, rate=rate),
        st.floats(1, 1e6),
    ),
    st.builds(
        lambda size, delay: (
            lambda now, random: Slicer(
                now, random, size=size, variation=size - 1, delay=delay
            )
        ),
        st.integers(1, 100),
        st.floats(0, 1),
    ),
    st.builds(
        lambda seconds: lambda now, random: SlowClose(now, random, seconds=seconds),
        st.floats(0, 2),
    ),
)


@hypothesis.given(
    makers=st.lists(STAGES, max_size=4),
    sent=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1)), max_size=8),
    seed=st.integers(0, 100),
)
def test_what_goes_through_any_toxics_comes_out_whole_and_in_order(makers, sent, seed):
    stages = [make(0, Random(seed)) for make in makers]
    now, got = 0.0, []
    for wait, piece in [*sent, (0, End.FINISHED)]:
        now += wait
        pieces = [piece]
        for stage in stages:
            for each in pieces:
                stage.put(each, now)
            pieces = stage.take(now)
        got += pieces
    # Then all are removed, the first one first.
    while stages:
        pieces = stages.pop(0).leave()
        for stage in stages:
            for each in pieces:
                stage.put(each, now)
            pieces = stage.take(now)
        got += pieces
    assert got[-1] is End.FINISHED
    assert b"".join(got[:-1]) == b"".join(piece for _, piece in sent)
