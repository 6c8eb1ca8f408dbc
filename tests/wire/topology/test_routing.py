"""What follows from a server's answer: where a command goes next, and whether."""

from __future__ import annotations

from typing import Any

import pytest

from redpony.commands import (
    BLPOP,
    DBSIZE,
    DEL,
    FLUSHDB,
    GET,
    HSCAN,
    MGET,
    MSET,
    PING,
    RENAME,
    SET,
    SINTER,
    Command,
    Script,
    call,
)
from redpony.errors import (
    AuthenticationFailed,
    CircuitOpen,
    ClusterDown,
    CrossSlot,
    DeadlineExceeded,
    NotPrimary,
    PoolExhausted,
    RedponyError,
    TryAgain,
    Unavailable,
    Unreachable,
    from_reply,
)
from redpony.wire.topology.routing import HOPS, Flight
from redpony.wire.topology.shape import Shape, Shard
from redpony.wire.topology.slots import slot_of
from tests.wire.links import INCR
from tests.wire.topology.charts import (
    Chart,
    Journey,
    cluster,
    port_of,
    replicated,
    scripted,
)

ADD = Script("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])")

# Their slots belong to the nodes at port 1, 2 and 3 of `cluster()`.
ONE, TWO, THREE = b"key:0", b"key:1", b"key:3"


def test_the_keys_are_where_these_tests_take_them_to_be() -> None:
    table = cluster().shape.table
    assert table is not None
    owners = [table[slot_of(key)] for key in (ONE, TWO, THREE)]
    assert [port_of(owner.primary) for owner in owners if owner] == [1, 2, 3]


def moved(key: bytes, port: int, host: str = "node") -> RedponyError:
    return from_reply(f"MOVED {slot_of(key)} {host}:{port}")


def ask(key: bytes, port: int, host: str = "node") -> RedponyError:
    return from_reply(f"ASK {slot_of(key)} {host}:{port}")


def go(chart: Chart, *commands: Command, answers: Any = (), **how: Any) -> Journey:
    return Journey(chart, commands, scripted(*answers), **how)


# -- redirections ---------------------------------------------------------------


def test_moved_leads_to_the_new_owner_and_is_remembered() -> None:
    chart = cluster()
    journey = go(chart, SET(ONE, b"v"), answers=[moved(ONE, 3), b"OK"])
    assert journey.items == [b"OK"]
    assert journey.trace == [[(1, ["SET"])], [(3, ["SET"])]]
    again = go(chart, GET(ONE), answers=[b"v"])
    assert again.trace == [[(3, ["GET"])]]
    assert (journey.looks, journey.pauses) == (0, [])


def test_moved_to_a_node_that_nobody_knew_leads_there() -> None:
    chart = cluster()
    journey = go(chart, SET(ONE, b"v"), answers=[moved(ONE, 77), b"OK"])
    assert journey.trace == [[(1, ["SET"])], [(77, ["SET"])]]


def test_moved_without_a_host_means_the_host_that_was_asked() -> None:
    journey = go(cluster(), GET(ONE), answers=[moved(ONE, 3, host=""), b"v"])
    assert journey.items == [b"v"]
    assert [str(node.address) for _, node, _ in journey.sendings] == [
        "node:1",
        "node:3",
    ]


def test_ask_leads_to_the_other_node_once_and_is_not_remembered() -> None:
    chart = cluster()
    journey = go(chart, GET(ONE), answers=[ask(ONE, 3), b"OK", b"v"])
    assert journey.items == [b"v"]
    assert journey.trace == [[(1, ["GET"])], [(3, ["ASKING", "GET"])]]
    assert go(chart, GET(ONE), answers=[b"v"]).trace == [[(1, ["GET"])]]
    assert chart.moves == 0


