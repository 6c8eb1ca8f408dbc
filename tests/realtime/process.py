"""The site in a process of its own, under a real ASGI server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
APPLICATION = "tests.realtime.site:application"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _command(server: str, port: int, application: str) -> list[str]:
    here = [sys.executable, "-m"]
    bind = f"127.0.0.1:{port}"
    return {
        "uvicorn": [*here, "uvicorn", "--port", str(port), "--log-level", "warning"],
        "hypercorn": [*here, "hypercorn", "--bind", bind, "--log-level", "warning"],
        "daphne": [*here, "daphne", "-b", "127.0.0.1", "-p", str(port), "-v", "0"],
        "granian": [
            *here, "granian", "--interface", "asgi", "--host", "127.0.0.1",
            "--port", str(port), "--log-level", "warning",
        ],
    }[server] + [application]  # fmt: skip


class Site:
    """A running site; a context manager."""

    def __init__(
        self,
        location: str,
        directory: Path,
        *,
        server: str = "uvicorn",
        application: str = APPLICATION,
        **environment: Any,
    ) -> None:
        self.port = free_port()
        self.server = server
        self.application = application
        self.log = directory / f"site-{self.port}.log"
        self.environment = {
            "LOCATION": location,
            "DATABASE": str(directory / "db.sqlite3"),
            **{
                name.upper(): value if isinstance(value, str) else json.dumps(value)
                for name, value in environment.items()
            },
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._prepare()
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
        return {**os.environ, **self.environment, "PYTHONPATH": path}

    def _prepare(self) -> None:
        code = (
            "import tests.realtime.site; from django.core.management import call_command;"
            "call_command('migrate', verbosity=0)"
        )
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=self._environment(), check=True
        )

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                _command(self.server, self.port, self.application),
                cwd=ROOT,
                env=self._environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,  # with its workers: see `kill`
            )
        end = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                self.get("/plain/")
                return
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < end, self.said()
            time.sleep(0.05)

    def get(self, path: str, cookies: str = "") -> Any:
        """Return an answer's text, or what its JSON says."""
        request = urllib.request.Request(self.url + path, headers={"Cookie": cookies})
        with urllib.request.urlopen(request, timeout=10) as response:
            text = response.read().decode()
            self.cookies = "; ".join(
                each.partition(";")[0]
                for each in response.headers.get_all("Set-Cookie") or []
            )
        return json.loads(text) if text.startswith("{") else text

    def enter(self, name: str) -> tuple[int, str]:
        """Log in; return the user's key, and the session's cookie."""
        user = int(self.get(f"/enter/{name}/")["user"])
        return user, self.cookies

    def about(self) -> dict[str, int]:
        return dict(self.get("/about/"))

    def databases(self) -> int:
        """Return how many connections to the database it has open."""
        assert self.process is not None
        path = str(Path(self.environment["DATABASE"]).resolve())
        found = 0
        for each in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found += str(each.readlink()) == path
        return found

    def stop(self, number: int = signal.SIGTERM, timeout: float = 15) -> int:
        """Ask it to stop, as a supervisor does, and wait for its end."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout)

    def kill(self) -> None:
        """Kill it, and the workers that some servers have and leave behind."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def said(self) -> str:
        return self.log.read_text()
