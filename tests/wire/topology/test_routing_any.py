"""Whatever servers answer, and however slots move: what always holds of a route.

The first half answers at random, also what no server would. The second half asks a
cluster that is made up of servers that follow the cluster specification, while slots
move from one to another between any two flights.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from redpony.commands import (
    ASKING,
    DEL,
    EXISTS,
    GET,
    MGET,
    MSET,
    PING,
    SET,
    SINTER,
    Access,
    Command,
    Script,
    call,
)
from redpony.errors import (
    AuthenticationFailed,
    CircuitOpen,
    DeadlineExceeded,
    NotPrimary,
    Outcome,
    PoolExhausted,
    ProtocolError,
    Redirected,
    RedponyError,
    Unavailable,
    Unreachable,
    from_reply,
)
from redpony.wire.topology.routing import HOPS, Flight
from redpony.wire.topology.shape import Shape, Shard
from redpony.wire.topology.slots import slot_of
from tests.wire.links import INCR
from tests.wire.topology.charts import Chart, Journey, cluster, port_of, replicated

ADD = Script("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])")

KEYS = [b"key:%d" % number for number in range(6)] + [b"{t}%d" % n for n in range(3)]

# -- any answer -----------------------------------------------------------------


def _failures(
    kind: type[Unavailable], *outcomes: Outcome
) -> st.SearchStrategy[RedponyError]:
    return st.sampled_from(outcomes).map(lambda outcome: kind("x", outcome=outcome))


def _redirections(code: str) -> st.SearchStrategy[RedponyError]:
    return st.builds(
        lambda slot, host, port: from_reply(f"{code} {slot} {host}:{port}"),
        st.integers(0, 16383),
        st.sampled_from(["node", ""]),
        st.sampled_from([1, 2, 3, 11, 77]),
    )


REFUSALS = st.one_of(
    _redirections("MOVED"),
    _redirections("ASK"),
    st.sampled_from(
        [
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "READONLY You can't write against a read only replica.",
            "CLUSTERDOWN Hash slot not served",
            "LOADING Redis is loading the dataset in memory",
            "MASTERDOWN Link with MASTER is down",
            "NOREPLICAS Not enough good replicas to write.",
            "WRONGTYPE Operation against a key",
            "OOM command not allowed",
            "NOPERM this user has no permissions",
        ]
    ).map(from_reply),
    _failures(Unavailable, "not_sent", "unknown"),
    _failures(DeadlineExceeded, "not_sent", "unknown"),
    _failures(ProtocolError, "not_sent", "unknown"),
    _failures(AuthenticationFailed, "not_sent", "refused"),
    _failures(Unreachable, "not_sent"),
    _failures(CircuitOpen, "not_sent"),
    _failures(PoolExhausted, "not_sent"),
    _failures(NotPrimary, "not_sent"),
)

some_key = st.sampled_from(KEYS)
some_keys = st.lists(some_key, min_size=1, max_size=5, unique=True).map(tuple)


@st.composite
def command_lists(draw: Any) -> list[Command]:
    """Return commands, each of which no other is equal to."""
    made: list[Command] = []
    for number in range(draw(st.integers(0, 6))):
        mark = b"%d" % number
        tagged = tuple(key + b":" + mark for key in draw(some_keys))
        make = draw(st.sampled_from(["set", "get", "incr", "mget", "mset", "del"]))
        made.append(
            {
                "set": SET(tagged[0], mark),
                "get": GET(tagged[0]),
                "incr": call(ADD, (tagged[0],), (mark,)),
                "mget": MGET(*tagged),
                "mset": MSET(*(word for key in tagged for word in (key, mark))),
                "del": DEL(*tagged),
            }[make]
        )
    return made


def _shape(kind: str, primaries: int, replicas: int) -> Chart:
    return cluster(primaries, replicas) if kind == "cluster" else replicated(replicas)


charts = st.builds(
    _shape,
    st.sampled_from(["cluster", "replicated"]),
    st.integers(1, 4),
    st.integers(0, 2),
)
hows = st.sampled_from([{}, {"together": True}, {"atomic": True}])


class Rough:
    """Servers that answer anything."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw
        self.given: list[Any] = []
        """What was answered, in order: each answer is an object of its own."""

    def __call__(self, flight: Flight) -> list[Any]:
        return [self._one(command) for command in flight.commands]

    def _one(self, command: Command) -> Any:
        if command.kind is ASKING:
            return b"OK"
        if self._draw.draw(st.booleans()):
            error = self._draw.draw(REFUSALS)
            # The same error twice would be one object.
            reply: Any = _again(error)
        elif command.kind is MGET:
            reply = [b"%d" % len(self.given)] * len(command.args)
        elif command.kind is DEL:
            reply = 1
        else:
            reply = b"reply %d" % len(self.given)
        self.given.append(reply)
        return reply