def test_each_command_that_is_asked_for_elsewhere_follows_its_own_asking() -> None:
    commands = [GET(b"{t}a"), GET(b"{t}b"), GET(b"{t}c")]
    port = port_of(_owner(cluster(), b"{t}"))
    other = port % 3 + 1
    journey = go(
        cluster(),
        *commands,
        answers=[
            *(ask(b"{t}a", other), b"b", ask(b"{t}c", other)),
            *(b"OK", b"a", b"OK", b"c"),
        ],
    )
    assert journey.items == [b"a", b"b", b"c"]
    assert journey.trace == [
        [(port, ["GET", "GET", "GET"])],
        [(other, ["ASKING", "GET", "ASKING", "GET"])],
    ]


def test_two_nodes_that_send_to_each_other_are_given_time_to_agree() -> None:
    journey = go(cluster(), SET(ONE, b"v"), answers=[moved(ONE, 2), moved(ONE, 1)] * 9)
    assert len(journey.rounds) == HOPS
    assert journey.pauses != []


def test_a_redirection_without_end_is_no_redirection_for_the_caller() -> None:
    journey = go(cluster(), SET(ONE, b"v"), answers=[moved(ONE, 2), moved(ONE, 1)] * 9)
    assert isinstance(journey.items[0], Unavailable)
    assert journey.items[0].outcome == "refused"


def test_a_script_goes_with_its_source_behind_asking() -> None:
    # By its digest it could be refused as unknown, and ASKING would be used up.
    chart = cluster()
    command = call(ADD, (ONE,), (b"1",))
    journey = go(chart, command, answers=[ask(ONE, 2), b"OK", 1])
    assert journey.items == [1]
    _, (flight,) = journey.rounds
    asking, whole = flight.commands
    assert asking.name == "ASKING"
    assert whole.words() == (b"EVAL", ADD.source, b"1", ONE, b"1")
    assert whole.access is command.access
    assert whole.repeat is command.repeat


def test_try_again_is_tried_again_after_a_pause() -> None:
    busy = from_reply("TRYAGAIN Multiple keys request during rehashing of slot")
    command = RENAME(b"{t}a", b"{t}b")
    journey = go(cluster(), command, answers=[busy, busy, b"OK"])
    assert journey.items == [b"OK"]
    assert len(journey.pauses) == 2
    assert 0 < journey.pauses[0] < journey.pauses[1]
    assert journey.looks == 0


def test_try_again_is_not_forgotten_because_another_command_needs_a_look() -> None:
    chart = cluster()
    busy = from_reply("TRYAGAIN Multiple keys request during rehashing of slot")
    gone = from_reply("CLUSTERDOWN Hash slot not served")
    owner = port_of(_owner(chart, b"{t}"))
    other = next(key for key in (ONE, TWO, THREE) if _port(chart, key) != owner)

    def answer(flight: Flight) -> list[Any]:
        asked.append(port_of(flight.node))
        if port_of(flight.node) == owner:
            return [b"OK" if asked.count(owner) > 1 else busy]
        return [gone]

    asked: list[int] = []
    commands = [RENAME(b"{t}a", b"{t}b"), SET(other, b"v")]
    journey = Journey(chart, commands, answer)
    assert journey.items[0] == b"OK"
    assert isinstance(journey.items[1], ClusterDown)


@pytest.mark.parametrize(
    ("command", "whole", "parts", "result"),
    [
        (MGET(b"{t}a", b"{t}b"), "MGET", [b"1", b"2"], [b"1", b"2"]),
        (MSET(b"{t}a", b"1", b"{t}b", b"2"), "MSET", [b"OK", b"OK"], b"OK"),
        (DEL(b"{t}a", b"{t}b"), "DEL", [1, 0], 1),
    ],
)
def test_keys_on_either_side_of_a_migration_are_asked_for_one_by_one(
    command: Command, whole: str, parts: list[Any], result: Any
) -> None:
    # Together they would be refused until the slot has moved.
    busy = from_reply("TRYAGAIN Multiple keys request during rehashing of slot")
    journey = go(cluster(), command, answers=[busy, *parts])
    assert journey.items == [result]
    names = [[each.name for each in flights[0].commands] for flights in journey.rounds]
    assert names[0] == [whole]
    assert len(names[1]) == 2


