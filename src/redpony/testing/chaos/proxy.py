"""A TCP proxy that hurts what passes, with Toxiproxy's vocabulary.

    with Proxy("redis://127.0.0.1:6379/1") as proxy:
        ...                                     # LOCATION is proxy.url
        with proxy.latency(100, jitter=20):
            ...                                 # replies are late
        with proxy.down():
            ...                                 # nobody is there

What always holds: a fault is in force when the call that asks for it returns, for
connections that are open and for those to come, and over when its removal returns.
Without a fault the proxy is a wire: what one side does, the other meets.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Self, get_args

from redpony.errors import InvalidSetting
from redpony.testing.chaos import toxics
from redpony.testing.chaos.arguments import checked, common, whole
from redpony.testing.chaos.listener import Listener
from redpony.testing.chaos.loop import Loop
from redpony.testing.chaos.target import Target, aim
from redpony.testing.chaos.toxics import Direction, End, MakeStage
from redpony.wire.config import Tcp, Unix


class Toxic:
    """A fault of a proxy, from being asked for until it is removed.

    Also a context manager, which removes it.
    """

    def __init__(
        self, loop: Loop, text: str, stream: Direction, toxicity: float, make: MakeStage
    ) -> None:
        self.stream = stream
        self.toxicity = toxicity
        self.make = make
        self._loop = loop
        self._text = text

    @property
    def active(self) -> bool:
        """Whether it is in force."""
        return self in self._loop.toxics

    def remove(self) -> None:
        """End the fault; what it has kept back goes on. Twice is no error."""
        self._loop.do(self._loop.remove, self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"<{self._text} {self.stream}, toxicity {self.toxicity:g}>"


class Outage:
    """A proxy that lets nobody in, until its block is left; or `proxy.up()`."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._proxy.up()