def _again(error: RedponyError) -> RedponyError:
    if isinstance(error, Unavailable):
        made: RedponyError = type(error)(str(error), outcome=error.outcome or "unknown")
        return made
    return type(error)(str(error))


@given(
    draw=st.data(),
    chart=charts,
    commands=command_lists(),
    how=hows,
    fresh=st.booleans(),
)
def test_whatever_servers_answer(
    draw: Any, chart: Chart, commands: list[Command], how: Any, fresh: bool
) -> None:
    def look() -> None:
        if draw.draw(st.booleans()):
            _fail_over(chart)

    journey = Journey(chart, commands, Rough(draw), look, fresh=fresh, **how)
    _answers_each_command(journey, commands, how)
    _repeats_only_what_may_be(journey, commands)
    _is_bounded(journey)
    _asks_directly_before(journey)
    _keeps_the_order(journey, commands)
    if how:
        _stays_whole(journey, commands, how)


def _fail_over(chart: Chart) -> None:
    """Let the first shard's first replica lead, as a look may find."""
    first, *rest = chart.shape.shards
    if first.replicas:
        new = Shard(first.replicas[0], [first.primary, *first.replicas[1:]])
        table = chart.shape.table
        if table is not None:
            table = [new if shard is first else shard for shard in table]
        chart.shape = Shape([new, *rest], table)


def _answers_each_command(journey: Journey, commands: list[Command], how: Any) -> None:
    assert len(journey.items) == len(commands)
    last = {_identity(command): item for command, _, item in journey.sendings}
    for command, item in zip(commands, journey.items, strict=True):
        if _identity(command) not in last or _was_cut(journey, command):
            continue
        given = last[_identity(command)]
        if isinstance(given, Redirected) or "CLUSTERDOWN" in str(given):
            # Said in other words.
            assert isinstance(item, RedponyError)
        elif isinstance(given, RedponyError):
            assert item is given
        else:
            assert item == given


def _was_cut(journey: Journey, command: Command) -> bool:
    return command.name in ("MGET", "MSET", "DEL") and any(
        sent is not command and set(sent.keys) <= set(command.keys)
        for sent, _, _ in journey.sendings
    )


def _identity(command: Command) -> Any:
    """Return what tells a command from others: a script goes in two forms."""
    return command.words(source=True)


def _repeats_only_what_may_be(journey: Journey, commands: list[Command]) -> None:
    """What was answered, or may have been applied, is not sent again."""
    ended: set[Any] = set()
    for command, _, item in journey.sendings:
        name = _identity(command)
        assert name not in ended, f"{command} was sent again"
        if command.access is Access.READ and isinstance(item, RedponyError):
            continue
        if not isinstance(item, RedponyError) or item.outcome == "unknown":
            ended.add(name)


def _is_bounded(journey: Journey) -> None:
    sent = Counter(_identity(command) for command, _, _ in journey.sendings)
    assert max(sent.values(), default=0) <= HOPS
    # A command that is cut up on its way begins to count anew.
    assert len(journey.rounds) <= 2 * HOPS
    assert all(0 < pause < 1 for pause in journey.pauses)


def _asks_directly_before(journey: Journey) -> None:
    for flights in journey.rounds:
        for flight in flights:
            names = [command.name for command in flight.commands]
            assert names[-1] != "ASKING"
            assert ("ASKING", "ASKING") not in itertools.pairwise(names)


def _keeps_the_order(journey: Journey, commands: list[Command]) -> None:
    place = {
        (key, command.access): number
        for number, command in enumerate(commands)
        for key in command.keys
    }
    for flights in journey.rounds:
        for flight in flights:
            places = [
                place[command.keys[0], command.access]
                for command in flight.commands
                if command.keys
            ]
            assert places == sorted(places)


