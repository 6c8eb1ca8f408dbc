"""Several servers asked at once by a task: what becomes of it when the task ends."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from redpony.commands import ECHO, GET, SET, Script, call
from redpony.errors import DeadlineExceeded, InvalidSetting, Unavailable
from redpony.plan import Batch
from redpony.wire.config import LinkConfig, Tcp
from redpony.wire.link import Link
from redpony.wire.replies import pack
from redpony.wire.topology.awaiting import _ask_each
from tests.hostile import FakeServer, Peer
from tests.proxy import Proxy
from tests.servers import Server
from tests.wire.links import INCR, auntil, waiting_at

ADD = Script("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])")


class Table:
    """Links in one event loop, and what the loop complained of."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.complaints: list[dict[str, Any]] = []

    async def link(self, target: Any, *, warm: bool = True, **config: Any) -> Any:
        config = {"deadline": 5.0, "connect_timeout": 5.0, **config}
        link = Link(LinkConfig(address=Tcp(target.host, target.port), **config))
        self.links.append(link)
        if warm:
            state = await link.awaiting.loops.current()
            await state.connection(GET(b"").lane)
        return link

    async def assert_whole(self) -> None:
        for link in self.links:
            for number in range(3):
                key = b"whole:%d" % number
                assert await link.awaiting.ask(SET(key, key)) == b"OK"
                assert await link.awaiting.ask(GET(key)) == key


@asynccontextmanager
async def table() -> AsyncIterator[Table]:
    loop = asyncio.get_running_loop()
    made = Table()
    loop.set_exception_handler(lambda _, context: made.complaints.append(context))
    yield made
    for link in made.links:
        for state in list(link.awaiting.loops.by_loop.values()):
            state.close()
    await asyncio.sleep(0)
    gc.collect()
    await asyncio.sleep(0)
    assert made.complaints == []


def run(test: Callable[[Table], Coroutine[Any, Any, None]]) -> None:
    async def body() -> None:
        async with table() as made:
            await test(made)

    with warnings.catch_warnings():
        # What other tests have left to the collector is not this one's.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    asyncio.run(body())


def ask(link: Link, *commands: Any, lasts: float = 5) -> Any:
    return link, Batch(commands), lasts, None


def many(link: Link, *keys: bytes, lasts: float = 5) -> Any:
    payload = b"".join(pack((b"GET", key)) for key in keys)
    return link, Batch([GET(b"")] * len(keys)), lasts, payload


async def end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_all_leave_before_any_is_awaited(server: Server) -> None:
    async def test(made: Table) -> None:
        with Proxy((server.host, server.port)) as proxy:
            slow, quick = await made.link(proxy), await made.link(server)
            proxy.stall()
            task = asyncio.ensure_future(
                _ask_each([ask(slow, INCR(b"n")), ask(quick, INCR(b"n"), INCR(b"n"))])
            )
            await auntil(lambda: server.ask("GET", "n") == b"2")
            proxy.heal()
            assert [list(each) for each in await task] == [[3], [1, 2]]
            await made.assert_whole()

    run(test)


def test_where_no_connection_is_open_all_are_opened_at_once(server: Server) -> None:
    async def test(made: Table) -> None:
        links = [await made.link(server, warm=False) for _ in range(3)]
        replies = await _ask_each([many(each, b"a", b"b") for each in links])
        assert [list(each) for each in replies] == [[None, None]] * 3

    run(test)


@pytest.mark.parametrize("warm", [True, False])
def test_a_task_that_is_cancelled_leaves_answers_that_nobody_gets(
    warm: bool, server: Server
) -> None:
    async def test(made: Table) -> None:
        with Proxy((server.host, server.port)) as proxy:
            links = [await made.link(proxy, warm=warm) for _ in range(3)]
            for _ in range(5):
                proxy.stall()
                task = asyncio.ensure_future(
                    _ask_each([ask(each, GET(b"a"), INCR(b"n")) for each in links])
                )
                await auntil(lambda: waiting_at(proxy.port))
                await end(task)
                proxy.heal()
                await made.assert_whole()

    run(test)


def test_an_error_that_came_before_the_cancellation_is_looked_at(
    server: Server,
) -> None:
    async def test(made: Table) -> None:
        with Proxy((server.host, server.port)) as proxy:
            slow, lost = await made.link(proxy), await made.link(proxy)
            proxy.stall()
            task = asyncio.ensure_future(
                _ask_each([ask(slow, GET(b"a")), ask(lost, INCR(b"n"))])
            )
            await auntil(lambda: waiting_at(proxy.port))
            for state in lost.awaiting.loops.by_loop.values():
                state.close()
            await end(task)
            proxy.heal()
            await made.assert_whole()

    run(test)


