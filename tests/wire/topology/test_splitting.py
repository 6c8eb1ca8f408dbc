"""One command cut in many, and many answers made one again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redpony.commands import (
    DBSIZE,
    DEL,
    EXISTS,
    GET,
    MGET,
    MSET,
    MSETEX,
    RENAME,
    SET,
    SINTER,
    UNLINK,
    Command,
    Lane,
    Script,
    call,
)
from redpony.errors import (
    CircuitOpen,
    CrossSlot,
    DeadlineExceeded,
    OutOfMemory,
    ServerError,
    Unavailable,
    WrongType,
    from_reply,
)
from redpony.wire.replies import Garbled
from redpony.wire.topology.slots import slot_of
from redpony.wire.topology.splitting import (
    in_one_slot,
    incomplete,
    merged,
    parts_of,
    slot_for,
)

WRONGTYPE = from_reply("WRONGTYPE Operation against a key")
OOM = from_reply("OOM command not allowed")
LOST = Unavailable("lost", outcome="unknown")
UNSENT = Unavailable("refused", outcome="not_sent")


def words(command: Command) -> list[list[Any]] | None:
    parts = parts_of(command)
    return None if parts is None else [list(part.words()) for part in parts]


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        (MGET(b"a", "b"), [[b"GET", b"a"], [b"GET", "b"]]),
        (DEL(b"a", b"b"), [[b"DEL", b"a"], [b"DEL", b"b"]]),
        (UNLINK(b"a", b"b"), [[b"UNLINK", b"a"], [b"UNLINK", b"b"]]),
        (EXISTS(b"a", b"a"), [[b"EXISTS", b"a"], [b"EXISTS", b"a"]]),
        (
            MSET(b"a", b"1", b"b", b"2"),
            [[b"SET", b"a", b"1"], [b"SET", b"b", b"2"]],
        ),
        (
            MSETEX(b"2", b"a", b"1", b"b", b"2", b"PX", b"99"),
            [
                [b"SET", b"a", b"1", b"PX", b"99"],
                [b"SET", b"b", b"2", b"PX", b"99"],
            ],
        ),
        (RENAME(b"a", b"b"), None),
        (SINTER(b"a", b"b"), None),
        (GET(b"a"), None),
        (DBSIZE(), None),
        (call(Script("s", ""), (b"a", b"b")), None),
    ],
)
def test_what_can_be_cut_is_cut_by_keys(command: Command, parts: Any) -> None:
    assert words(command) == parts


def test_parts_have_the_time_and_the_lane_of_the_whole() -> None:
    parts = parts_of(MGET.of((b"a", b"b"), timeout=3.0, lane=Lane.BULK))
    assert parts is not None
    assert [part.timeout for part in parts] == [3.0, 3.0]
    assert [part.lane for part in parts] == [Lane.BULK] * 2


keys = st.lists(st.binary(max_size=8), min_size=1, max_size=8)


@given(keys)
def test_a_slot_is_common_to_all_keys_or_refused(found: list[bytes]) -> None:
    slots = set(map(slot_of, found))
    command = SINTER(*found)
    assert in_one_slot(command) is (len(slots) == 1)
    if len(slots) == 1:
        assert slot_for(command) == slots.pop()
    else:
        with pytest.raises(CrossSlot, match="hash tag"):
            slot_for(command)


def test_only_keys_count() -> None:
    assert slot_for(SET(b"a", b"b")) == slot_of(b"a")
    assert slot_for(MSET(b"{t}a", b"x", b"{t}b", b"y")) == slot_of(b"{t}")
    assert slot_for(MSETEX(b"2", b"{t}a", b"x", b"{t}b", b"y", b"PX", b"1")) == slot_of(
        b"t"
    )
    assert slot_for(call(Script("s", ""), (b"{t}a",), (b"b", b"c"))) == slot_of(b"t")
    assert slot_for(call(Script("s", ""), (), (b"b",))) is None
    assert slot_for(DBSIZE()) is None


@pytest.mark.parametrize(
    ("command", "replies", "answer"),
    [
        (MGET(b"a", b"b", b"c"), [b"1", None, WRONGTYPE], [b"1", None, None]),
        (DEL(b"a", b"b", b"c"), [1, 0, 1], 2),
        (UNLINK(b"a", b"b"), [0, 0], 0),
        (EXISTS(b"a", b"a"), [1, 1], 2),
        (DBSIZE(), [1, 2, 3], 6),
        (MSET(b"a", b"1", b"b", b"2"), [b"OK", b"OK"], b"OK"),
        (MSETEX(b"2", b"a", b"1", b"b", b"2", b"PX", b"9"), [b"OK", b"OK"], 1),
    ],
)
def test_answers_are_what_one_server_would_answer(
    command: Command, replies: list[Any], answer: Any
) -> None:
    assert merged(command, replies) == answer
    if command.kind.reply:
        assert type(answer) in command.kind.reply


MSET2 = MSET(b"a", b"1", b"b", b"2")
DEL2 = DEL(b"a", b"b")
MGET2 = MGET(b"a", b"b")


@pytest.mark.parametrize(
    ("command", "replies", "kind", "outcome"),
    [
        # Nothing happened; something did; nobody knows.
        (MSET2, [UNSENT, UNSENT], Unavailable, "not_sent"),
        (MSET2, [OOM, OOM], OutOfMemory, "refused"),
        (MSET2, [b"OK", UNSENT], Unavailable, "unknown"),
        (MSET2, [b"OK", OOM], OutOfMemory, "unknown"),
        (MSET2, [OOM, LOST], OutOfMemory, "unknown"),
        (MSET2, [UNSENT, LOST], Unavailable, "unknown"),
        (DEL2, [1, UNSENT], Unavailable, "unknown"),
        (DEL2, [LOST, LOST], Unavailable, "unknown"),
        # A read changes nothing.
        (MGET2, [b"1", UNSENT], Unavailable, "not_sent"),
        (MGET2, [b"1", LOST], Unavailable, "unknown"),
        (MGET2, [WRONGTYPE, OOM], OutOfMemory, "refused"),
        (MGET2, [UNSENT, CircuitOpen("open")], Unavailable, "not_sent"),
    ],
)
def test_a_part_without_an_answer_makes_an_error_that_says_what_is_known(
    command: Command, replies: list[Any], kind: type, outcome: str
) -> None:
    error = merged(command, replies)
    assert type(error) is kind
    assert error.outcome == outcome
    if isinstance(error, Unavailable):
        assert error.partial == replies
    failed = sum(
        isinstance(each, Exception) and each is not WRONGTYPE for each in replies
    )
    assert f"({failed} of 2 parts of {command.name})" in str(error)
    assert error.__cause__ in replies


def test_the_error_of_a_part_stays_what_it_was() -> None:
    before = str(OOM)
    assert merged(MSET2, [b"OK", OOM]) is not OOM
    assert (str(OOM), OOM.outcome) == (before, "refused")


@pytest.mark.parametrize(
    "failure",
    [
        Garbled("no protocol"),
        DeadlineExceeded("late", outcome="unknown"),
        from_reply("MOVED 1 node:2"),
        from_reply("NOPERM no"),
        ServerError("ERR what"),
        WrongType("WRONGTYPE a list"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_error_can_be_a_parts(failure: Any) -> None:
    error = incomplete(DEL2, [1, failure], [failure])
    assert type(error) is type(failure)
    assert str(failure) in str(error)
    assert vars(error).keys() >= vars(failure).keys()
