"""`manage.py redpony locks` shows who has what, and takes it away."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from redpony import embedded, get_redis
from redpony.locks import Lock, LockLost, ReadWriteLock, Semaphore
from redpony.locks.gate import Gate
from redpony.management import locks as command
from tests.docs.snippets import python
from tests.management.aliases import LOCMEM, ours
from tests.places import ALL, Handle, Places
from tests.servers import free_port, until

ME = f"{re.sub(r'[^A-Za-z0-9_-]', '-', socket.gethostname())[:40]}"
PID = os.getpid()
FOREIGN = "6f1ce8acc74011f0a2fb0242ac120002"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        metafunc.parametrize("server", ALL, indirect=True)


@pytest.fixture
def server(request: pytest.FixtureRequest, places: Places) -> Handle:
    return places.empty(request.param)


@pytest.fixture
def locks(manage: Any) -> Callable[..., Any]:
    """Return a function that runs `locks` on the caches that there are."""

    def run(*words: str) -> Any:
        return manage("locks", *words, caches=settings.CACHES)

    return run


def told(ran: Any) -> list[str]:
    """Return the lines, with each time as 9.9 s, and no more than 80 columns wide."""
    assert max(map(len, ran.lines), default=0) <= 80, ran.text
    return [re.sub(r"\b\d+\.\d s( {2,})?", _same_width, line) for line in ran.lines]


def _same_width(found: re.Match[str]) -> str:
    return "9.9 s".ljust(len(found[0])) if found[1] else "9.9 s"


class Elsewhere(Lock):
    """A lock of another process."""

    gate = None  # type: ignore[assignment]


@pytest.fixture
def waiting() -> Iterator[Callable[[str], None]]:
    """Return a function that has a lock waited for by another process."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def wait(name: str) -> None:
        claim = Elsewhere(name)
        claim.gate = Gate()
        before = len(claim.inspect().waiters)

        def work() -> None:
            with contextlib.suppress(LockLost), claim:
                over.wait(30)

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        until(lambda: len(claim.inspect().waiters) > before, "it stands in line", 30)

    yield wait
    over.set()
    for each in threads:
        each.join(30)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return our host's name as a table shows it."""
    return ME if len(ME) <= 16 else f"{ME[:13]}..."


def test_nothing_is_held(locks, make_cache):
    make_cache()

    assert told(locks("list")) == [
        "No lock is held or waited for. (--all: those of which a fence is left)"
    ]
    assert told(locks("list", "--all")) == ["No lock is held or waited for."]


def test_a_table_of_all_kinds(locks, make_cache, waiting, short):
    cache = make_cache()
    places = Semaphore("exports", 5, thread_local=False)
    with (
        Lock("nightly-report") as report,
        cache.lock("invoice:4711") as invoice,
        ReadWriteLock("catalogue").write as book,
        places,
        Semaphore("exports", 5, weight=2) as export,
    ):
        waiting("nightly-report")
        waiting("nightly-report")
        ran = locks("list")
    me = f"{short} {PID}"
    who = f"{me} writes"
    wide = max(len(who), 9)

    assert told(ran) == [
        f"KIND       {'HOLDER':{wide}}  LEASE   FENCE             WAIT  NAME",
        f"lock       {me:{wide}}  9.9 s   {invoice.fence}  0     :1:invoice:4711",
        f"rw lock    {who:{wide}}  9.9 s   {book.fence}  0     catalogue",
        "  redpony{:catalogue}:rw",
        f"semaphore  {'2 holders':{wide}}  9.9 s   {export.fence}  0     exports",
        "  redpony{:exports}:semaphore",
        f"lock       {me:{wide}}  9.9 s   {report.fence}  2     nightly-report",
        "  redpony{:nightly-report}:lock",
        "",
        "4 held, 2 waiting.",
    ]
    assert ran.code == 0


def test_what_nobody_has_is_listed_if_it_is_asked_for(locks, make_cache):
    make_cache()
    with Lock("done") as held:
        pass

    assert told(locks("list", "--all")) == [
        "KIND  HOLDER  LEASE  FENCE             WAIT  NAME",
        f"lock  -       -      {held.fence}  0     done",
        "  redpony{:done}:lock",
        "",
        "0 held, 0 waiting.",
    ]


