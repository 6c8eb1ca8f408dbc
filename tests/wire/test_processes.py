"""What only a process of its own can show: forks, gevent, and the packer's trap."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import pytest

from tests.servers import Server

HEAD = """
import asyncio, gc, os, sys, time
from redpony.commands import *
from redpony.errors import *
from redpony.plan import Batch
from redpony.wire.config import LinkConfig, Tcp, Tls
from redpony.wire.link import Link
from tests.wire.links import CLIENT_ID, HELD, INCR, one, several, waiting

HOST, PORT = "127.0.0.1", int(sys.argv[1])

def make(**config):
    return Link(LinkConfig(Tcp(HOST, PORT), **{"deadline": 30.0,
        "connect_timeout": 30.0, **config}))

def echo(link, turns):
    for turn in range(turns):
        text = b"%d-%d" % (os.getpid(), turn)
        assert link.run(one(ECHO(text))) == text

async def aecho(link, turns):
    for turn in range(turns):
        text = b"%d-%d" % (os.getpid(), turn)
        assert await link.arun(one(ECHO(text))) == text

def in_child(work):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)

def await_all(pids):
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
"""


def run(program: str, server: Server, *more: str, head: str = HEAD) -> str:
    """Run a program against a server; fail with what it said."""
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error::ResourceWarning",
            "-c",
            head + textwrap.dedent(program),
            str(server.port),
            *more,
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


# -- fork -------------------------------------------------------------------


def test_two_children_and_their_parent_speak_at_once(server: Server) -> None:
    with server.counting() as counted:
        run(
            """
            link = make()
            pool = link.blocking.pool
            for connection in [pool.take(0)[0] for _ in range(3)]:
                pool.give_back(connection)
            before = link.run(one(CLIENT_ID()))

            def work():
                assert pool.opened == 0
                echo(link, 2000)
                assert pool.opened == 1
                assert link.run(one(CLIENT_ID())) != before

            children = [in_child(work) for _ in range(2)]
            echo(link, 2000)
            await_all(children)
            assert link.run(one(CLIENT_ID())) == before
            link.close()
            """,
            server,
        )
    assert counted.commands["echo"] == 6000
    assert counted.commands["hello"] == 5


def test_children_of_a_process_with_a_loop_have_loops_of_their_own(
    server: Server,
) -> None:
    with server.counting() as counted:
        run(
            """
            link = make()
            with asyncio.Runner() as runner:
                runner.run(aecho(link, 10))
                before = runner.run(link.arun(one(CLIENT_ID())))

                def work():
                    assert link.awaiting.loops.places.taken == 0
                    asyncio.run(aecho(link, 2000))
                    echo(link, 100)

                children = [in_child(work) for _ in range(2)]
                runner.run(aecho(link, 2000))
                await_all(children)
                assert runner.run(link.arun(one(CLIENT_ID()))) == before
            """,
            server,
        )
    assert counted.commands["echo"] == 10 + 3 * 2000 + 200
    assert counted.commands["hello"] == 5


def test_a_child_whose_parent_was_in_the_middle_of_something(server: Server) -> None:
    """Forked while a thread holds a connection, and the pool is full and waited for."""
    run(
        """
        import threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        link = make(pool_size=2)
        threads = [
            threading.Thread(target=link.run, args=(one(HELD(b"q", b"0.3", timeout=5)),))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        while not link.blocking.pool.waiting:
            time.sleep(0.001)
        children = [in_child(lambda: echo(link, 200)) for _ in range(2)]
        await_all(children)
        for thread in threads:
            thread.join()
        echo(link, 10)
        link.close()
        """,
        server,
    )


def test_connecting_imports_nothing_that_a_fork_could_leave_locked(
    server: Server,
) -> None:
    """A module's import lock is not mended in a child; its next import would hang."""
    run(
        """
        def imported(link):
            before = set(sys.modules)
            echo(link, 1)
            asyncio.run(aecho(link, 1))
            link.close()
            return set(sys.modules) - before

        assert imported(make()) == set(), imported(make())
        named = LinkConfig(Tcp("localhost", PORT), deadline=30.0, connect_timeout=30.0)
        assert imported(Link(named)) == set()
        assert "encodings.idna" not in sys.modules
        """,
        server,
    )


def test_the_breaker_and_the_links_are_a_childs_own(server: Server) -> None:
    run(
        """
        from redpony import connections
        config = LinkConfig(Tcp(HOST, PORT), deadline=30.0, connect_timeout=30.0)
        link = connections.link_for(config)
        echo(link, 1)

        def work():
            assert connections.link_for(config) is link
            echo(link, 10)
            connections.close_all()
            echo(link, 10)

        await_all([in_child(work) for _ in range(2)])
        echo(link, 10)
        connections.close_all()
        """,
        server,
    )


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_forked_child_says_no_goodbye_on_its_parents_tls_session(
    colour: str, cold_server: Any
) -> None:
    server = cold_server("redis", tls=True)
    with server.counting() as counted:
        run(
            """
            link = make(tls=Tls(ca_file=sys.argv[2]))
            with asyncio.Runner() as runner:
                def ask(command):
                    if sys.argv[3] == "sync":
                        return link.run(one(command))
                    return runner.run(link.arun(one(command)))

                before = ask(CLIENT_ID())

                def leave():
                    # As a worker ends: everything is closed and collected.
                    link.close()
                    link.blocking.pool.idle.clear()
                    link.awaiting.loops.by_loop.clear()
                    gc.collect()

                def serve():
                    asyncio.run(aecho(link, 100))
                    echo(link, 100)
                    leave()

                await_all([in_child(leave), in_child(serve)])
                for _ in range(10):
                    assert ask(CLIENT_ID()) == before
            link.close()
            """,
            server,
            str(server.certificates.ca),
            colour,
        )
    assert counted.commands["hello"] == 3


# -- gevent -----------------------------------------------------------------

PATCHED_FIRST = "from gevent import monkey; monkey.patch_all()\n" + HEAD
PATCHED_LAST = HEAD + "from gevent import monkey; monkey.patch_all()\n"
GEVENT = """
import gevent
from redpony.wire.stream import TimedStream

link = make(pool_size=5)
"""


@pytest.mark.parametrize("head", [PATCHED_FIRST, PATCHED_LAST], ids=["first", "last"])
def test_50_greenlets_share_5_connections(head: str, server: Server) -> None:
    with server.counting() as counted:
        run(
            """
            def work(number):
                for turn in range(20):
                    text = b"%d-%d" % (number, turn)
                    assert link.run(one(ECHO(text))) == text
                    replies = link.run(several(Batch([ECHO(text), INCR(b"n")])))
                    assert replies[0] == text
                return number

            jobs = [gevent.spawn(work, number) for number in range(50)]
            gevent.joinall(jobs, raise_error=True)
            assert [job.value for job in jobs] == list(range(50))
            assert link.blocking.pool.opened <= 5
            assert link.blocking.pool.in_use == 0
            stream = link.blocking.pool.idle[0].stream
            assert isinstance(stream, TimedStream), stream
            link.close()
            """,
            server,
            head=head + GEVENT,
        )
    assert counted.commands["echo"] == 2000
    assert 2 <= counted.commands["hello"] <= 5


@pytest.mark.parametrize("head", [PATCHED_FIRST, PATCHED_LAST], ids=["first", "last"])
def test_a_greenlet_that_waits_holds_up_no_other(head: str, server: Server) -> None:
    run(
        """
        waiters = [
            gevent.spawn(link.run, waiting(BLPOP(b"q", b"0"), 20)) for _ in range(4)
        ]
        gevent.sleep(0)
        # The four have connections of their own.
        others = [gevent.spawn(echo, link, 20) for _ in range(20)]
        gevent.joinall(others, raise_error=True)
        assert not any(waiter.ready() for waiter in waiters)
        assert link.blocking.lines.opened == 4
        assert link.blocking.pool.opened <= 5
        for number in range(4):
            link.run(one(RPUSH(b"q", b"%d" % number)))
        gevent.joinall(waiters, raise_error=True)
        assert sorted(waiter.value[1] for waiter in waiters) == [b"0", b"1", b"2", b"3"]
        link.close()
        """,
        server,
        head=head + GEVENT,
    )


def test_the_deadline_holds_in_a_greenlet_and_others_go_on(server: Server) -> None:
    run(
        """
        import gevent.server
        silent = gevent.server.StreamServer((HOST, 0), lambda sock, _: gevent.sleep(60))
        silent.start()
        dead = Link(LinkConfig(
            Tcp(HOST, silent.server_port), deadline=0.2, connect_timeout=0.2))
        turns = 0

        def count():
            global turns
            while True:
                turns += 1
                gevent.sleep(0.001)

        counter = gevent.spawn(count)
        try:
            dead.run(one(PING()))
        except DeadlineExceeded:
            pass
        else:
            raise AssertionError
        assert turns > 5, turns
        counter.kill()
        # A name is looked up without a native thread in the way.
        named = Link(LinkConfig(
            Tcp("localhost", PORT), deadline=30.0, connect_timeout=30.0))
        echo(named, 3)
        named.close()
        silent.stop()
        """,
        server,
        head=PATCHED_FIRST + GEVENT,
    )


def test_a_killed_greenlet_leaves_the_pool_whole(server: Server) -> None:
    run(
        """
        for turn in range(200):
            jobs = [gevent.spawn(echo, link, 50) for _ in range(8)]
            for _ in range(turn % 7):
                gevent.sleep(0)
            gevent.killall(jobs)
            echo(link, 1)
        assert link.blocking.pool.in_use == 0, link.blocking.pool.in_use
        assert link.blocking.pool.opened <= 5
        link.close()
        """,
        server,
        head=PATCHED_FIRST + GEVENT,
    )


# -- the packer -------------------------------------------------------------

CACHES = """
import sys
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="a secret key of the tests, long enough to be one",
    CACHES={"default": {
        "BACKEND": "redpony.cache.RedisCache",
        "LOCATION": f"redis://127.0.0.1:{sys.argv[1]}/0",
        "OPTIONS": {"DEADLINE": 30, "CONNECT_TIMEOUT": 30},
    }},
)
django.setup()
from django.core.cache import caches
from redpony.connections import close_all
from redpony.errors import RedponyError
cache = caches["default"]
"""


def test_no_integer_is_too_large_for_the_packer(server: Server) -> None:
    """`hiredis.pack_command` ends the process when it meets 4300 digits."""
    said = run(
        """
        huge = 10 ** 5000
        for number in (0, -1, 2**63 - 1, 2**63, -2**63, 2**64, -10**100, 10**4299):
            cache.set("n", number)
            assert cache.get("n") == number
            cache.set_many({"a": number, "b": [number]})
            assert cache.get_many(["a", "b"]) == {"a": number, "b": [number]}
        attempts = [
            lambda n: cache.set("k", n),
            lambda n: cache.get("k"),
            lambda n: cache.add("other", n),
            lambda n: cache.set_many({"a": n}),
            lambda n: cache.get_or_set("got", n),
            lambda n: cache.incr("i", n),
            lambda n: cache.decr("i", n),
            lambda n: cache.touch("i", n),
            lambda n: cache.expire("i", n),
            lambda n: cache.pexpire("i", n),
            lambda n: cache.expire_at("i", n),
            lambda n: cache.set("k", 1, timeout=n),
            lambda n: cache.sadd("set", n),
            lambda n: cache.sismember("set", n),
            lambda n: cache.zadd("zset", {n: 1.0}),
            lambda n: cache.zadd("zset", {"m": n}),
            lambda n: cache.zrange("zset", 0, n),
            lambda n: cache.zincrby("zset", n, "m"),
            lambda n: cache.hset("hash", "f", n),
            lambda n: cache.hincrby("hash", "c", n),
            lambda n: cache.lpush("list", n),
            lambda n: cache.lrange("list", 0, n),
            lambda n: cache.spop("set", n),
            lambda n: list(cache.iter_keys("*", itersize=n)),
            lambda n: cache.delete_pattern("*", itersize=n),
        ]
        cache.set("i", 1)
        for number in (2**63, 2**70, 10**100, huge, -huge):
            for attempt in attempts:
                try:
                    attempt(number)
                except (ValueError, OverflowError, RedponyError):
                    pass
        cache.set("n", 1)
        assert cache.incr("n") == 2
        print("alive")
        close_all()
        """,
        server,
        head=CACHES,
    )
    assert "alive" in said
