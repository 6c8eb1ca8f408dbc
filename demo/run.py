"""Start the demo: `make demo`, or `python demo/run.py`.

Makes the database if it is missing, finds a free port unless `PORT` names one, serves
the site with uvicorn on this machine only, and says where. Ctrl-C ends it, and with it
the embedded Redis server.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import django
import uvicorn

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flightboard.settings")

HOST = "127.0.0.1"
USUAL_PORT = 8000
PATIENCE = 3
"""Seconds that requests in progress have to end after Ctrl-C."""


class Server(uvicorn.Server):
    """uvicorn, saying one line when it is ready."""

    url = ""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"Redpony demo: {self.url}  (Ctrl-C stops everything)", flush=True)


def main() -> None:
    """Prepare, serve, and leave nothing behind."""
    django.setup()
    from departures.fill import prepare
    from outage.server import begin, end

    listener = _listen(os.environ.get("PORT"))
    try:
        started = time.perf_counter()
        print("Preparing the timetable ...", flush=True)
        if prepare():
            print(f"Made in {time.perf_counter() - started:.1f} s.", flush=True)
        begin()
        server = Server(
            uvicorn.Config(
                "flightboard.asgi:application",
                lifespan="off",
                log_level="warning",
                timeout_graceful_shutdown=PATIENCE,
            )
        )
        server.url = f"http://{HOST}:{listener.getsockname()[1]}/"
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # that is how it ends
    finally:
        listener.close()
        end()


def _listen(port: str | None) -> socket.socket:
    """Return a socket bound to the port asked for, else the usual one, else any."""
    if port:
        try:
            return _bound(int(port))
        except (OSError, ValueError, OverflowError) as error:
            raise SystemExit(f"PORT={port} cannot be used: {error}") from None
    try:
        return _bound(USUAL_PORT)
    except OSError:
        return _bound(0)


def _bound(port: int) -> socket.socket:
    return socket.create_server((HOST, port), backlog=128)


if __name__ == "__main__":
    main()