def test_a_token_of_another_package_and_a_lease_without_end(locks, make_cache):
    cache = make_cache()
    with cache.lock("job") as held:
        pass
    get_redis("default").set(":1:job", FOREIGN)

    assert told(locks("list")) == [
        "KIND  HOLDER            LEASE   FENCE             WAIT  NAME",
        f"lock  6f1ce8acc7401...  no end  {held.fence}  0     :1:job",
        "",
        "1 held, 0 waiting.",
    ]
    assert told(locks("show", "job")) == [
        ':1:job: a lock of CACHES["default"]',
        "  key      :1:job",
        f"  held by  {FOREIGN} (a foreign token), no end",
        f"  fence    {held.fence} (the last one given)",
        "  waiting  nobody",
    ]


def test_one_whole_with_its_line(locks, make_cache, waiting):
    make_cache()
    with Lock("job") as held:
        waiting("job")
        waiting("job")
        by_name, by_key = locks("show", "job"), locks("show", "redpony{:job}:lock")

    assert told(by_name) == told(by_key)
    assert told(by_name) == [
        'job: a lock of CACHES["default"]',
        "  key      redpony{:job}:lock",
        f"  held by  {ME}, process {PID}, 9.9 s left",
        f"  fence    {held.fence} (its holder's)",
        f"  waiting  1. {ME}, process {PID}, for 9.9 s",
        f"           2. {ME}, process {PID}, for 9.9 s",
    ]


def test_a_semaphore_whole(locks, make_cache):
    make_cache()
    with (
        Semaphore("places", 5, timeout=50),
        Semaphore("places", 5, weight=2, timeout=70) as held,
    ):
        ran = locks("show", "places")

    assert told(ran) == [
        'places: a semaphore of CACHES["default"]',
        "  key      redpony{:places}:semaphore",
        f"  held by  1. {ME}, process {PID}, 9.9 s left",
        f"           2. {ME}, process {PID} x2, 1 min 09 s left",
        f"  fence    {held.fence} (the last one given)",
        "  waiting  nobody",
    ]


def test_a_dead_waiter_is_told_from_the_others(locks, make_cache):
    make_cache()
    claim = Lock("job")
    with claim:
        claim.alias.ask(claim.terms.acquire(b"rp.alive", 1000, 20, 0))
        get_redis("default").zadd("redpony{:job}:lock-line:alive", {"rp.alive": 1})
        line = told(locks("show", "job"))[-1]

    assert line.endswith("for 9.9 s, not alive")


def test_a_name_that_nobody_has_used(locks, make_cache):
    make_cache()
    ran = locks("show", "nothing")

    assert (ran.code, told(ran)) == (
        1,
        ['Nobody has "nothing" or waits for it, and there is no fence.'],
    )


def test_the_same_for_programs(locks, make_cache, waiting):
    make_cache()
    with Lock("job", timeout=20) as held:
        waiting("job")
        listed, one = locks("list", "--json"), locks("show", "job", "--json")
    found, same = json.loads(listed.text), json.loads(one.text)
    (lock,) = found["locks"]
    holder, waiter = lock["holders"][0], lock["waiters"][0]

    assert 0 < holder.pop("remaining") <= 20
    assert waiter.pop("waited") > 0
    assert waiter.pop("token").startswith("rp.")
    assert lock == {
        "alias": "default",
        "kind": "lock",
        "name": "job",
        "key": "redpony{:job}:lock",
        "holders": [
            {"token": held.token.decode(), "host": ME, "pid": PID, "weight": 1}
        ],
        "fence": held.fence,
        "waiters": [{"host": ME, "pid": PID, "weight": 1, "alive": True}],
    }
    assert [each["key"] for each in same["locks"]] == ["redpony{:job}:lock"]
    assert json.loads(locks("show", "nothing", "--json").text) == {"locks": []}


# -- break ---------------------------------------------------------------------------


