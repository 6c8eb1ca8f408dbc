"""The checker of histories sees each promise that is broken, and nothing else.

A short and lawful history is told with one thing wrong at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.locks.history import History, read
from tests.locks.invariants import CHECKS, crowds, violations
from tests.locks.mutants import MUTANTS, ROOT, Mutant
from tests.locks.register import Entry, Register, Writer
from tests.locks.spans import union, without

LAWFUL = """\
1.00 7 want a t0 ever
1.01 7 enter a t0 100 1
1.02 7 write a t0 100 accepted-sure
1.05 8 want a t0 ever
1.06 8 want r t1 ever
1.07 8 enter r t1 300 1
1.08 9 want r c0 ever
1.09 9 enter r c0 301 1
1.10 7 sure a t0 100
1.11 7 leave a t0 100
1.12 8 enter a t0 101 1
1.13 8 sure a t0 101
1.14 8 sure r t1 300
1.15 8 leave r t1 300
1.16 9 sure r c0 301
1.17 9 leave r c0 301
1.18 8 leave a t0 101
1.20 8 want r t0 ever
1.21 8 enter r t0 302 1000000
1.22 8 sure r t0 302
1.23 8 leave r t0 302
1.30 7 want s t0 ever
1.31 7 enter s t0 400 1
1.32 7 sure s t0 400
1.33 7 leave s t0 400
1.34 7 want s t0 0.5
1.35 7 enter s t0 401 2
1.36 7 quit s t0 cancelled
1.40 7 want s t0 ever
1.41 7 enter s t0 402 3
1.42 7 sure s t0 402
1.43 7 leave s t0 402
1.50 7 want b t0 ever
1.51 7 enter b t0 500 1
1.60 7 lost b t0 500 1.59
1.61 7 quit b t0 LockLost
"""


def told(path: Path, text: str = LAWFUL, **known: object) -> History:
    diary = path / "diary"
    diary.write_text(text)
    history = read(diary)
    history.calm = (1.0, 60.0)
    history.entries = [Entry("a", 100, "7-t0", True), Entry("a", 101, "8-t0", True)]
    for name, value in known.items():
        setattr(history, name, value)
    return history


def also(*lines: str) -> str:
    return LAWFUL + "".join(f"{line}\n" for line in lines)


def test_a_lawful_history_is_found_to_be_one(tmp_path: Path) -> None:
    assert violations(told(tmp_path)) == {}


BROKEN: dict[str, tuple[str, str]] = {
    "two have a lock": (
        "I1",
        also("2.0 7 enter a t0 110 1", "2.1 8 enter a t1 111 1", "2.2 7 sure a t0 110"),
    ),
    "a writer beside a reader": (
        "I1",
        also(
            "2.0 7 enter r t0 310 1",
            "2.1 8 enter r t1 311 1000000",
            "2.2 7 sure r t0 310",
        ),
    ),
    "four places of three": (
        "I1",
        also("2.0 7 enter s t0 410 2", "2.1 8 enter s t1 411 2", "2.2 7 sure s t0 410"),
    ),
    "a fence that shrinks": ("I2", also("2.0 7 enter a t0 99 1")),
    "a writer's fence that shrinks": ("I2", also("2.0 7 enter r t0 299 1000000")),
    "a fence that is given twice": ("I2", also("2.0 7 enter b t0 500 1")),
    "the server knows nothing of it": (
        "I3",
        also("2.0 7 enter a t0 110 1", "2.1 7 stray a t0 110"),
    ),
    "free for a second": (
        "I4",
        also("2.0 7 want a t0 ever", "3.0 7 enter a t0 110 1"),
    ),
    "free for a minute": (
        "I5",
        also("70.0 7 want a t0 ever", "130.0 7 enter a t0 110 1"),
    ),
    "one is passed by": (
        "I6",
        also(
            "2.0 7 want b t0 ever",
            "2.0 8 enter b t0 510 1",
            "3.0 9 want b t0 ever",
            "4.0 8 leave b t0 510",
            "4.0 9 enter b t0 511 1",
            "5.0 9 leave b t0 511",
            "5.0 7 enter b t0 512 1",
        ),
    ),
    "put out by leaving the inner one": ("I12", also("2.0 7 torn a t0 110")),
    "a stranger gives it back": ("I13", also("2.0 7 stolen a t0 0")),
    "told too late": ("I14", also("9.0 7 lost a t0 110 2.0")),
    "a holder is refused": (
        "refusal",
        also("2.0 7 enter a t0 110 1", "2.1 7 write a t0 110 refused-sure"),
    ),
    "no writer ever": ("both sides", LAWFUL.replace(" 1000000", " 1")),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_seen(tmp_path: Path, what: str) -> None:
    check, text = BROKEN[what]
    assert set(violations(told(tmp_path, text))) == {check}


def test_what_is_seen_on_the_server_counts(tmp_path: Path) -> None:
    for which in ("I1", "I9", "errors"):
        found = told(tmp_path, findings=[(which, "so it was")])
        assert set(violations(found)) == {which}
    assert set(violations(told(tmp_path, left={b"redpony{:a}:lock-line:queue"}))) == {
        "I9"
    }
    assert set(violations(told(tmp_path, streaks={"a": 2.0}))) == {"I4"}


@pytest.mark.parametrize(
    "entries",
    [
        [Entry("a", 101, "8-t0", True), Entry("a", 100, "7-t0", True)],
        [Entry("a", 101, "8-t0", True), Entry("a", 101, "7-t0", True)],
    ],
)
def test_late_writes_are_seen(tmp_path: Path, entries: list[Entry]) -> None:
    assert set(violations(told(tmp_path, entries=entries))) == {"fence"}


@pytest.mark.parametrize(
    ("what", "known"),
    [
        ("two have a lock", {"losses": [(2.05, 2.05)]}),
        ("the server knows nothing of it", {"losses": [(2.05, 2.05)]}),
        ("a holder is refused", {"losses": [(2.05, 2.05)]}),
        ("free for a second", {"outages": [(2.0, 3.0)]}),
        ("free for a second", {"stops": [("7", (1.9, 2.9))]}),
        ("free for a minute", {"delays": [(100.0, 60.0)]}),
        ("told too late", {"stops": [("7", (1.9, 9.0))]}),
    ],
)
def test_what_is_no_fault_of_ours_is_not_held_against_us(
    tmp_path: Path, what: str, known: dict[str, object]
) -> None:
    """A server that forgot, one that was away, a process that was stopped."""
    assert violations(told(tmp_path, BROKEN[what][1], **known)) == {}


def test_what_a_server_forgot_excuses_no_fence(tmp_path: Path) -> None:
    _, text = BROKEN["a fence that shrinks"]
    history = told(tmp_path, text, losses=[(0, 100)])
    assert set(violations(history)) == {"I2"}


@pytest.mark.parametrize(("asked", "broken"), [("2.1", set()), ("2.25", {"I2"})])
def test_who_was_granted_first_is_not_known_of_two_whom_a_server_let_in(
    tmp_path: Path, asked: str, broken: set[str]
) -> None:
    """Unless one of them had not even asked when the other one was in."""
    text = also(
        "2.0 8 want r t1 ever",
        f"{asked} 7 want r t0 ever",
        "2.2 8 enter r t1 311 1000000",
        "2.3 7 enter r t0 310 1",
        "2.4 7 leave r t0 310",
        "2.5 8 sure r t1 311",
        "2.6 8 leave r t1 311",
    )
    history = told(tmp_path, text, losses=[(2.15, 2.25)])
    assert set(violations(history)) == broken


def test_the_dead_want_nothing(tmp_path: Path) -> None:
    text = also(
        "2.0 7 want a t0 ever", "30.0 8 want a t0 ever", "30.1 8 enter a t0 110 1"
    )
    assert violations(told(tmp_path, text, deaths={"7": 2.1})) == {}


def test_every_check_is_seen_to_complain() -> None:
    seen = {check for check, _ in BROKEN.values()} | {"I9", "fence", "errors"}
    assert seen == set(CHECKS)
    assert all(check.__doc__ for check in CHECKS.values())


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: str(mutant.what))
def test_what_the_soak_breaks_is_still_there_to_be_broken(mutant: Mutant) -> None:
    text = (ROOT / "src" / "redpony" / mutant.file).read_text("utf-8")
    assert text.count(mutant.old) == 1


def test_who_has_left_is_in_nobodys_way(tmp_path: Path) -> None:
    assert crowds(told(tmp_path)) == []


def test_the_register_refuses_what_is_late(tmp_path: Path) -> None:
    with Register(tmp_path / "register") as register:
        one, two = (Writer(str(register.path)) for _ in "12")
        assert one.write("a", 1, "one")
        assert two.write("a", 2, "two")
        assert not one.write("a", 1, "one")
        assert two.write("a", 2, "two")
        assert one.write("b", 1, "one")
        for each in (one, two):
            each.close()
    assert register.counts == {"accepted": 4, "refused": 1}


def test_spans() -> None:
    found = union([(3, 4), (1, 2), (1.5, 2.5), (5, 5)])
    assert found == [(1, 2.5), (3, 4)]
    check: Callable[..., object] = without
    assert check([(0, 10)], found) == [(0, 1), (2.5, 3), (4, 10)]
    assert check([(1.2, 1.3), (2, 3.5)], found) == [(2.5, 3)]
    assert check(found, [(0, 10)]) == []
    assert check(found, []) == found
