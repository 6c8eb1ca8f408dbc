"""`REDPONY`: where locks live that are not told otherwise, and what it says if it errs."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest
from django.conf import settings
from django.test import override_settings

from redpony.checks import check_settings
from redpony.conf import LockSettings, Misconfigured, lock_settings
from redpony.locks import (
    Barrier,
    Event,
    Latch,
    Leader,
    Lock,
    ReadWriteLock,
    Semaphore,
)
from redpony.locks.directory import Directory
from redpony.locks.memory import Memory
from tests.management.aliases import LOCMEM, ours

CACHES = {
    "default": ours("redis://127.0.0.1"),
    "locks": ours("redis://127.0.0.1/1", KEY_PREFIX="locks"),
    "memory": LOCMEM,
}


@pytest.fixture(autouse=True)
def caches():
    with override_settings(CACHES=CACHES):
        yield


def test_nothing_need_be_said():
    assert lock_settings() == LockSettings(alias="default", lease=30.0)
    assert Lock("job").alias.name == "default"
    assert Lock("job").lease == 30


@pytest.mark.parametrize("given", [{}, {"LOCKS": {}}, {"LOCKS": None}])
def test_what_is_left_out_is_as_it_was(given):
    with override_settings(REDPONY=given):
        assert lock_settings() == LockSettings()


def test_all_locks_go_by_it():
    with override_settings(REDPONY={"LOCKS": {"ALIAS": "locks", "LEASE": 10}}):
        made = [
            Lock("job"),
            Semaphore("job", 2),
            ReadWriteLock("job").read,
            ReadWriteLock("job").write,
        ]
        assert [each.alias.name for each in made] == ["locks"] * 4
        assert [each.lease for each in made] == [10] * 4
        assert Lock("job").key == "redpony{locks:job}:lock"
        others = [
            Directory(),
            Leader("job"),
            Latch("job", 1),
            Event("job"),
            Barrier("job", 1),
            Memory("job", ttl=1, at_most_once=False, using=None),
        ]
        assert [each.alias.name for each in others] == ["locks"] * 6


def test_who_says_otherwise_is_heard():
    with override_settings(REDPONY={"LOCKS": {"ALIAS": "locks", "LEASE": 10}}):
        lock = Lock("job", using="default", lease=5)
        assert (lock.alias.name, lock.lease) == ("default", 5)
        assert Semaphore("job", 2, using=lock.alias).alias is lock.alias
        assert Directory("default").alias.name == "default"


def test_a_cache_keeps_its_locks():
    from django.core.cache import caches

    with override_settings(REDPONY={"LOCKS": {"ALIAS": "locks", "LEASE": 10}}):
        lock = caches["default"].lock("job")
        assert (lock.alias.name, lock.lease) == ("default", 10)


def test_a_change_in_place_is_seen():
    given = {"LOCKS": {"ALIAS": "locks"}}
    with override_settings(REDPONY=given):
        assert lock_settings().alias == "locks"
        given["LOCKS"]["ALIAS"] = "default"
        assert lock_settings().alias == "default"


def test_it_is_read_once():
    with override_settings(REDPONY={"LOCKS": {"ALIAS": "locks"}}):
        assert lock_settings() is lock_settings()


BAD = [
    (
        ["LOCKS"],
        "redpony.E005",
        (
            'REDPONY: takes a dict such as {"LOCKS": {"ALIAS": "default"}}. It is of the '
            "type list."
        ),
    ),
    (
        {"LOKS": {}},
        "redpony.E002",
        (
            'REDPONY["LOKS"]: there is no such setting. Did you mean "LOCKS"? Known are '
            "LOCKS, LIMITS, QUERIES, REALTIME, SESSIONS, STREAMS, TASKS."
        ),
    ),
    (
        {"LOCKS": "default"},
        "redpony.E005",
        (
            'REDPONY["LOCKS"]: takes a dict such as {"ALIAS": "default"}. It is '
            "'default'."
        ),
    ),
    (
        {"LOCKS": {"ALLIAS": "locks"}},
        "redpony.E002",
        (
            'REDPONY["LOCKS"]["ALLIAS"]: there is no such setting. Did you mean "ALIAS"? '
            "Known are ALIAS, LEASE, LOCKDEP."
        ),
    ),
    (
        {"LOCKS": {"ALIAS": "lokcs"}},
        "redpony.E002",
        (
            'REDPONY["LOCKS"]["ALIAS"]: CACHES has no alias "lokcs". Did you mean "locks"? '
            'Name one that it has, or leave this out for "default".'
        ),
    ),
    (
        {"LOCKS": {"ALIAS": 1}},
        "redpony.E005",
        (
            'REDPONY["LOCKS"]["ALIAS"]: takes the name of an alias of CACHES, such as '
            '"default". It is 1.'
        ),
    ),
    (
        {"LOCKS": {"ALIAS": "memory"}},
        "redpony.E006",
        (
            'REDPONY["LOCKS"]["ALIAS"]: CACHES["memory"] is not in Redis, and locks live '
            "there. Name an alias that is, such as one with redpony.cache.RedisCache."
        ),
    ),
    (
        {"LOCKS": {"LEASE": 0}},
        "redpony.E005",
        (
            'REDPONY["LOCKS"]["LEASE"]: takes a number of seconds, more than 0, such as 30. '
            "It is 0."
        ),
    ),
]


@pytest.mark.parametrize(("given", "id", "text"), BAD)
def test_what_cannot_be_used_is_said_by_the_check_and_by_the_first_use(given, id, text):
    with override_settings(REDPONY=given):
        assert [(each.id, each.msg) for each in check_settings()] == [(id, text)]
        with pytest.raises(Misconfigured) as caught:
            Lock("job")
    assert str(caught.value) == text


def test_everything_is_said_at_once():
    with override_settings(REDPONY={"LOCKS": {"ALIAS": "no", "LEASE": "long", "X": 1}}):
        assert [each.id for each in check_settings()] == [
            "redpony.E002",
            "redpony.E002",
            "redpony.E005",
        ]


def test_an_alias_that_goes_away_is_missed():
    with override_settings(REDPONY={"LOCKS": {"ALIAS": "locks"}}):
        assert lock_settings().alias == "locks"
        with (
            override_settings(CACHES={"default": settings.CACHES["default"]}),
            pytest.raises(Misconfigured, match='no alias "locks"'),
        ):
            lock_settings()


@pytest.mark.parametrize(
    ("caches", "expected"),
    [
        ({"default": ours("redis://h", OPTIONS={"CLEAR": "flushdb"})}, ["default"]),
        (
            {
                "default": ours("redis://h", KEY_PREFIX="a"),
                "other": ours(
                    "redis://h", KEY_PREFIX="b", OPTIONS={"CLEAR": "flushdb"}
                ),
            },
            ["other"],
        ),
        (
            {
                "default": ours("redis://h"),
                "other": ours("redis://h/1", OPTIONS={"CLEAR": "flushdb"}),
            },
            [],
        ),
    ],
)
def test_who_empties_the_database_of_locks_is_named(caches, expected):
    def found():
        return [
            each.msg.partition('"')[2].partition('"')[0]
            for each in check_settings()
            if each.id == "redpony.W015"
        ]

    with override_settings(CACHES=caches):
        assert found() == []
        with override_settings(REDPONY={"LOCKS": {}}):
            assert found() == expected


PAGE = Path(__file__).parents[2] / "docs" / "reference" / "locks.md"
ROW = re.compile(r"^\| `REDPONY = (.+?)` \| `(.+)` \|$", re.MULTILINE)


def test_the_page_says_what_the_errors_say():
    rows = ROW.findall(PAGE.read_text())
    assert len(rows) == 5
    for given, said in rows:
        with (
            override_settings(REDPONY=ast.literal_eval(given)),
            pytest.raises(Misconfigured) as caught,
        ):
            lock_settings()
        assert str(caught.value).startswith(said)


def test_the_page_has_every_setting():
    told = re.findall(r"^\| `([A-Z]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert told == [each.name.upper() for each in fields(LockSettings)]
