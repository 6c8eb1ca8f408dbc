"""F38: what is stored under our keys is not what we stored."""

from __future__ import annotations

import json
import os
import pickle
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from redpony import events
from redpony.commands import GET, HSET, LPUSH, SADD, SET, ZADD, Command
from redpony.errors import RedponyError, Tampered, Unreadable, WrongType
from tests.codec import bombs
from tests.codec.making import LIBRARY_COMPRESSORS
from tests.wire.links import one

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")

PATIENT = {"DEADLINE": 30, "CONNECT_TIMEOUT": 30}
VALUE = {"name": "Ada", "number": 12345}
ROOT = Path(__file__).parents[2]


class Poisoned:
    """A cache, and whoever writes what he likes below it."""

    def __init__(self, caller) -> None:
        self.caller = caller
        self.cache = caller.cache
        self.alias = self.cache.alias.name
        self.refused: list[events.Refused] = []

    def full(self, key: str) -> str:
        return self.cache.make_key(key)

    def do(self, command: Command):
        return self.cache.alias.link.run(one(command))

    def stored(self, key: str) -> bytes:
        return self.do(GET(self.full(key)))

    def plant(self, key: str, data: bytes) -> None:
        self.do(SET(self.full(key), data))

    def is_missed(self, key: str, data: bytes) -> None:
        """Plant something; every way of reading it must miss, and tell."""
        self.plant(key, data)
        before = len(self.refused)
        assert self.caller.get(key, "missed") == "missed"
        assert self.caller.get_many([key, "good"]) == {"good": VALUE}
        assert len(self.refused) == before + 2
        assert {each.alias for each in self.refused[before:]} == {self.alias}


@pytest.fixture
def poisoned(place, caller, record):
    made: list[Poisoned] = []
    ends = []

    def make(**options) -> Poisoned:
        found = Poisoned(caller(place.cache(**{**PATIENT, **options})))
        ends.append(events.subscribe(found.refused.append, events.Refused))
        found.caller.set("good", VALUE, None)
        made.append(found)
        return found

    yield make
    for end in ends:
        end()
    record(wrong=0, duplicates=0, refused=sum(len(each.refused) for each in made))


# -- values ------------------------------------------------------------------


@pytest.mark.topologies("single")
def test_every_flipped_bit_is_a_miss(poisoned):
    run = poisoned()
    run.caller.set("key", VALUE, None)
    whole = run.stored("key")
    for place in range(len(whole)):
        bent = bytearray(whole)
        bent[place] ^= 1 << place % 8
        run.is_missed("key", bytes(bent))
    run.plant("key", whole)
    assert run.caller.get("key") == VALUE


@pytest.mark.topologies("single")
def test_a_value_cut_short_anywhere_is_a_miss(poisoned):
    run = poisoned()
    run.caller.set("key", VALUE, None)
    whole = run.stored("key")
    for length in range(len(whole)):
        run.is_missed("key", whole[:length])
    run.is_missed("key", whole + b"\0")


def test_a_value_of_another_key_is_a_miss_and_told_as_tampering(poisoned):
    run = poisoned()
    run.caller.set("alice", {"admin": True}, None)
    run.is_missed("mallory", run.stored("alice"))
    assert {each.reason for each in run.refused} == {"tampered"}
    assert "mallory" not in repr(run.refused)


def test_a_value_of_another_secret_is_a_miss(poisoned, place):
    theirs = poisoned(SEAL_KEYS=["another secret, long enough"])
    run = poisoned()
    theirs.caller.set("key", VALUE, None)
    data = theirs.stored("key")
    run.is_missed("key", data)
    assert run.refused[-1].reason == "unknown key"


HEADS = {
    "nothing": b"",
    "an unknown version": b"\xffRP\x09" + bytes(40),
    "zeros": bytes(100),
    "a pickle": pickle.dumps(VALUE),
    "a pickle that executes": b"cos\nsystem\n(S'touch executed'\ntR.",
    "json": json.dumps(VALUE).encode(),
    "text": "héllo".encode(),
    "an integer with a sign": b"+5",
    "an integer with spaces": b" 12 ",
    "an integer with underscores": b"1_000",
    "too large an integer": b"9" * 5000,
    "a float": b"1.5",
    "a megabyte": b"x" * 1_000_000,
}


