"""One connection through a proxy: two sockets, and a stream of pieces each way.

Only the proxy's thread touches it, and nothing here waits: sockets do not block, and
what is due later is asked for with `tick`. What a side does reaches the other as
it would without a proxy: its end of file, its reset, and that it does not read.
"""

from __future__ import annotations

import contextlib
import errno
import math
import selectors
import socket
import struct
from collections import deque
from collections.abc import Iterable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from redpony.testing.chaos.toxics import Direction, End, Piece, Stage

if TYPE_CHECKING:
    from redpony.testing.chaos.loop import Loop
    from redpony.testing.chaos.proxy import Toxic

Place = tuple[socket.AddressFamily, Any]
"""A family and an address of it, as `connect` takes it."""

_READ = 65_536
_KEPT = 1_048_576
"""So many bytes wait in a stream before its source is left unread."""
_SENDS = 256
"""So many pieces go out in one turn: other connections have theirs."""
_AGAIN = 0.01
"""Seconds after which a unix socket is tried again whose queue was full."""


class Stream:
    """What flows one way: from its source, through the stages, to its target."""

    def __init__(
        self,
        loop: Loop,
        direction: Direction,
        source: socket.socket,
        target: socket.socket,
    ) -> None:
        self.source, self.target = source, target
        self.stages: dict[Toxic, Stage] = {}
        self.ended = False
        """The source has ended: there is nothing more to read."""
        self.over: End | None = None
        """How it ended for the target, once it did."""
        self._loop = loop
        self._direction = direction
        self._out: deque[Piece] = deque()
        self._out_size = 0

    @property
    def reads(self) -> bool:
        """Whether more is wanted from the source."""
        if self.ended or self.over:
            return False
        kept = self._out_size
        for stage in self.stages.values():
            if stage.holds:
                return False
            kept += stage.size
        return kept < _KEPT

    @property
    def writes(self) -> bool:
        """Whether something waits for the target to take it."""
        return bool(self._out) and not self.over

    @property
    def due(self) -> float:
        return min((each.due for each in self.stages.values()), default=math.inf)

    @property
    def spent(self) -> bool:
        """Whether nothing will come out any more; its end may have been lost."""
        if self.over or not self.ended or self._out:
            return bool(self.over)
        return all(not each.keeps for each in self.stages.values())

    def read(self, now: float) -> None:
        """Take what the source has sent."""
        try:
            data = self.source.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            self.ended = True
            self.carry([End.RESET], now)
            return
        self.ended = not data
        self.carry([data or End.FINISHED], now)

    def carry(self, pieces: list[Piece], now: float, past: int = 0) -> None:
        """Put pieces through the stages, without the first so many; send what is due."""
        for stage in list(self.stages.values())[past:]:
            for piece in pieces:
                stage.put(piece, now)
            pieces = stage.take(now)
        for piece in pieces:
            self._out.append(piece)
            if isinstance(piece, bytes):
                self._out_size += len(piece)
        self.flush()

    def part(self, toxic: Toxic, now: float) -> None:
        """Take a toxic out of the stream; what it kept goes on."""
        stage = self.stages.get(toxic)
        if stage is not None:
            past = list(self.stages).index(toxic)
            del self.stages[toxic]
            self.carry(stage.leave(), now, past)

    def flush(self) -> None:
        """Send what the target takes."""
        for _ in range(min(_SENDS, len(self._out))):
            if self.over:
                return
            piece = self._out[0]
            if isinstance(piece, End):
                self._finish(piece)
                return
            # Counted before it leaves: who receives it may look at once.
            self._loop.carried[self._direction] += len(piece)
            try:
                sent = self.target.send(piece)
            except BlockingIOError:
                sent = 0
            except OSError:
                # The target is gone: how, is for the stream that reads from it.
                self._finish(End.FINISHED)
                return
            self._loop.carried[self._direction] -= len(piece) - sent
            self._out_size -= sent
            if sent < len(piece):
                self._out[0] = piece[sent:]
                return
            self._out.popleft()

    def _finish(self, end: End) -> None:
        self.over = end
        self._out.clear()
        if end is End.FINISHED:
            with contextlib.suppress(OSError):
                self.target.shutdown(socket.SHUT_WR)


