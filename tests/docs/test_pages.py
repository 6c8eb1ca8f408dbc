"""The topics run as printed, and their tables say what the code does."""

import contextlib
import re
import threading
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import redis

from redpony import commands, errors, events
from redpony.cache import RedisCache
from redpony.cache.policy import ANSWERS, RAISES
from redpony.commands import Kind, Repeat
from tests.colours import Both, Colour
from tests.docs.snippets import blocks, python
from tests.docs.test_tutorial import SETTINGS, run_page
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
TOPICS = ROOT / "docs/topics"
RUN = ("async", "cache", "failure", "fences", "values")

ROW = re.compile(r"^\|(.+)\|$", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")

# What a page provokes is logged, and a reader's terminal would show it.
LOGGING = """
LOGGING = {
    "version": 1,
    "handlers": {"file": {"class": "logging.FileHandler", "filename": "log"}},
    "loggers": {"redpony": {"handlers": ["file"], "propagate": False}},
}
"""


def table(page, heading):
    """Return the rows of the table that begins with a heading, cell by cell."""
    text = (TOPICS / f"{page}.md").read_text()
    assert f"| {heading} |" in text, f"{page}.md has no table {heading!r}"
    body = text.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in row.split("|")] for row in ROW.findall(body)[1:]]


@pytest.mark.parametrize("name", RUN)
def test_every_snippet_runs_and_gives_what_it_promises(name, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.docs.test_tutorial.SETTINGS", SETTINGS + LOGGING)
    page = TOPICS / f"{name}.md"
    report, shell = run_page(tmp_path, page)

    statements = [step for block in shell for step in block]
    promises = [step for step in statements if step[2] is not None]
    files = {block.file for block in python(page) if block.file}
    modules = {each.removesuffix(".py").replace("/", ".") for each in files}
    assert report["ran"] == len(statements)
    assert report["checked"] == len(promises)
    assert modules <= set(report["modules"]), "a file of the page was never used"
    assert len(promises) >= 5


@pytest.mark.parametrize("name", RUN)
def test_no_block_escapes_the_test_by_its_language(name):
    languages = {block.language for block in blocks(TOPICS / f"{name}.md")}
    assert languages <= {"python", "console", "text"}


# -- what calls cost ----------------------------------------------------------

COSTS = table("cache", "call | commands | round trips")


@pytest.fixture
def cost_cache(make_cache):
    cache = make_cache()
    cache.set_many({"book": {"title": "Middlemarch"}, "visits": 1})
    cache.incr("visits")
    return cache


@pytest.mark.parametrize(("call", "names", "trips"), COSTS)
def test_a_call_costs_what_the_table_says(cost_cache, call, names, trips):
    seen = []
    stop = events.subscribe(seen.append, events.Operation)
    try:
        eval(CODE.findall(call)[0], {"cache": cost_cache})
    finally:
        stop()
    [operation] = seen
    possible = [tuple(CODE.findall(each)) for each in names.split(";")]
    assert operation.commands in possible
    assert operation.round_trips == int(trips)


def test_the_table_of_costs_is_read_whole():
    assert len(COSTS) > 20


# -- what serializers give back -------------------------------------------------

NAMES = ("pickle", "json", "msgpack", "msgspec_json", "msgspec_msgpack")
KINDS = {"date": date, "datetime": datetime, "Decimal": Decimal, "UTC": UTC}


class Yours:
    def __eq__(self, other):
        return type(other) is Yours

    __hash__ = None


SERIALIZED = table("values", "value | `" + "` | `".join(NAMES) + "`")


@pytest.mark.parametrize("row", SERIALIZED, ids=lambda row: row[0])
def test_a_serializer_gives_back_what_the_table_says(cache_on, valkey, row):
    written, *cells = row
    code = CODE.findall(written)
    value = eval(code[0], dict(KINDS)) if code else Yours()
    for name, promised in zip(NAMES, cells, strict=True):
        cache = cache_on(valkey, SERIALIZER=name)
        if promised == "refused":
            with pytest.raises(errors.NotSerializable):
                cache.set("k", value)
            continue
        cache.set("k", value)
        found = cache.get("k")
        expected = value if promised == "same" else eval(promised.strip("`"))
        assert (name, found, type(found)) == (name, expected, type(expected))


# -- what is sent again ---------------------------------------------------------


def test_each_command_stands_in_its_row_of_repetitions():
    rows = table("failure", "command | after it may have arrived | commands")
    kinds = [each for each in vars(commands).values() if isinstance(each, Kind)]
    for (_, again, listed), repeat in zip(rows, Repeat, strict=True):
        expected = {kind.name for kind in kinds if kind.repeat is repeat}
        assert set(CODE.findall(listed)) == expected
        assert (again == "sent again") == (repeat is Repeat.SAFE)


# -- what degrading answers -----------------------------------------------------

INTERNAL = {"page", "sscan_page"}


def test_each_method_stands_in_the_table_with_its_answer():
    rows = table("failure", "methods | answer")
    answers = {
        method: RAISES if answer == "raises" else eval(answer.strip("`"))
        for methods, answer in rows
        for method in CODE.findall(methods)
    }
    assert answers == {
        name: answer for name, answer in ANSWERS.items() if name not in INTERNAL
    }


def test_every_method_of_the_cache_stands_in_one_of_the_tables():
    listed = {
        method
        for methods, _ in table("failure", "methods | answer")
        for method in CODE.findall(methods)
    }
    calls = [call for call, _ in table("failure", "call | answer")]
    listed |= {re.findall(r"(\w+)\(\"|(\w+)\([\[{]", each)[0][0] for each in calls}
    listed |= {re.findall(r"(\w+)\([\"\[{]", each)[0] for each in calls}
    assert RedisCache._planned - INTERNAL <= listed


class Answering(dict):
    """The cache's methods as bare names, as the table has them."""

    def __init__(self, cache):
        self.cache = cache

    def __missing__(self, name):
        if name in ("list", "set"):
            raise KeyError(name)
        return getattr(self.cache, name)


@pytest.mark.parametrize(("call", "answer"), table("failure", "call | answer"))
def test_a_call_without_a_server_answers_what_the_table_says(cache_on, call, answer):
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    cache = cache_on(None, LOCATION=nobody, ON_ERROR="degrade")
    assert eval(call.strip("`"), {}, Answering(cache)) == eval(answer.strip("`"))


# -- what a request experiences ---------------------------------------------------

EXPERIENCES = table(
    "failure",
    "the server | the error under `raise` | `outcome` | under `degrade` "
    "| what it costs",
)
ANY_TIME = 5


def down(server, cache):
    server.kill()


def silent(server, cache):
    server.pause()


def failing(server, cache):
    server.kill()
    for _ in range(3):
        with contextlib.suppress(errors.Unavailable):
            cache.get("k")


def slow(server, cache):
    server.ask("CLIENT", "PAUSE", 50, "ALL")


def slower(server, cache):
    server.ask("CLIENT", "PAUSE", 2000, "ALL")


def restarted(server, cache):
    server.restart()


def loading(server, cache):
    server.ask("DEBUG", "POPULATE", 20_000)
    server.ask("CONFIG", "SET", "loading-process-events-interval-bytes", 1024)
    server.ask("CONFIG", "SET", "key-load-delay", 500)
    reload = threading.Thread(target=server.ask, args=("DEBUG", "RELOAD"))
    reload.start()
    while not server.info("persistence")["loading"]:
        time.sleep(0.001)
    yield
    server.ask("CONFIG", "SET", "key-load-delay", 0)
    reload.join()


def full(server, cache):
    server.ask("CONFIG", "SET", "maxmemory", 1)


def replica(server, cache):
    server.ask("REPLICAOF", "127.0.0.1", 1)


def held(server, cache):
    server.ask("CONFIG", "SET", "busy-reply-threshold", 1)
    script = ("EVAL", "while true do end", 0)

    def hold():
        with contextlib.suppress(redis.ResponseError):
            server.ask(*script)

    holder = threading.Thread(target=hold)
    holder.start()
    while True:
        try:
            server.ask("PING")
        except redis.ResponseError:
            break
    yield
    server.ask("SCRIPT", "KILL")
    holder.join()


def all_in_use(server, cache):
    pool = cache.alias.link.blocking.pool
    connection, _ = pool.take(time.monotonic() + ANY_TIME)
    yield
    pool.give_back(connection)


def read(cache):
    cache.get("k")


def write(cache):
    cache.set("k", 2)


def read_and_write(cache):
    read(cache)
    write(cache)


COLD = "is silent, and a connection must be opened"
CROWDED = "has all its connections in use here"

# How each situation comes about, what is asked, and the settings that keep a busy
# machine from deciding the outcome.
SCENES = {
    "is down": (down, read, {}),
    "is silent, on an open connection": (silent, read, {}),
    COLD: (silent, read, {}),
    "failed three times just now": (failing, read, {"BREAKER": {"COOLDOWN": 60}}),
    "is slow, but in time": (slow, read, {"DEADLINE": ANY_TIME}),
    "is slow beyond the deadline": (slower, read, {"DEADLINE": 0.25}),
    "was restarted since the last command": (restarted, read_and_write, {}),
    "is reading its data": (loading, read, {"DEADLINE": ANY_TIME}),
    "is full, and you write": (full, write, {}),
    "is full, and you read": (full, read, {}),
    "is a replica, and you write": (replica, write, {}),
    "is held by a script": (held, read, {"DEADLINE": ANY_TIME}),
    CROWDED: (all_in_use, read, {}),
}


def test_every_situation_is_provoked():
    assert [row[0] for row in EXPERIENCES] == list(SCENES)


@pytest.mark.parametrize("policy", ["raise", "degrade"])
@pytest.mark.parametrize(
    ("row", "colour"),
    [
        pytest.param(row, colour, id=f"{row[0]}-{colour}")
        for row in EXPERIENCES
        for colour in ("sync", "async")
        # In asyncio all tasks of a loop share a connection.
        if (row[0], colour) != (CROWDED, "async")
    ],
)
def test_a_request_experiences_what_the_table_says(
    cold_server, cache_on, row, colour, policy
):
    situation, error, outcome, degraded, _ = row
    provoke, ask, options = SCENES[situation]
    server = cold_server("redis")
    plain = cache_on(server, ON_ERROR=policy, POOL_SIZE=1, **options)
    with Colour(colour) as colour:
        cache = Both(plain, colour)
        if situation != COLD:
            cache.set("k", 1)
        scene = provoke(server, cache)
        if scene is not None:
            next(scene)

        if error == "none" or (policy == "degrade" and degraded == "answers"):
            ask(cache)
        else:
            promised = getattr(errors, error.strip("`"))
            with pytest.raises(promised) as caught:
                ask(cache)
            assert f"`{caught.value.outcome}`" == outcome

        if scene is not None:
            next(scene, None)