def test_it_is_taken_and_the_next_one_has_it(locks, make_cache, waiting):
    make_cache()
    mine = Lock("job")
    assert mine.acquire()
    fence = mine.held.fence
    waiting("job")
    ran = locks("break", "job", "--no-input")
    with pytest.raises(LockLost):
        mine.release()

    assert (ran.code, told(ran)) == (
        0,
        [
            'job: a lock of CACHES["default"]',
            "  key      redpony{:job}:lock",
            f"  held by  {ME}, process {PID}, 9.9 s left",
            f"  fence    {fence} (its holder's)",
            f"  waiting  {ME}, process {PID}, for 9.9 s",
            "",
            f"Taken from {ME}, process {PID}, whose fence was {fence}.",
            "It may still be at work. It learns of this when it renews its lease, after a",
            "third of it; with a timeout, when it gives the lock back.",
            "Only what refuses smaller fences than the next holder's keeps its writes out.",
            "",
            f"{ME}, process {PID} has it now.",
        ],
    )


@pytest.mark.parametrize(
    ("answer", "taken"), [("y", 1), ("YES ", 1), ("", 0), ("n", 0), (EOFError, 0)]
)
def test_it_asks_first(cache_on, valkey, monkeypatch, answer, taken):
    asked = []

    def ask(question: str) -> str:
        asked.append(question)
        if answer is EOFError:
            raise EOFError
        return answer

    valkey.flush()
    cache_on(valkey)
    mine = Lock("job", raise_on_release_error=False)
    options = {"action": "break", "alias": None, "name": "job", "token": ""}
    with mine:
        well, lines = command.locks({**options, "interactive": True}, str, ask)
        left = mine.inspect().holder

    assert asked == ["Take it from this holder? [y/N] "]
    assert (well, left is None) == (bool(taken), bool(taken))
    assert lines[-1] == (
        "Nobody has come in its place yet." if taken else "Nothing was done."
    )


def test_of_several_holders_all_or_one(locks, make_cache):
    make_cache()
    claims = [
        Semaphore("places", 3, thread_local=False, raise_on_release_error=False)
        for _ in range(3)
    ]
    with claims[0], claims[1] as held, claims[2]:
        one = locks("break", "places", "--no-input", "--token", held.token.decode())
        left = len(claims[0].inspect().holders)
        none = locks("break", "places", "--no-input", "--token", "nobody's")
        rest = locks("break", "places", "--no-input")

    taken = f"Taken from {ME}, process {PID}."
    assert (one.code, left, told(one).count(taken)) == (0, 2, 1)
    assert told(one)[-1] == "Nobody has come in its place yet."
    assert (none.code, told(none)[-1]) == (
        1,
        "There is no holder with this token. Nothing was done.",
    )
    assert (rest.code, told(rest).count(taken)) == (0, 2)


def test_what_nobody_has_cannot_be_taken(locks, make_cache):
    make_cache()
    with Lock("job"):
        pass
    ran = locks("break", "job", "--no-input")

    assert (ran.code, told(ran)[-1]) == (1, "Nobody has it. Nothing was done.")


def test_of_several_of_one_name_none_is_taken(locks, make_cache):
    make_cache()
    with Lock("same") as held, Semaphore("same", 2):
        ran = locks("break", "same", "--no-input")
        held.check()
        assert held.owned()

    assert (ran.code, told(ran)) == (
        1,
        [
            "There are several of this name. Name one by its key (and its --alias):",
            '  redpony{:same}:lock  (lock, CACHES["default"])',
            '  redpony{:same}:semaphore  (semaphore, CACHES["default"])',
        ],
    )


# -- aliases -------------------------------------------------------------------------


def test_every_alias_is_looked_at_unless_one_is_named(locks, make_cache):
    make_cache(KEY_PREFIX="shop")
    make_cache(KEY_PREFIX="blog")
    with Lock("sale", using="default") as sale, Lock("post", using="second") as post:
        everywhere = told(locks("list"))
        there = told(locks("list", "--alias", "second"))
        shown = told(locks("show", "post"))

    assert [line.split()[0] for line in everywhere[1:4:2]] == ["default", "second"]
    assert str(sale.fence) in everywhere[1]
    assert str(post.fence) in everywhere[3]
    assert everywhere[0].startswith("ALIAS    KIND  HOLDER")
    assert [line.split()[-1] for line in there[1:2]] == ["post"]
    assert shown[0] == 'post: a lock of CACHES["second"]'