class Relay:
    """A client's connection and the one to the server that stands for it."""

    def __init__(
        self, loop: Loop, client: socket.socket, places: Iterable[Place]
    ) -> None:
        self.open = True
        self.scheduled = math.inf
        """When the loop will come with `tick`, at the latest."""
        self._loop = loop
        self._client = client
        self._places = list(places)
        self._again = math.inf
        self._connected = False
        self._watched: dict[socket.socket, int] = {}
        self._server = self._new_server()
        self._make_ready(client)
        self.up = Stream(loop, "upstream", client, self._server)
        self.down = Stream(loop, "downstream", self._server, client)

    def start(self) -> None:
        """Open the connection to the server."""
        self._connect()
        self.settle()

    @property
    def due(self) -> float:
        return min(self._again, self.up.due, self.down.due)

    def meet(self, toxic: Toxic, now: float, random: Random) -> None:
        """Let a toxic work here, if chance has it."""
        if random.random() < toxic.toxicity:
            self._stream(toxic).stages[toxic] = toxic.make(now, random)

    def part(self, toxic: Toxic, now: float) -> None:
        """Let a toxic work here no more."""
        self._stream(toxic).part(toxic, now)
        self.settle()

    def ready(self, sock: socket.socket, events: int, now: float) -> None:
        """Move what can be moved, now that a socket is ready."""
        if not self.open:
            return
        incoming, outgoing = self.up, self.down
        if sock is self._server:
            incoming, outgoing = self.down, self.up
            if not self._connected:
                self._see_connected()
                return
        if events & selectors.EVENT_READ and incoming.reads:
            incoming.read(now)
        if events & selectors.EVENT_WRITE:
            outgoing.flush()
        self.settle()

    def tick(self, now: float) -> None:
        """Move what has become due."""
        if self._again <= now:
            self._again = math.inf
            self._connect()
        for stream in (self.up, self.down):
            if self.open and stream.stages:
                stream.carry([], now)
        self.settle()

    def settle(self) -> None:
        """Close if all is said, otherwise say which sockets are to be watched."""
        if not self.open:
            return
        for stream in (self.up, self.down):
            if stream.over is End.CLOSED:
                self.close()
                return
            if stream.over is End.RESET:
                self.close(reset=stream.target)
                return
        if self.up.spent and self.down.spent:
            self.close()
            return
        self._watch(self._client, self.up.reads and self._connected, self.down.writes)
        self._watch(
            self._server,
            self.down.reads and self._connected,
            self.up.writes or not (self._connected or self._again < math.inf),
        )
        self._loop.schedule(self)

    def close(self, *, reset: socket.socket | None = None) -> None:
        """Close both sides, one of them with RST if it is named."""
        if not self.open:
            return
        self.open = False
        for sock in (self._client, self._server):
            self._watch(sock, reads=False, writes=False)
            if sock is reset:
                _linger_no_more(sock)
            else:
                _say_the_end(sock)
            sock.close()
        self._loop.relays.discard(self)

    def _stream(self, toxic: Toxic) -> Stream:
        return self.up if toxic.stream == "upstream" else self.down

    def _watch(self, sock: socket.socket, reads: bool, writes: bool) -> None:
        wanted = selectors.EVENT_READ * reads | selectors.EVENT_WRITE * writes
        watched = self._watched.get(sock, 0)
        if wanted == watched:
            return
        self._watched[sock] = wanted
        if not wanted:
            self._loop.selector.unregister(sock)
        elif not watched:
            self._loop.selector.register(sock, wanted, partial(self.ready, sock))
        else:
            self._loop.selector.modify(sock, wanted, partial(self.ready, sock))

    # -- the server's side ------------------------------------------------------

    def _new_server(self) -> socket.socket:
        sock = socket.socket(self._places[0][0], socket.SOCK_STREAM)
        self._make_ready(sock)
        return sock

    @staticmethod
    def _make_ready(sock: socket.socket) -> None:
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _connect(self) -> None:
        code = self._server.connect_ex(self._places[0][1])
        if code == errno.EAGAIN:
            self._again = self._loop.now() + _AGAIN
        elif code == 0:
            self._connected = True
        elif code != errno.EINPROGRESS:
            self._try_next()

    def _see_connected(self) -> None:
        if self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._try_next()
        else:
            self._connected = True
        self.settle()

    def _try_next(self) -> None:
        """Go on with the next address that the server's name stands for."""
        if len(self._places) == 1:
            self.close()
            return
        self._watch(self._server, reads=False, writes=False)
        del self._places[0], self._watched[self._server]
        self._server.close()
        self._server = self.up.target = self.down.source = self._new_server()
        self._connect()


def _linger_no_more(sock: socket.socket) -> None:
    """Have the socket's end be RST; on a unix socket it is an end of file."""
    if sock.family != socket.AF_UNIX:
        linger = struct.pack("ii", 1, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def _say_the_end(sock: socket.socket) -> None:
    """Have the socket's end be FIN, which takes that nothing is left unread."""
    with contextlib.suppress(OSError):
        # Said at once, even if a forked process holds the socket too.
        sock.shutdown(socket.SHUT_WR)
        for _ in range(16):
            if not sock.recv(_READ):
                return