def _stays_whole(journey: Journey, commands: list[Command], how: Any) -> None:
    for flights in journey.rounds:
        (flight,) = flights
        assert flight.atomic is ("atomic" in how)
        sent = [each for each in flight.commands if each.kind is not ASKING]
        assert list(map(_identity, sent)) == list(map(_identity, commands))


# -- a cluster that follows the specification -----------------------------------


@dataclass
class Server:
    """One primary of a cluster: what it believes, and what it has."""

    port: int
    owners: dict[int, int]
    data: dict[bytes, bytes] = field(default_factory=dict)
    migrating: dict[int, int] = field(default_factory=dict)
    importing: dict[int, int] = field(default_factory=dict)
    down: bool = False

    def refuse(self, slot: int, keys: tuple[Any, ...], asking: bool) -> str | None:
        """Return why a command is not answered here; `getNodeByQuery` in words."""
        missing = sum(key not in self.data for key in keys)
        if slot in self.migrating and missing:
            if missing < len(keys):
                return "TRYAGAIN Multiple keys request during rehashing of slot"
            return f"ASK {slot} node:{self.migrating[slot]}"
        if slot in self.importing and asking:
            if len(keys) > 1 and missing:
                return "TRYAGAIN Multiple keys request during rehashing of slot"
            return None
        if self.owners[slot] != self.port:
            return f"MOVED {slot} node:{self.owners[slot]}"
        return None


class Cluster:
    """Servers, the keys that they have, and steps in which slots move."""

    def __init__(self, primaries: int, keys: list[bytes]) -> None:
        self.chart = cluster(primaries)
        table = self.chart.shape.table
        assert table is not None
        owners = {
            slot: port_of(shard.primary)
            for slot, shard in enumerate(table)
            if shard is not None
        }
        self.servers = {
            port_of(node): Server(port_of(node), dict(owners))
            for node in self.chart.shape.primaries
        }
        self.applied: Counter[Any] = Counter()
        self.keys = keys

    def owner(self, slot: int) -> int:
        (one,) = {
            port
            for port, server in self.servers.items()
            if server.owners[slot] == port and slot not in server.importing
        }
        return one

    def begin(self, slot: int, target: int) -> None:
        source = self.owner(slot)
        if source != target and slot not in self.servers[source].migrating:
            self.servers[target].importing[slot] = source
            self.servers[source].migrating[slot] = target

    def carry(self, key: bytes) -> None:
        source = self.servers[self.owner(slot_of(key))]
        target = source.migrating.get(slot_of(key))
        if target is not None and key in source.data:
            self.servers[target].data[key] = source.data.pop(key)

    def finish(self, slot: int) -> None:
        source = self.servers[self.owner(slot)]
        target = source.migrating.get(slot)
        if target is None:
            return
        for key in [key for key in source.data if slot_of(key) == slot]:
            self.carry(key)
        self.servers[target].importing.pop(slot)
        for server in (self.servers[target], *self.servers.values()):
            server.owners[slot] = target
        source.migrating.pop(slot)

    def __call__(self, flight: Flight) -> list[Any]:
        replies = []
        server = self.servers[port_of(flight.node)]
        asking = False
        for command in flight.commands:
            if command.kind is ASKING:
                asking = True
                replies.append(b"OK")
                continue
            replies.append(self._run(server, command, asking))
            asking = asking and flight.atomic
        if flight.atomic:
            refused = [each for each in replies if isinstance(each, RedponyError)]
            if refused:
                return [refused[0]] * len(replies)
        return replies

    def _run(self, server: Server, command: Command, asking: bool) -> Any:
        keys = command.keys or _keys_of_eval(command)
        if not keys:
            return b"PONG"
        slots = {slot_of(key) for key in keys}
        assert len(slots) == 1, f"{command} would be refused with CROSSSLOT"
        refusal = server.refuse(slots.pop(), keys, asking)
        if refusal is not None:
            return from_reply(refusal)
        if command.access is Access.WRITE:
            self.applied[_identity(command)] += 1
        data = server.data
        args = command.args
        if command.kind is MGET:
            return [data.get(key) for key in keys]
        if command.kind is GET:
            return data.get(keys[0])
        if command.kind is SET:
            data[keys[0]] = args[1]
        elif command.kind is MSET:
            data.update(zip(args[::2], args[1::2], strict=True))
        elif command.kind in (DEL, EXISTS):
            found = sum(key in data for key in keys)
            if command.kind is DEL:
                for key in keys:
                    data.pop(key, None)
            return found
        elif command.kind is INCR:
            data[keys[0]] = b"%d" % (int(data.get(keys[0], 0)) + 1)
            return int(data[keys[0]])
        return b"OK"


