"""F28: the process is forked while connections are open."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")

HEAD = '''
import asyncio, gc, multiprocessing, os, signal, sys, threading, time, warnings
import django
from django.conf import settings

# What Python says of forking beside threads is what these programs are about.
warnings.filterwarnings("ignore", "This process", DeprecationWarning)
settings.configure(
    SECRET_KEY="a secret key of the tests, long enough to be one",
    CACHES={"default": {
        "BACKEND": "redpony.cache.RedisCache",
        "LOCATION": sys.argv[1],
        "OPTIONS": {"DEADLINE": 30, "CONNECT_TIMEOUT": 30},
    }},
)
django.setup()
from django.core.cache import caches
from redpony import connections
from redpony.errors import RedponyError
cache = caches["default"]


def serve(turns, name="all"):
    for turn in range(turns):
        mine = f"{os.getpid()}:{threading.get_ident()}:{turn % 7}"
        value = [mine, turn]
        assert cache.set(mine, value)
        assert cache.get(mine) == value, (mine, turn)
        assert cache.get_many([mine, "nobody"]) == {mine: value}
        cache.incr(name, ignore_key_check=True)


async def aserve(turns, name="all"):
    for turn in range(turns):
        mine = f"{os.getpid()}:{id(asyncio.current_task())}:{turn % 7}"
        value = [mine, turn]
        assert await cache.aset(mine, value)
        assert await cache.aget(mine) == value, (mine, turn)
        assert await cache.aget_many([mine, "nobody"]) == {mine: value}
        await cache.aincr(name, ignore_key_check=True)


def fork(work):
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


def join(pids):
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0


def opened():
    from tests.faults.slots import connections
    return connections(cache.alias.link)


def held():
    """The open connections themselves: the parent must keep each of them."""
    from tests.faults.slots import nodes_of
    found = set()
    for node in nodes_of(cache.alias.link):
        places = [*node.blocking.pool._alive, *node.awaiting.loops.places._alive]
        found |= {connection for place in places if (connection := place())}
    return found
'''

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

OPERATIONS = 4
"""How many operations a turn of `serve` has."""


@pytest.fixture
def program(place, tmp_path, record):
    """Return a function that runs a program on the place, and counts its turns.

    The program says in how many turns it has incremented the counter "all".
    """

    def run(text: str, turns: int, *more: str) -> str:
        script = tmp_path / "program.py"
        script.write_text(HEAD + textwrap.dedent(text))
        done = subprocess.run(
            [
                sys.executable,
                *("-W", "error::ResourceWarning"),
                str(script),
                place.location,
                *more,
            ],
            capture_output=True,
            text=True,
            timeout=240,
            cwd=Path(__file__).parents[2],
            env=ENVIRONMENT,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        assert "Traceback" not in done.stderr, done.stderr
        place.handle.settled()
        # Each answer was compared by whoever asked; here the effects are.
        assert place.cache().get("all") == turns
        record(operations=turns * OPERATIONS, wrong=0, duplicates=0, slots=0)
        return done.stdout

    return run


def test_two_children_and_their_parent_speak_at_once(program):
    program(
        """
        serve(10)
        before = held()
        assert before

        def work():
            assert opened() == 0
            serve(2000)
            assert 0 < opened()

        children = [fork(work) for _ in range(2)]
        serve(500)
        join(children)
        serve(10)
        assert before <= held()
        """,
        turns=10 + 2 * 2000 + 500 + 10,
    )


def test_children_of_a_process_with_a_running_loop(program):
    program(
        """
        with asyncio.Runner() as runner:
            runner.run(aserve(10))

            def work():
                assert opened() == 0
                asyncio.run(aserve(500))
                serve(100)

            children = [fork(work) for _ in range(2)]
            runner.run(aserve(500))
            join(children)
            runner.run(aserve(10))
        """,
        turns=10 + 2 * 600 + 500 + 10,
    )


def test_a_loop_that_forks_goes_on_in_the_parent_alone(program):
    """From within a coroutine, with commands of other tasks in flight."""
    program(
        """
        async def main():
            tasks = [asyncio.create_task(aserve(100)) for _ in range(5)]
            children = []
            for _ in range(3):
                await asyncio.sleep(0.01)
                children.append(fork(lambda: serve(50)))
            await asyncio.gather(*tasks)
            return children

        join(asyncio.run(main()))
        """,
        turns=5 * 100 + 3 * 50,
    )


def test_children_of_a_process_whose_threads_are_in_the_middle(program):
    program(
        """
        threads = [threading.Thread(target=serve, args=(200,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        children = []
        for _ in range(5):
            time.sleep(0.01)
            children.append(fork(lambda: serve(50)))
        join(children)
        for thread in threads:
            thread.join()
        serve(10)
        """,
        turns=6 * 200 + 5 * 50 + 10,
    )


def test_a_grandchild_has_connections_of_its_own(program):
    program(
        """
        serve(10)

        def child():
            serve(10)
            before = held()
            join([fork(grandchild) for _ in range(2)])
            serve(10)
            assert before <= held()

        def grandchild():
            assert opened() == 0
            serve(100)

        join([fork(child) for _ in range(2)])
        serve(10)
        """,
        turns=10 + 2 * (10 + 2 * 100 + 10) + 10,
    )


def test_a_server_that_loads_the_application_before_it_forks(program):
    """As gunicorn with `preload_app`: workers with threads, one killed, one new."""
    program(
        """
        serve(10)  # at import

        def worker():
            threads = [
                threading.Thread(target=serve, args=(50,)) for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        def idle():
            serve(5)
            signal.pause()

        workers = [fork(worker) for _ in range(3)]
        doomed = fork(idle)
        while cache.get("all", 0) < 10 + 3 * 200 + 5:
            time.sleep(0.01)
        join(workers)
        os.kill(doomed, signal.SIGKILL)
        assert os.waitpid(doomed, 0)[1] == signal.SIGKILL
        join([fork(worker)])
        serve(10)
        """,
        turns=10 + 3 * 200 + 5 + 200 + 10,
    )


def test_children_that_come_and_go_leave_the_parents_connections_alone(program):
    """As Celery's prefork with `max_tasks_per_child`: each ends, and cleans up."""
    program(
        """
        serve(10)
        before = held()

        def task():
            serve(5)
            connections.close_all()
            gc.collect()

        for _ in range(30):
            join([fork(task)])
            serve(1)
        assert before <= held()
        """,
        turns=10 + 30 * 6,
    )


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_processes_of_multiprocessing(program, method):
    program(
        """
        def work(_):
            serve(50)
            asyncio.run(aserve(50))

        if __name__ == "__main__":
            serve(10)
            context = multiprocessing.get_context(sys.argv[2])
            with context.Pool(3) as pool:
                pool.map(work, range(6), chunksize=1)
            serve(10)
        """,
        10 + 6 * 100 + 10,
        method,
    )


def test_a_child_of_a_process_that_has_left_the_server_alone(program):
    """The breaker is the child's own: it looks for itself."""
    program(
        """
        serve(1)
        for node in (cache.alias.link.nodes() if hasattr(cache.alias.link, "nodes")
                     else [cache.alias.link]):
            for _ in range(10):
                node.breaker.failed(ConnectionError("as if it was away"))
            assert node.breaker.blocked

        def work():
            while True:
                try:
                    serve(1)
                except RedponyError as error:
                    assert error.outcome == "not_sent"
                    time.sleep(0.01)
                else:
                    return

        join([fork(work)])
        """,
        turns=2,
    )


@pytest.mark.topologies("sentinel", "cluster")
def test_a_child_follows_a_failover(place, tmp_path, record):
    """Who looked at the topology was a thread, and threads are not forked."""
    script = tmp_path / "program.py"
    script.write_text(
        HEAD
        + textwrap.dedent(
            """
            serve(10)

            def child():
                serve(10)
                print("ready", flush=True)
                sys.stdin.readline()
                end = time.monotonic() + 60
                well = 0
                while well < 200:
                    assert time.monotonic() < end, "no failover was followed"
                    try:
                        serve(1)
                        well += 1
                    except RedponyError:
                        time.sleep(0.02)

            join([fork(child)])
            """
        )
    )
    process = subprocess.Popen(
        [sys.executable, str(script), place.location],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env=ENVIRONMENT,
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        old = place.primaries[0]
        if place.topology == "sentinel":
            place.handle.failover()
        else:
            place.handle.failover(old)
        _, said = process.communicate("go on\n", timeout=120)
    assert process.returncode == 0, said
    assert old not in place.primaries
    record(operations=220 * OPERATIONS, wrong=0, duplicates=0, slots=0)