@pytest.mark.topologies("single")
@pytest.mark.parametrize("name", HEADS)
def test_what_others_wrote_is_a_miss(poisoned, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = poisoned()
    run.is_missed("key", HEADS[name])
    assert not (tmp_path / "executed").exists()
    # And it is written over as if nothing had been there.
    assert run.caller.get_or_set("key", "made") == "made"
    assert run.caller.set("key", VALUE)
    assert run.caller.get("key") == VALUE


@pytest.mark.topologies("single")
def test_a_thousand_random_mutations_are_misses(poisoned):
    run = poisoned()
    rng = random.Random(38)
    run.caller.set("key", [VALUE] * 5, None)
    whole = run.stored("key")
    for _ in range(1000):
        bent = bytearray(whole)
        for _ in range(rng.randrange(1, 5)):
            where = rng.randrange(len(bent))
            how = rng.randrange(3)
            if how == 0:
                bent[where] = (bent[where] + rng.randrange(1, 256)) % 256
            elif how == 1:
                del bent[where : where + rng.randrange(1, 9)]
            else:
                bent[where:where] = rng.randbytes(rng.randrange(1, 9))
            if not bent:
                bent += b"\0"
        if bytes(bent) != whole:
            run.plant("key", bytes(bent))
            assert run.caller.get("key", "missed") == "missed"


@pytest.mark.topologies("single")
@pytest.mark.parametrize("format", ["django_redis", "django"])
def test_garbage_in_the_formats_of_others_is_a_miss(poisoned, format):
    run = poisoned(FORMAT=format, READ_FORMATS=[format])
    rng = random.Random(format)
    run.caller.set("key", VALUE, None)
    whole = run.stored("key")
    for length in range(1, len(whole)):
        run.is_missed("key", whole[:length])
    for _ in range(300):
        run.plant("key", b"\x80\x04" + rng.randbytes(rng.randrange(40)))
        assert run.caller.get("key", "missed") == "missed"


@pytest.mark.topologies("single")
def test_a_value_that_is_larger_than_allowed_is_a_miss(poisoned):
    run = poisoned(MAX_VALUE_BYTES=10_000)
    poisoned().caller.set("key", "x" * 20_000, None)
    assert run.caller.get("key", "missed") == "missed"
    assert run.refused[-1].reason == "too large"


# -- structures ----------------------------------------------------------------


def test_a_poisoned_field_of_a_hash_is_a_miss_and_the_others_are_there(poisoned):
    run = poisoned()
    run.caller.hset("hash", "good", VALUE)
    run.do(HSET(run.full("hash"), b"bad", b"\x80\x04garbage"))
    assert run.caller.hget("hash", "bad", default="missed") == "missed"
    assert run.caller.hmget("hash", ["good", "bad"]) == {"good": VALUE}
    assert run.caller.hgetall("hash") == {"good": VALUE}
    assert len(run.refused) == 3


POISON = (b"\x80\x04garbage", b"\xff" * 9, b"", b"cos\nsystem\n(S'true'\ntR.")


@pytest.mark.topologies("single", "cluster")
@pytest.mark.parametrize("data", POISON, ids=["pickle", "bytes", "empty", "call"])
def test_a_poisoned_member_is_an_error_of_ours_and_nothing_else(poisoned, data):
    """Collections have no misses: to leave a member out would be a wrong answer."""
    run = poisoned()
    for key, command in (
        ("set", SADD(run.full("set"), data)),
        ("list", LPUSH(run.full("list"), data)),
        ("zset", ZADD(run.full("zset"), b"1", data)),
    ):
        run.do(command)
        method, args = {
            "set": ("smembers", ("set",)),
            "list": ("lrange", ("list", 0, -1)),
            "zset": ("zrange", ("zset", 0, -1)),
        }[key]
        met = run.caller.tries(method, *args)
        if isinstance(met, RedponyError):
            assert isinstance(met, (Tampered, Unreadable)), (key, met)
            assert data not in str(met).encode() or not data


def test_another_type_is_an_error_that_says_so(poisoned):
    run = poisoned()
    run.caller.sadd("key", 1)
    for method, args in (
        ("get", ("key",)),
        ("incr", ("key",)),
        ("hget", ("key", "field")),
        ("lrange", ("key", 0, -1)),
    ):
        assert isinstance(run.caller.meets(method, *args), (WrongType, TypeError))
    # Many keys are asked for at once, and one of them hurts nobody.
    assert run.caller.get_many(["key", "good"]) == {"good": VALUE}


# -- memory ----------------------------------------------------------------------

PROGRAM = """
import resource, sys
from django.conf import settings
import django
settings.configure(
    SECRET_KEY="a secret key of the tests, long enough to be one",
    CACHES={"default": {
        "BACKEND": "redpony.cache.RedisCache", "LOCATION": sys.argv[1],
        "OPTIONS": {
            "FORMAT": "django_redis", "READ_FORMATS": ["django_redis", "sealed"],
            "COMPRESSOR": sys.argv[2], "MAX_VALUE_BYTES": int(sys.argv[3]),
            "DEADLINE": 30, "CONNECT_TIMEOUT": 30,
        },
    }},
)
django.setup()
from django.core.cache import cache
cache.set("warm", "x" * 100_000)
assert cache.get("warm") == "x" * 100_000
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert cache.get("bomb", "missed") == "missed"
assert cache.get_many(["bomb"]) == {}
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.topologies("single")
@pytest.mark.parametrize("name", LIBRARY_COMPRESSORS)
def test_a_bomb_does_not_fill_the_memory(place, record, name):
    """256 MiB of zeros against a limit of 4 MiB, in a process of its own."""
    place.handle.ask("SET", ":1:bomb", bombs.make(name))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, place.location, name, str(bombs.LIMIT)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    grown = int(done.stdout)
    record(operations=2, wrong=0, memory=grown / 1024)
    assert grown < 40 * 1024, f"{grown} KiB more for a limit of 4 MiB"


# -- under load ----------------------------------------------------------------------


def test_a_crowd_among_whose_keys_somebody_plants(place, workload):
    """Whatever is planted is a miss: nobody is ever answered with it."""
    cache = place.cache(**PATIENT)
    link = cache.alias.link
    rng = random.Random(39)
    over = threading.Event()
    planted = 0

    def plant() -> None:
        nonlocal planted
        while not over.is_set():
            worker = rng.choice(["t0", "t1", "t2", "t3", "a0", "a1"])
            key = cache.make_key(f"{worker}:{rng.randrange(3)}")
            # Not the text of a number: those are not sealed, as is documented.
            link.run(one(SET(key, b"\xff" + rng.randbytes(rng.randrange(200)))))
            planted += 1

    vandal = threading.Thread(target=plant)
    with workload(cache, mix={"get": 4, "get_many": 2, "set": 3, "incr": 1}) as load:
        vandal.start()
        load.answers(2000)
        over.set()
        vandal.join()
    figures = load.verdict(may_lose=True, stale_reads=True)
    assert planted > 100
    assert figures["lost"] > 0