# -- refusals -------------------------------------------------------------------


def _promoting(chart: Chart) -> Any:
    """Return a look that finds the first replica promoted."""

    def look() -> None:
        shard = chart.shape.shards[0]
        new, *rest = shard.replicas
        chart.shape = Shape([Shard(new, [*rest, shard.primary])])

    return look


READONLY = from_reply("READONLY You can't write against a read only replica.")
MASTERDOWN = from_reply("MASTERDOWN Link with MASTER is down")
DEMOTED = NotPrimary("node:1/0 was the primary, and is a replica now")


@pytest.mark.parametrize(
    "refusal",
    [READONLY, MASTERDOWN, DEMOTED, Unreachable("refused"), Unavailable("lost")],
    ids=lambda error: type(error).__name__,
)
def test_a_write_that_was_refused_or_never_left_goes_to_who_leads_now(
    refusal: RedponyError,
) -> None:
    chart = replicated()
    journey = go(
        chart, SET(b"k", b"v"), answers=[refusal, b"OK"], look=_promoting(chart)
    )
    assert journey.items == [b"OK"]
    assert journey.trace == [[(1, ["SET"])], [(11, ["SET"])]]
    assert journey.looks == 1
    assert chart.nudges == 1


@pytest.mark.parametrize(
    "refusal",
    [READONLY, MASTERDOWN, DEMOTED, Unreachable("refused"), Unavailable("lost")],
    ids=lambda error: type(error).__name__,
)
def test_what_no_look_has_found_a_place_for_keeps_its_error(
    refusal: RedponyError,
) -> None:
    journey = go(replicated(), SET(b"k", b"v"), answers=[refusal])
    assert journey.items == [refusal]
    assert journey.looks == 1


@pytest.mark.parametrize(
    "failure",
    [
        Unavailable("lost", outcome="unknown"),
        DeadlineExceeded("late", outcome="unknown"),
        DeadlineExceeded("late", outcome="not_sent"),
        PoolExhausted("full", outcome="not_sent"),
        AuthenticationFailed("no", outcome="not_sent"),
        from_reply("LOADING Redis is loading the dataset in memory"),
        from_reply("OOM command not allowed"),
        from_reply("WRONGTYPE Operation against a key"),
    ],
    ids=lambda error: f"{type(error).__name__}-{error.outcome}",
)
def test_a_write_is_sent_once_when_more_could_be_too_much_or_no_use(
    failure: RedponyError,
) -> None:
    chart = replicated()
    journey = go(chart, INCR(b"n"), answers=[failure], look=_promoting(chart))
    assert journey.items == [failure]
    assert len(journey.rounds) == 1


def test_a_read_whose_answer_was_lost_goes_to_who_leads_now() -> None:
    chart = replicated()
    lost = Unavailable("lost", outcome="unknown")
    journey = go(chart, GET(b"k"), answers=[lost, b"v"], look=_promoting(chart))
    assert journey.items == [b"v"]


def test_nobody_waits_for_a_node_that_is_left_alone() -> None:
    chart = replicated()
    error = CircuitOpen("left alone")
    journey = go(chart, SET(b"k", b"v"), answers=[error], look=_promoting(chart))
    assert journey.items == [error]
    assert (journey.looks, journey.pauses, chart.nudges) == (0, [], 1)


def test_what_is_left_alone_is_left_for_who_leads_by_now() -> None:
    chart = replicated()

    def answer(flight: Flight) -> list[Any]:
        if port_of(flight.node) == 1:
            _promoting(chart)()
            return [CircuitOpen("left alone")]
        return [b"OK"]

    journey = Journey(chart, [SET(b"k", b"v")], answer)
    assert journey.items == [b"OK"]
    assert journey.looks == 0


