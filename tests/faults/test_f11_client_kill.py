"""F11: the server closes our connections, idle or in flight."""

from __future__ import annotations

import contextlib
import threading

from redpony import events
from tests.servers import until

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")
FLAVOURS = {"single": ("valkey", "redis")}


def test_nobody_hears_of_it_when_it_was_idle(place, caller):
    cache = caller(place.cache())
    assert cache.set("key", "value")
    for count in range(1, 6):
        place.drop_clients()
        assert cache.get("key") == "value"
        place.drop_clients()
        assert cache.incr("n", ignore_key_check=True) == count
        place.drop_clients()
        assert cache.set("key", "value")
    assert cache.breakers == {"closed"}


@contextlib.contextmanager
def killed_before_they_are_served(servers):
    """Have servers read commands for a while, and then kill whoever sent them.

    The pause and the kill arrive together: the kill is the first that is held
    back, and so the first that is done when the pause is over.
    """
    with contextlib.ExitStack() as stack:
        asking = []
        for server in servers:
            client = stack.enter_context(server.connect())
            connection = client.connection_pool.get_connection()
            stack.callback(client.connection_pool.release, connection)
            connection.send_packed_command(
                connection.pack_commands(
                    [
                        ("CLIENT", "PAUSE", 200, "ALL"),
                        ("CLIENT", "KILL", "USER", "default"),
                    ]
                )
            )
            assert connection.read_response() == b"OK"
            asking.append(connection)
        yield
        for connection in asking:
            connection.read_response()


def test_a_read_that_was_in_flight_is_asked_again(place, caller):
    cache = caller(place.cache(DEADLINE=5))
    assert cache.set("key", "value")
    again = []
    with listening(again.append, events.Retried):
        # A pause that is over before we ask has killed an idle connection: again.
        for _ in range(5):
            with killed_before_they_are_served(place.primaries):
                assert cache.get("key") == "value"
            if again:
                break
    assert again[0].commands == ("GET",)
    assert again[0].attempt == 2


def test_a_write_that_was_in_flight_is_told_and_not_done_twice(place, caller):
    cache = caller(place.cache(DEADLINE=5))
    assert cache.incr("n", ignore_key_check=True) == 1
    for server in place.primaries:
        server.ask("CLIENT", "PAUSE", 60_000, "WRITE")
    killer = threading.Thread(target=kill_who_waits, args=(place.primaries,))
    killer.start()
    met = cache.meets("incr", "n", ignore_key_check=True)
    killer.join()
    for server in place.primaries:
        server.ask("CLIENT", "UNPAUSE")
    assert met.outcome == "unknown"
    place.quiet()
    # Held back and never run: what was told to be in doubt did not happen.
    assert cache.get("n") == 1
    assert cache.incr("n") == 2


def kill_who_waits(servers):
    """Wait until a server holds a client's command back, and kill all clients."""

    def waits():
        return any("b" in user["flags"] for each in servers for user in each.users())

    until(waits, "somebody waits")
    for server in servers:
        server.ask("CLIENT", "KILL", "USER", "default")


@contextlib.contextmanager
def listening(handler, *kinds):
    end = events.subscribe(handler, *kinds)
    try:
        yield
    finally:
        end()


def test_a_crowd_is_right_while_its_connections_are_killed(place, workload):
    with workload(place.cache(BREAKER={"COOLDOWN": 0.05})) as load:
        for _ in range(40):
            load.answers(20)
            place.drop_clients()
        load.go_on()
    figures = load.verdict()
    assert figures["answered"] > 5 * figures["unknown"]
