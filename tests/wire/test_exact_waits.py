"""Who waits exactly goes on when the time is over, whatever the server does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from redpony.commands import BLPOP, RPUSH
from redpony.errors import DeadlineExceeded
from redpony.plan import Plan, Wait
from redpony.testing.chaos import Proxy
from tests.servers import Server
from tests.wire.conftest import MakeWire
from tests.wire.links import Wire

KEY = b"mailbox"


def waiting(seconds: float, *, before: bool, exact: bool) -> Plan[Any]:
    first = RPUSH(b"other", b"x") if before else None
    found = yield Wait(BLPOP(KEY, b"%.3f" % seconds), seconds, first, exact=exact)
    return found


@pytest.fixture
def silent(wire: MakeWire, server: Server) -> Iterator[Wire]:
    """Return a link whose server hangs, with a connection that is open already."""
    with Proxy((server.host, server.port)) as proxy:
        link = wire(proxy, deadline=0.3)
        assert link.run(waiting(0.001, before=False, exact=False)) is None
        proxy.stall()
        yield link
        proxy.heal()


@pytest.mark.parametrize("before", [False, True])
def test_what_the_server_has_is_heard(
    wire: MakeWire, server: Server, before: bool
) -> None:
    link = wire(server)
    link.ask(RPUSH(KEY, b"news"))
    found = link.run(waiting(30, before=before, exact=True))
    assert (found[1] if before else found) == [KEY, b"news"]


def test_nobody_waits_for_a_server_to_say_that_the_time_is_over(silent: Wire) -> None:
    assert silent.run(waiting(0.05, before=False, exact=True)) is None


def test_without_it_the_server_has_to_answer(silent: Wire) -> None:
    with pytest.raises(DeadlineExceeded):
        silent.run(waiting(0.05, before=False, exact=False))


def test_what_leaves_before_has_to_be_answered(silent: Wire) -> None:
    with pytest.raises(DeadlineExceeded):
        silent.run(waiting(0.05, before=True, exact=True))


def test_a_connection_that_the_server_goes_on_with_is_not_used_again(
    wire: MakeWire, server: Server
) -> None:
    """The next one's answer would be the last one's."""
    link = wire(server)
    for number in range(5):
        assert link.run(waiting(0.01, before=False, exact=True)) is None
        link.ask(RPUSH(KEY, b"%d" % number))
        assert link.run(waiting(30, before=True, exact=False))[1] == [
            KEY,
            b"%d" % number,
        ]