def test_a_batch_repeats_only_what_was_refused() -> None:
    chart = cluster()
    lost = Unavailable("lost", outcome="unknown")
    journey = go(
        chart,
        *(INCR(key) for key in (ONE, TWO, THREE)),
        answers=[1, lost, moved(THREE, 1), 3],
    )
    assert journey.items == [1, lost, 3]
    assert [[port for port, _ in flights] for flights in journey.trace] == [
        [1, 2, 3],
        [1],
    ]


def test_a_slot_that_nobody_serves_is_named() -> None:
    gone = from_reply("CLUSTERDOWN Hash slot not served")
    journey = go(cluster(), SET(ONE, b"v"), answers=[gone])
    (error,) = journey.items
    assert isinstance(error, ClusterDown)
    assert error.outcome == "refused"
    assert f"slot {slot_of(ONE)}" in str(error)
    assert "CLUSTERDOWN Hash slot not served" in str(error)


# -- replicas -------------------------------------------------------------------


def test_reads_take_replicas_in_turn_and_writes_the_primary() -> None:
    chart = replicated()
    ports = [
        port
        for _ in range(4)
        for ((port, _),) in go(chart, GET(b"k"), answers=[b"v"], fresh=False).trace
    ]
    assert ports == [11, 12, 11, 12]
    written = go(chart, SET(b"k", b"v"), answers=[b"OK"], fresh=False)
    assert written.trace == [[(1, ["SET"])]]


def test_pages_come_from_the_primary() -> None:
    journey = go(replicated(), HSCAN(b"h", b"0"), answers=[[b"0", []]], fresh=False)
    assert journey.trace == [[(1, ["HSCAN"])]]