class Proxy:
    """A port of its own that leads to a server, with faults to switch on.

    `target` is `(host, port)`, the path of a unix socket, or a server's URL. The
    proxy listens on a free port of 127.0.0.1 unless `listen` names another place,
    `(host, port)` or a path. `seed` makes what chance decides (jitter, sizes,
    toxicity) the same in each run.

    All toxics have two more arguments. `stream` is the direction that they work on:
    "downstream", to the client, or "upstream", to the server. `toxicity` is the
    share of connections that meet the toxic, from 0 to 1; for each connection it is
    decided once. Several toxics work one after the other, in the order in which they
    were added. Each can be removed by itself (`toxic.remove()`, or as a context
    manager), all of them with `heal()`.

    Raises `InvalidSetting`, which is a `ValueError`, for what makes no sense.
    """

    def __init__(
        self,
        target: Target,
        *,
        listen: Target = ("127.0.0.1", 0),
        seed: int | None = None,
    ) -> None:
        self._aim = aim(target)
        places = self._aim.places()
        self._listener = Listener(aim(listen, "listens at").address)
        self._silence: list[Toxic] = []
        self._loop = Loop(places, seed)
        self._loop.do(self._loop.listen, self._listener.open())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Proxy at {self.address} before {self._aim}>"

    def close(self) -> None:
        """Close all connections and give the port back."""
        self._loop.close()
        self._listener.close()

    # -- where it is ------------------------------------------------------------

    @property
    def address(self) -> Tcp | Unix:
        """Where it listens."""
        return self._listener.address

    @property
    def host(self) -> str:
        """The host that it listens at; nothing for a unix socket."""
        return self.address.host if isinstance(self.address, Tcp) else ""

    @property
    def port(self) -> int:
        """The port that it listens at; 0 for a unix socket."""
        return self.address.port if isinstance(self.address, Tcp) else 0

    @property
    def url(self) -> str:
        """The target's URL with the proxy in its place, credentials and all."""
        return self._aim.url_at(self.address)

    # -- what has passed ----------------------------------------------------------

    @property
    def accepted(self) -> int:
        """How many connections clients have opened so far."""
        return self._loop.accepted

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self._loop.relays)

    @property
    def to_client(self) -> int:
        """How many bytes have been sent to clients so far."""
        return self._loop.carried["downstream"]

    @property
    def to_server(self) -> int:
        """How many bytes have been sent to the server so far."""
        return self._loop.carried["upstream"]

    @property
    def toxics(self) -> list[Toxic]:
        """The toxics that are in force, in the order in which they work."""
        return list(self._loop.toxics)

    # -- toxics -------------------------------------------------------------------

    def latency(
        self,
        ms: float,
        *,
        jitter: float = 0,
        stream: Direction = "downstream",
        toxicity: float = 1.0,
    ) -> Toxic:
        """Deliver everything `ms` milliseconds later, give or take `jitter`.

        Order is kept, and so is throughput: much can be on its way at once.
        """
        given = checked("latency", ms=ms, jitter=jitter)
        make = partial(toxics.Latency, seconds=ms / 1000, jitter=jitter / 1000)
        return self._add(given, stream, toxicity, make)

    def bandwidth(
        self,
        rate_kb: float,
        *,
        stream: Direction = "downstream",
        toxicity: float = 1.0,
    ) -> Toxic:
        """Let `rate_kb` thousand bytes a second through, on each connection."""
        given = checked("bandwidth", above=0, rate_kb=rate_kb)
        make = partial(toxics.Bandwidth, rate=rate_kb * 1000)
        return self._add(given, stream, toxicity, make)

    def slicer(
        self,
        average_size: int,
        size_variation: int = 0,
        delay_us: float = 0,
        *,
        stream: Direction = "downstream",
        toxicity: float = 1.0,
    ) -> Toxic:
        """Send in slices of `average_size` bytes, give or take `size_variation`.

        There are `delay_us` microseconds between two of them.
        """
        whole("slicer", 1, average_size=average_size)
        whole("slicer", 0, size_variation=size_variation)
        given = checked(
            "slicer",
            average_size=average_size,
            size_variation=size_variation,
            delay_us=delay_us,
        )
        if size_variation >= average_size:
            raise InvalidSetting(
                f"{given}: size_variation must be less than average_size, or slices "
                "would be empty"
            )
        make = partial(
            toxics.Slicer,
            size=average_size,
            variation=size_variation,
            delay=delay_us / 1e6,
        )
        return self._add(given, stream, toxicity, make)

    def limit_data(
        self,
        bytes: int,
        *,
        reset: bool = False,
        stream: Direction = "downstream",
        toxicity: float = 1.0,
    ) -> Toxic:
        """Close each connection once so many more `bytes` have passed.

        With 0 it is closed in place of the next byte. `reset`: with RST to the
        stream's receiver.
        """
        whole("limit_data", 0, bytes=bytes)
        given = checked("limit_data", bytes=bytes)
        end = End.RESET if reset else End.CLOSED
        make = partial(toxics.LimitData, size=bytes, end=end)
        return self._add(given, stream, toxicity, make)

    def timeout(
        self,
        ms: float = 0,
        *,
        stream: Direction = "downstream",
        toxicity: float = 1.0,
    ) -> Toxic:
        """Let nothing through, and close each connection after `ms` milliseconds.

        0 closes none: they are half-open. What comes meanwhile is lost, so removing
        the toxic closes the connections that have lost something.
        """
        given = checked("timeout", ms=ms)
        seconds = ms / 1000 if ms else None
        make = partial(toxics.Ending, seconds=seconds, end=End.CLOSED)
        return self._add(given, stream, toxicity, make)

    def reset_peer(
        self,
        ms: float = 0,
        *,
        stream: Direction = "downstream",
        toxicity: float = 1.0,
    ) -> Toxic:
        """Let nothing through, and reset each connection after `ms` milliseconds.

        RST goes to the stream's receiver; the other side meets the end of the file.
        Over a unix socket, which has no RST, both do.
        """
        given = checked("reset_peer", ms=ms)
        make = partial(toxics.Ending, seconds=ms / 1000, end=End.RESET)
        return self._add(given, stream, toxicity, make)

    def slow_close(
        self,
        ms: float,
        *,
        stream: Direction = "downstream",
        toxicity: float = 1.0,
    ) -> Toxic:
        """Tell the stream's receiver `ms` milliseconds late that it has ended."""
        given = checked("slow_close", ms=ms)
        make = partial(toxics.SlowClose, seconds=ms / 1000)
        return self._add(given, stream, toxicity, make)

    def stall(
        self,
        *,
        stream: Direction = "downstream",
        toxicity: float = 1.0,
    ) -> Toxic:
        """Let nothing through until the toxic is removed; then it arrives.

        So does a network that comes back. Toxiproxy has no such toxic: `timeout`
        loses what comes.
        """
        return self._add("stall()", stream, toxicity, toxics.Stall)

    # -- nobody there ---------------------------------------------------------------

    def down(self) -> Outage:
        """Close all connections and refuse new ones, until `up()`.

        The result is a context manager that ends with `up()`.
        """
        self._leave(self._listener.shut)
        self._loop.do(self._loop.close_all)
        return Outage(self)

    def vanish(self) -> Outage:
        """Answer nothing at all, as a host that has left the network, until `up()`.

        Connections stay and are silent, new ones are neither accepted nor refused.
        With `up()` what was sent arrives. Toxiproxy has no
        such fault. Raises `InvalidSetting` where the proxy listens at a path.
        """
        if isinstance(self.address, Unix):
            raise InvalidSetting(
                f"A proxy at {self.address.path} is no host that could vanish: let it "
                "listen on a port"
            )
        self._leave(self._listener.vanish)
        self._silence = [
            self._add("vanish()", stream, 1, toxics.Stall)
            for stream in get_args(Direction)
        ]
        return Outage(self)

    def up(self) -> None:
        """Be there again after `down` or `vanish`; toxics stay as they are."""
        for toxic in self._silence:
            toxic.remove()
        self._silence = []
        if not self._loop.listening:
            self._loop.do(self._loop.listen, self._listener.open())

    def heal(self) -> None:
        """End all faults: remove all toxics, and be `up`. Toxiproxy's `reset`."""
        for toxic in self.toxics:
            toxic.remove()
        self.up()

    def _leave(self, how: Any) -> None:
        """Let nobody in, in one way or another."""
        self.up()
        self._loop.do(self._loop.ignore)
        how()

    def _add(
        self, given: str, stream: Direction, toxicity: float, make: MakeStage
    ) -> Toxic:
        common(given, stream, toxicity)
        toxic = Toxic(self._loop, given, stream, toxicity, make)
        self._loop.do(self._loop.add, toxic)
        return toxic