def _keys_of_eval(command: Command) -> tuple[Any, ...]:
    if command.name != "EVAL":
        return ()
    return command.args[2 : 2 + int(command.args[1])]


@st.composite
def migrations(draw: Any) -> list[tuple[Any, ...]]:
    """Return what is done to the cluster before each flight; few, as in life."""
    steps: list[tuple[Any, ...]] = []
    for _ in range(draw(st.integers(0, 6))):
        key = draw(some_key)
        act = draw(st.sampled_from(["begin", "begin", "carry", "carry", "finish"]))
        if act == "begin":
            steps.append((act, slot_of(key), draw(st.integers(1, 3))))
        elif act == "carry":
            steps.append((act, key))
        else:
            steps.append((act, slot_of(key)))
    return steps


def _moving(servers: Cluster, steps: list[tuple[Any, ...]]) -> Any:
    left = list(steps)

    def answer(flight: Flight) -> list[Any]:
        if left:
            act, *args = left.pop(0)
            getattr(servers, act)(*args)
        return servers(flight)

    return answer


@given(
    steps=migrations(),
    before=migrations(),
    there=st.sets(some_key),
    keys=st.lists(some_key, min_size=1, max_size=12),
)
def test_whatever_moves_every_key_is_found(
    steps: Any, before: Any, there: set[bytes], keys: list[bytes]
) -> None:
    servers = Cluster(3, KEYS)
    for key in there:
        servers.servers[servers.owner(slot_of(key))].data[key] = b"v" + key
    for act, *args in before:
        getattr(servers, act)(*args)
    commands: list[Command] = [MGET(*keys), EXISTS(*dict.fromkeys(keys))]
    commands += [GET(key) for key in keys]
    journey = Journey(servers.chart, commands, _moving(servers, steps))
    expected = [b"v" + key if key in there else None for key in keys]
    assert journey.items == [
        expected,
        len(there & set(keys)),
        *expected,
    ]


@given(
    steps=migrations(),
    before=migrations(),
    there=st.sets(some_key),
    keys=st.lists(some_key, min_size=1, max_size=6, unique=True),
)
def test_whatever_moves_every_write_happens_once(
    steps: Any, before: Any, there: set[bytes], keys: list[bytes]
) -> None:
    servers = Cluster(3, KEYS)
    for key in there:
        servers.servers[servers.owner(slot_of(key))].data[key] = b"0"
    for act, *args in before:
        getattr(servers, act)(*args)
    commands = [INCR(key) for key in keys] + [
        call(ADD, (key,), (b"%d" % number,)) for number, key in enumerate(keys)
    ]
    journey = Journey(servers.chart, commands, _moving(servers, steps))
    assert journey.items == [1] * len(keys) + [b"OK"] * len(keys)
    assert set(servers.applied.values()) == {1}
    assert len(servers.applied) == len(commands)


@given(
    steps=migrations(),
    before=migrations(),
    there=st.sets(some_key),
    atomic=st.booleans(),
)
def test_whatever_moves_what_runs_together_is_applied_whole_or_not_at_all(
    steps: Any, before: Any, there: set[bytes], atomic: bool
) -> None:
    servers = Cluster(3, KEYS)
    for key in there:
        servers.servers[servers.owner(slot_of(key))].data[key] = b"0"
    for act, *args in before:
        getattr(servers, act)(*args)
    commands = [SET(b"{t}0", b"1"), PING(), INCR(b"{t}0")]
    journey = Journey(
        servers.chart, commands, _moving(servers, steps), together=True, atomic=atomic
    )
    assert journey.items == [b"OK", b"PONG", 2]
    assert set(servers.applied.values()) == {1}


def test_what_cannot_be_cut_is_never_sent_across_slots() -> None:
    servers = Cluster(3, KEYS)
    journey = Journey(servers.chart, [SINTER(*KEYS)], servers)
    assert isinstance(journey.items[0], RedponyError)
    assert journey.sendings == []