@pytest.mark.parametrize(
    "refusal",
    [
        from_reply("LOADING Redis is loading the dataset in memory"),
        from_reply("MASTERDOWN Link with MASTER is down"),
        from_reply("CLUSTERDOWN The cluster is down"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_replica_that_cannot_answer_is_left_out_for_a_while(
    refusal: RedponyError,
) -> None:
    chart = replicated()
    journey = go(chart, GET(b"k"), answers=[refusal, b"v"], fresh=False)
    assert journey.items == [b"v"]
    assert journey.trace == [[(11, ["GET"])], [(12, ["GET"])]]
    for _ in range(4):
        assert go(chart, GET(b"k"), answers=[b"v"], fresh=False).trace == [
            [(12, ["GET"])]
        ]


@pytest.mark.parametrize(
    "failure",
    [
        Unreachable("refused"),
        CircuitOpen("left alone"),
        DeadlineExceeded("late", outcome="unknown"),
        Unavailable("lost", outcome="unknown"),
        AuthenticationFailed("no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_no_replica_answers_the_primary_does(failure: RedponyError) -> None:
    journey = go(replicated(), GET(b"k"), answers=[failure, failure, b"v"], fresh=False)
    assert journey.items == [b"v"]
    assert [port for ((port, _),) in journey.trace] == [11, 12, 1]


def test_a_flight_to_a_replica_leaves_time_for_another_one() -> None:
    lost = Unavailable("lost", outcome="unknown")
    journey = go(replicated(1), GET(b"k"), answers=[lost, b"v"], fresh=False)
    assert [flights[0].spare for flights in journey.rounds] == [True, False]


def test_an_error_that_is_an_answer_is_not_asked_for_elsewhere() -> None:
    wrong = from_reply("WRONGTYPE Operation against a key")
    journey = go(replicated(), GET(b"k"), answers=[wrong], fresh=False)
    assert journey.items == [wrong]


# -- batches --------------------------------------------------------------------


def test_a_batch_leaves_in_one_flight_a_server_in_its_order() -> None:
    commands = [SET(ONE, b"1"), SET(TWO, b"1"), GET(ONE), GET(TWO), SET(ONE, b"2")]
    journey = go(cluster(), *commands, answers=[b"OK", b"1", b"OK", b"OK", b"1"])
    assert journey.items == [b"OK", b"OK", b"1", b"1", b"OK"]
    assert journey.trace == [[(1, ["SET", "GET", "SET"]), (2, ["SET", "GET"])]]


@pytest.mark.parametrize("how", [{"together": True}, {"atomic": True}])
def test_servers_that_are_one_have_no_slots_for_keys_to_differ_in(how: Any) -> None:
    commands = [SET(ONE, b"1"), SET(TWO, b"2"), RENAME(ONE, THREE)]
    journey = go(replicated(), *commands, answers=[b"OK"] * 3, **how)
    assert journey.items == [b"OK"] * 3
    assert journey.trace == [[(1, ["SET", "SET", "RENAME"])]]


@pytest.mark.parametrize("how", [{"together": True}, {"atomic": True}])
def test_what_must_run_together_and_cannot_is_not_sent(how: Any) -> None:
    journey = go(cluster(), SET(ONE, b"1"), SET(TWO, b"2"), **how)
    assert [type(each) for each in journey.items] == [CrossSlot] * 2
    assert journey.rounds == []


@pytest.mark.parametrize("how", [{"together": True}, {"atomic": True}])
def test_what_runs_together_stays_whole_on_its_way(how: Any) -> None:
    key = b"{t}"
    chart = cluster()
    owner = _port(chart, key)
    other = owner % 3 + 1
    commands = [SET(b"{t}a", b"1"), PING(), GET(b"{t}a")]
    journey = go(
        chart,
        *commands,
        answers=[moved(key, other)] * 3 + [b"OK", b"PONG", b"1"],
        **how,
    )
    assert journey.items == [b"OK", b"PONG", b"1"]
    assert journey.trace == [
        [(owner, ["SET", "PING", "GET"])],
        [(other, ["SET", "PING", "GET"])],
    ]
    assert [each[0].atomic for each in journey.rounds] == ["atomic" in how] * 2


def test_transactions_do_not_share_a_flight() -> None:
    commands = [INCR(b"{t}a"), INCR(b"{t}b")]
    journey = go(cluster(), *commands, answers=[1, 1], atomic=True)
    assert len(journey.rounds[0]) == 1
    assert journey.rounds[0][0].atomic is True


def test_asking_stands_before_each_command_that_runs_together() -> None:
    # It holds for one command: the second would be sent back.
    key = b"{t}"
    chart = cluster()
    other = _port(chart, key) % 3 + 1
    commands = [SET(b"{t}a", b"1"), GET(b"{t}a")]
    journey = go(
        chart,
        *commands,
        answers=[ask(key, other), ask(key, other), b"OK", b"OK", b"OK", b"1"],
        together=True,
    )
    assert journey.items == [b"OK", b"1"]
    assert journey.trace[1] == [(other, ["ASKING", "SET", "ASKING", "GET"])]


def test_asking_stands_once_before_a_transaction() -> None:
    # In a transaction it holds until EXEC.
    key = b"{t}"
    chart = cluster()
    other = _port(chart, key) % 3 + 1
    commands = [SET(b"{t}a", b"1"), GET(b"{t}a")]
    journey = go(
        chart,
        *commands,
        answers=[ask(key, other), ask(key, other), b"OK", b"OK", b"1"],
        atomic=True,
    )
    assert journey.items == [b"OK", b"1"]
    assert journey.trace[1] == [(other, ["ASKING", "SET", "GET"])]


def test_what_runs_together_is_not_sent_again_after_a_part_was_applied() -> None:
    commands = [INCR(b"{t}a"), INCR(b"{t}b")]
    lost = Unavailable("lost", outcome="unknown")
    gone = moved(b"{t}", 2)
    for replies in ([1, gone], [gone, 1], [lost, lost], [gone, lost]):
        journey = go(cluster(), *commands, answers=replies, together=True)
        assert len(journey.rounds) == 1
        for item, reply in zip(journey.items, replies, strict=True):
            if reply is gone:
                assert (type(item), item.outcome) == (TryAgain, "refused")
            else:
                assert item is reply


def test_reads_that_run_together_are_sent_again() -> None:
    lost = Unavailable("lost", outcome="unknown")
    commands = [GET(b"a"), GET(b"b")]
    journey = go(
        replicated(),
        *commands,
        answers=[lost, lost, b"1", b"2"],
        together=True,
        fresh=False,
    )
    assert journey.items == [b"1", b"2"]


# -- commands without a key -----------------------------------------------------


def test_what_concerns_all_primaries_goes_to_all() -> None:
    journey = go(cluster(replicas=1), DBSIZE(), answers=[1, 2, 3], fresh=False)
    assert journey.items == [6]
    assert [port for port, _ in journey.trace[0]] == [1, 2, 3]
    flushed = go(cluster(), FLUSHDB(), answers=[b"OK"] * 3)
    assert flushed.items == [b"OK"]


def test_what_all_primaries_should_have_done_says_so_when_one_has_not() -> None:
    gone = Unreachable("refused")
    journey = go(cluster(), FLUSHDB(), answers=[b"OK", gone, b"OK"])
    (error,) = journey.items
    assert isinstance(error, Unreachable)
    assert error.outcome == "unknown"
    assert error.partial == [b"OK", gone, b"OK"]


def test_what_any_node_can_answer_takes_one_that_is_not_left_alone() -> None:
    chart = cluster()
    for _ in range(3):
        chart.shape.primaries[0].breaker.failed(OSError())
    journey = go(chart, PING(), answers=[b"PONG"])
    assert journey.trace == [[(2, ["PING"])]]


def test_keys_in_several_slots_that_cannot_be_cut_are_refused_unsent() -> None:
    commands = [GET(ONE), SINTER(ONE, TWO), BLPOP(ONE, TWO, b"0")]
    journey = go(cluster(), *commands, answers=[b"v"])
    assert journey.items[0] == b"v"
    assert [type(each) for each in journey.items[1:]] == [CrossSlot] * 2
    assert journey.trace == [[(1, ["GET"])]]


def test_no_commands_take_no_flight() -> None:
    journey = go(cluster())
    assert (journey.items, journey.rounds) == ([], [])


# -- errors that tell -------------------------------------------------------------


def test_a_part_that_was_refused_leaves_the_whole_in_doubt() -> None:
    # Other keys may have been written: "refused" would say that nothing was.
    full = from_reply("OOM command not allowed")
    journey = go(cluster(), MSET(ONE, b"1", TWO, b"2"), answers=[b"OK", full])
    (error,) = journey.items
    assert type(error) is type(full)
    assert error.outcome == "unknown"
    assert full.outcome == "refused"


def test_what_was_refused_everywhere_was_refused() -> None:
    full = from_reply("OOM command not allowed")
    journey = go(cluster(), MSET(ONE, b"1", TWO, b"2"), answers=[full, full])
    assert journey.items[0].outcome == "refused"


def test_what_was_refused_here_and_lost_there_is_in_doubt() -> None:
    full = from_reply("OOM command not allowed")
    lost = Unavailable("lost", outcome="unknown")
    journey = go(cluster(), MSET(ONE, b"1", TWO, b"2"), answers=[full, lost])
    assert journey.items[0].outcome == "unknown"


def _owner(chart: Chart, key: bytes) -> Any:
    assert chart.shape.table is not None
    shard = chart.shape.table[slot_of(key)]
    assert shard is not None
    return shard.primary


def _port(chart: Chart, key: bytes) -> int:
    return port_of(_owner(chart, key))