def test_an_error_that_comes_after_the_cancellation_is_looked_at(
    server: Server,
) -> None:
    async def test(made: Table) -> None:
        with Proxy((server.host, server.port)) as proxy:
            links = [await made.link(proxy, retries=0) for _ in range(2)]
            cold = await made.link(proxy, warm=False, retries=0)
            proxy.stall()
            task = asyncio.ensure_future(
                _ask_each([ask(each, INCR(b"n")) for each in (*links, cold)])
            )
            await auntil(lambda: waiting_at(proxy.port))
            await end(task)
            proxy.cut()
            for link in made.links:
                for state in link.awaiting.loops.by_loop.values():
                    await auntil(lambda state=state: not state._all)
            proxy.heal()
            await made.assert_whole()

    run(test)


def test_the_error_of_one_takes_nothing_from_the_others(server: Server) -> None:
    async def test(made: Table) -> None:
        with FakeServer(Peer.greet) as fake:
            lost, well = await made.link(fake), await made.link(server)
            replies = await _ask_each([ask(lost, INCR(b"n")), ask(well, INCR(b"n"))])
            assert [type(replies[0][0]), replies[0][0].outcome] == [
                Unavailable,
                "unknown",
            ]
            assert list(replies[1]) == [1]
            made.links.remove(lost)
            await made.assert_whole()

    run(test)


def test_a_setting_that_one_server_refuses_is_raised_and_the_rest_let_go(
    server: Server,
) -> None:
    async def test(made: Table) -> None:
        wrong = await made.link(server, warm=False, db=9999)
        well = await made.link(server)
        cold = await made.link(server, warm=False)
        with pytest.raises(InvalidSetting):
            await _ask_each([ask(each, GET(b"a")) for each in (wrong, well, cold)])
        made.links.remove(wrong)
        await made.assert_whole()

    run(test)


def test_a_read_whose_connection_is_lost_is_asked_again(server: Server) -> None:
    server.ask("SET", "a", "1")

    async def test(made: Table) -> None:
        links = [await made.link(server) for _ in range(2)]
        asks = [many(each, b"a", b"b") for each in links]
        task = asyncio.ensure_future(_ask_each(asks))
        await asyncio.sleep(0)
        for link in links:
            (state,) = link.awaiting.loops.by_loop.values()
            state.shared.close()
        assert [list(each) for each in await task] == [[b"1", None]] * 2

    run(test)


def test_a_mutation_whose_connection_is_lost_is_not(server: Server) -> None:
    async def test(made: Table) -> None:
        with Proxy((server.host, server.port)) as proxy:
            link = await made.link(proxy)
            proxy.stall()
            task = asyncio.ensure_future(_ask_each([ask(link, INCR(b"n"))] * 2))
            await auntil(lambda: waiting_at(proxy.port))
            (state,) = link.awaiting.loops.by_loop.values()
            state.shared.close()
            replies = [each[0] for each in await task]
            assert [each.outcome for each in replies] == ["unknown"] * 2
            proxy.heal()
            await made.assert_whole()

    run(test)


def test_an_answer_that_does_not_come_in_time_is_the_error_of_its_commands(
    server: Server,
) -> None:
    async def test(made: Table) -> None:
        with Proxy((server.host, server.port)) as proxy:
            slow, well = await made.link(proxy), await made.link(server)
            proxy.stall()
            replies = await _ask_each(
                [ask(slow, GET(b"a"), GET(b"b"), lasts=0.05), ask(well, ECHO(b"hi"))]
            )
            assert [type(each) for each in replies[0]] == [DeadlineExceeded] * 2
            assert list(replies[1]) == [b"hi"]
            proxy.heal()
            await made.assert_whole()

    run(test)


def test_a_script_that_a_server_does_not_know_goes_whole(server: Server) -> None:
    async def test(made: Table) -> None:
        links = [await made.link(server) for _ in range(2)]
        commands = [call(ADD, (b"n",), (b"1",)), ECHO(b"hi")]
        replies = await _ask_each([ask(each, *commands) for each in links])
        assert sorted(each[0] for each in replies) == [1, 2]
        assert [each[1] for each in replies] == [b"hi"] * 2

    run(test)


def test_a_flight_may_hold_one_command_twice(server: Server) -> None:
    # The reader takes flights of one command, many times over, for alike.
    async def test(made: Table) -> None:
        links = [await made.link(server) for _ in range(2)]
        same = GET(b"a")
        replies = await _ask_each([ask(each, same, INCR(b"n"), same) for each in links])
        assert sorted(each[1] for each in replies) == [1, 2]
        assert [[each[0], each[2]] for each in replies] == [[None, None]] * 2

    run(test)
