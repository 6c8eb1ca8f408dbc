"""One real server on this machine, that a test can stop, pause, kill and restart.

A `Server` listens on 127.0.0.1 and on a unix socket, in a directory of its own
under the system's temporary directory. It is started by the test process and
dies with it, whatever kills that. Its state is the test's: nothing is shared
with a server that the machine may run. Unless `settings` say otherwise it keeps its
data in memory alone.

Every server has a user `harness` with all permissions; `client()` comes in as
that user, over the unix socket, so tests may set passwords, ACLs and TLS as they
like without locking themselves out. Servers use it among each other, too.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote

import redis

from redpony.testing.chaos.clients import flight
from redpony.testing.chaos.counted import Count, Counted
from redpony.testing.chaos.process import Process, until
from redpony.testing.chaos.programs import free_port, program

HARNESS = ("harness", "harness-password")

Flavour = Literal["valkey", "redis"]


@dataclass
class Certificates:
    """Where a server's certificate, its key and its authority's certificate lie."""

    certificate: Path
    key: Path
    ca: Path


class Server(Process):
    """One server process, from `start()` to `stop()`; also a context manager.

    `flavour` is "valkey" or "redis". `password` is the default user's, `acl`
    are lines of an ACL file (`user alice on >secret ~* +@all`), `settings` are
    lines of redis.conf. With `tls` the TCP port speaks TLS alone (the wheel's
    Valkey is built without). `login` is the user and password that `url()` has.
    """

    def __init__(
        self,
        flavour: str = "valkey",
        *,
        password: str | None = None,
        acl: Sequence[str] = (),
        tls: Certificates | None = None,
        login: tuple[str, str] | None = None,
        settings: Sequence[str] = (),
        port: int | None = None,
    ) -> None:
        self.flavour = flavour
        self.host = "127.0.0.1"
        self.port = port or free_port()
        self.password = password
        self.acl = tuple(acl)
        self.certificates = tls
        self.login = login
        self.settings = tuple(settings)
        self.directory = Path(tempfile.mkdtemp(prefix="rp-"))
        self.socket_path = str(self.directory / "s")
        super().__init__(f"{flavour} on {self.port}", self.directory / "log")
        self._written: list[str] = []
        self._at_start: object = None
        self._clients: list[redis.Redis] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- where it is --------------------------------------------------------

    @property
    def address(self) -> str:
        """The TCP address, as `host:port`."""
        return f"{self.host}:{self.port}"

    def url(
        self, db: int = 0, *, user: str | None = None, password: str | None = None
    ) -> str:
        """Return the URL for the TCP port; the default user's unless one is named."""
        scheme = "rediss" if self.certificates else "redis"
        return f"{scheme}://{self._credentials(user, password)}{self.address}/{db}"

    def unix_url(self, db: int = 0) -> str:
        """Return the URL for the unix socket."""
        return f"unix://{self._credentials(None, None)}{self.socket_path}?db={db}"

    def _credentials(self, user: str | None, password: str | None) -> str:
        if user is None and password is None and self.login is not None:
            user, password = self.login
        secret = self.password if password is None else password
        if not secret:
            return ""
        return f"{quote(user or '', safe='')}:{quote(secret, safe='')}@"

    # -- life and death -----------------------------------------------------

    def start(self) -> None:
        """Start the process and return when it answers."""
        self.launch()
        self.await_answer()
        self._at_start = self.configuration()

    def launch(self) -> None:
        """Start the process without waiting for it."""
        lines, config = self._config(), self.directory / "conf"
        if lines != self._written:
            # Otherwise the file is the server's own, which rewrites it when a
            # sentinel tells it to: after a crash it is again what it was.
            config.write_text("\n".join(lines) + "\n")
            self._written = lines
        self._spawn([program(self.flavour), str(config), *self._arguments()])

    def await_answer(self) -> None:
        """Return when the process answers; raise with its log if it does not."""
        end = time.monotonic() + 10
        while True:
            code = self._ended()
            if code is not None:
                raise RuntimeError(f"{self!r} ended with {code}:\n{self.log[-2000:]}")
            try:
                if self.ask("PING"):
                    return
            except redis.ConnectionError:
                if time.monotonic() > end:
                    self.kill()
                    raise RuntimeError(
                        f"{self!r} is silent:\n{self.log[-2000:]}"
                    ) from None
                time.sleep(0.002)

    def stop(self) -> None:
        """End the process politely, and by force after five seconds."""
        if self.process is None:
            return
        self.resume()
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process, as the kernel would when memory runs out."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start again, on the same port; the data is gone."""
        self.stop()
        self.start()

    def heal(self) -> None:
        """Make it what it was after the start: up, configured as it was, and empty.

        A server that is not, or that follows another one, is started anew.
        """
        if self.is_up and self._is_as_started():
            self.flush()
            return
        self.kill()
        self.forget()
        self.start()

    def close(self) -> None:
        """Stop, and remove every trace."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def forget(self) -> None:
        """Remove what a server that does not run would remember."""
        self._written = []
        for name in ("nodes.conf", "dump.rdb"):
            (self.directory / name).unlink(missing_ok=True)
        shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)

    # -- replication --------------------------------------------------------

    @property
    def role(self) -> str:
        """What the server says that it is: "primary", "replica" or "sentinel"."""
        said = self.ask("ROLE")[0]
        name = said.decode() if isinstance(said, bytes) else str(said)
        return {"master": "primary", "slave": "replica"}.get(name, name)

    def follow(self, primary: Server) -> None:
        """Make this a replica of another server, also after a restart."""
        self.ask("REPLICAOF", primary.host, primary.port)
        self.ask("CONFIG", "REWRITE")

    def lead(self) -> None:
        """Make this a primary, also after a restart."""
        self.ask("REPLICAOF", "NO", "ONE")
        self.ask("CONFIG", "REWRITE")

    def follows(self, primary: Server) -> bool:
        """Return whether this is a replica whose link to that primary is up."""
        return is_link_up(self.info("replication"), primary)

    def await_sync(self) -> None:
        """Return when this replica's link to its primary is up."""
        until(
            lambda: self.info("replication").get("master_link_status") == "up",
            f"the link of {self!r} to its primary is up",
        )

    # -- looking inside -----------------------------------------------------

    def client(self, db: int = 0, **options: Any) -> redis.Redis:
        """Return a redis-py client of the harness user; closed with the server."""
        client = self.connect(db, **options)
        self._clients.append(client)
        return client

    def connect(self, db: int = 0, **options: Any) -> redis.Redis:
        """Return a client as `client()` does, for the caller to close."""
        return redis.Redis(**self.credentials(db, **options))

    def credentials(self, db: int = 0, **options: Any) -> dict[str, Any]:
        """Return what redis-py's client needs to come in as the harness user."""
        user, password = HARNESS
        return {
            "unix_socket_path": self.socket_path,
            "db": db,
            "username": user,
            "password": password,
            "socket_timeout": 5,
            "protocol": 2,
            "retry": None,
            **options,
        }

    def ask(self, *words: Any, db: int = 0) -> Any:
        """Return redis-py's answer to one command, over a connection of its own."""
        with self.connect(db) as client:
            return client.execute_command(*words)

    def info(self, section: str = "everything") -> dict[str, Any]:
        """Return INFO as a dict."""
        with self.connect() as client:
            return dict(client.info(section))

    def configuration(self) -> object:
        """Return all settings and users, but for whom it follows, to be compared."""
        with self.connect() as client:
            return configuration(client)

    def users(self) -> list[dict[str, str]]:
        """Return CLIENT LIST without the harness: the connections of the test."""
        with self.connect() as client:
            return [
                each
                for each in client.client_list()
                # A replica lists the link to its primary as a superuser's.
                if each["user"] != HARNESS[0] and not set(each["flags"]) & set("MS")
            ]

    def hang_up(self) -> int:
        """Close the connections that `users` tells of; return how many."""
        users = self.users()
        with self.connect() as client:
            for each in users:
                client.client_kill_filter(_id=each["id"])
        return len(users)

    def keys(self, db: int = 0) -> list[bytes]:
        """Return all keys, in order."""
        return sorted(self.ask("KEYS", "*", db=db))

    @property
    def primaries(self) -> list[Server]:
        """What groups have: the server itself."""
        return [self]

    def flush(self) -> None:
        """Remove all data and scripts."""
        with self.connect() as client:
            client.flushall()
            client.script_flush()

    def settled(self) -> None:
        """Return when the replicas have what was written: here, at once."""

    @contextlib.contextmanager
    def counting(self) -> Generator[Counted]:
        """Count what the server is asked during a block, without our own."""
        counted = Counted()
        with self.connect() as client:
            count = Count(client)
            yield counted
            counted.add(count.take())

    def _is_as_started(self) -> bool:
        try:
            with self.connect() as client:
                client.client_unpause()
                followed = client.info("replication")["role"] == "slave"
                return not followed and configuration(client) == self._at_start
        except redis.RedisError:
            return False

    # -- how it is started --------------------------------------------------

    def _arguments(self) -> list[str]:
        return []

    def _config(self) -> list[str]:
        user, password = HARNESS
        lines = [
            *self._listening(),
            'save ""',
            "appendonly no",
            "databases 16",
            "enable-debug-command yes",
            # What a replica asks for comes at once, not in the company of others.
            "repl-diskless-sync-delay 0",
            f"masteruser {user}",
            f"masterauth {password}",
            *self.acl,
            *self.settings,
        ]
        if self.password:
            lines.append(f"requirepass {quoted(self.password)}")
        return lines

    def _listening(self) -> list[str]:
        user, password = HARNESS
        lines = [
            f"dir {self.directory}",
            'logfile ""',
            "bind 127.0.0.1",
            f"unixsocket {self.socket_path}",
            "unixsocketperm 700",
            "daemonize no",
            f"user {user} on >{password} ~* &* +@all",
        ]
        if self.certificates is None:
            return [*lines, f"port {self.port}"]
        return [
            *lines,
            "port 0",
            f"tls-port {self.port}",
            *self._trust(self.certificates),
        ]

    def _trust(self, certificates: Certificates) -> list[str]:
        return [
            f"tls-cert-file {certificates.certificate}",
            f"tls-key-file {certificates.key}",
            f"tls-ca-cert-file {certificates.ca}",
            "tls-auth-clients optional",
            # To other servers, too.
            "tls-replication yes",
        ]

    def _end(self, how: signal.Signals) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()
        self._signal(how)
        self._await_end()


def is_link_up(said: Mapping[str, Any], primary: Server) -> bool:
    """Return whether a server's INFO says that it follows a primary, in sync."""
    told = ("role", "master_port", "master_link_status")
    return [said.get(name) for name in told] == ["slave", primary.port, "up"]


def quoted(word: str) -> str:
    """Return a word as a line of redis.conf has it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def configuration(client: redis.Redis) -> object:
    """Return all settings and users, but for whom a server follows, to be compared."""
    config, users = flight(client, ("CONFIG", "GET", "*"), ("ACL", "LIST"))
    settings = dict(zip(config[::2], config[1::2], strict=True))
    for moving in (b"replicaof", b"slaveof"):
        settings.pop(moving, None)
    return settings, sorted(users)