def test_two_aliases_of_one_place_are_looked_at_once(locks, make_cache):
    make_cache()
    make_cache(TIMEOUT=5)
    with Lock("job"):
        assert told(locks("list"))[-1] == "1 held, 0 waiting."
        shown = locks("show", "job")
    assert shown.lines[0] == 'job: a lock of CACHES["default"]'
    assert shown.text.count("a lock of") == 1


def test_an_alias_that_is_not_there(manage):
    ran = manage("locks", "list", "--alias", "nobody", caches={"default": LOCMEM})

    assert (ran.code, 'there is no alias "nobody"' in ran.text) == (1, True)


def test_a_project_without_our_aliases(manage):
    ran = manage("locks", "list", caches={"default": LOCMEM})

    assert (ran.code, ran.lines) == (0, ["No alias of CACHES is served by Redpony."])


def test_a_server_that_cannot_be_asked(manage):
    caches = {"default": ours(f"redis://127.0.0.1:{free_port()}")}
    ran = manage("locks", "list", caches=caches)

    assert (ran.code, "refused" in ran.text) == (1, True)


def test_an_embedded_server_is_not_started_by_looking(manage, tmp_path):
    caches = {"default": ours(f"embedded://{tmp_path}")}
    ran = manage("locks", "list", caches=caches, DEBUG=True)

    assert (ran.code, ran.lines[0][:15]) == (0, "No lock is held")
    assert not embedded.status(embedded.Embedded(str(tmp_path))).running


def test_a_name_cannot_talk_to_the_terminal(cache_on, manage, valkey):
    valkey.flush()
    cache_on(valkey)
    with Lock("evil\x1b[2Jname\n"):
        ran = manage("locks", "list", caches=settings.CACHES)

    assert "\x1b" not in ran.text
    assert "evil\\x1b[2Jname\\n" in ran.text


# -- the page ------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "operate-locks.md"


def masked(text: str) -> list[str]:
    """Return lines without what differs from one run to the next."""
    text = text.replace(f"{ME} {PID}", "web-1 4711").replace(ME, "web-1")
    for what, mask in [
        (r"web-\d, process \d+", "A PROCESS"),
        (r"web-\d \d+", "A PROCESS"),
        (r"\b\d{16}\b", "A FENCE"),
        (r"\b\d+\.\d s", "A TIME"),
        (r" +", " "),
        (r"Take it from this holder\? \[y/N\] y\n", ""),
    ]:
        text = re.sub(what, mask, text)
    return [line.rstrip() for line in text.splitlines()]


def test_the_page_shows_what_is_printed(cache_on, valkey, manage, waiting):
    valkey.flush()
    cache = cache_on(valkey)
    printed = re.findall(r"```console\n\$ .+? locks (.+)\n([^`]+)```", PAGE.read_text())
    assert [words for words, _ in printed] == [
        "list",
        "show nightly-report",
        "break nightly-report",
    ]
    with (
        cache.lock("invoice:4711"),
        ReadWriteLock("catalogue").write,
        Semaphore("exports", 5),
        Semaphore("exports", 5),
        Lock("nightly-report", raise_on_release_error=False),
    ):
        waiting("nightly-report")
        waiting("nightly-report")
        for words, text in printed:
            more = ["--no-input"] if "break" in words else []
            ran = manage("locks", *words.split(), *more, caches=settings.CACHES)
            assert masked(ran.text) == masked(text)


def test_the_python_on_the_page_runs(cache_on, valkey, capsys):
    valkey.flush()
    cache_on(valkey)
    (block,) = python(PAGE)
    with Lock("nightly-report", raise_on_release_error=False):
        exec(compile(block.text, str(PAGE), "exec"), {})
    first, *rest = capsys.readouterr().out.splitlines()

    assert first.startswith(f"{ME} {PID} ")
    assert rest == ["[]"]
