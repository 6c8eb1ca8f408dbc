"""Start the demo: `make demo`, or `python demo/run.py`.

Makes the database if it is missing, finds a free port unless `PORT` names one, serves
the site with uvicorn on this machine only, and says where. With `--cluster` (`make
demo-cluster`) its cache is a cluster of six local nodes. Ctrl-C ends everything, the
Redis servers with it.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

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
    parser = argparse.ArgumentParser(description="Start the demo.")
    parser.add_argument(
        "--cluster", action="store_true", help="on a cluster of six local nodes"
    )
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _leave)
    servers = None
    listener = _listen(os.environ.get("PORT"))
    try:
        if arguments.cluster:
            from outage.cluster import LocalCluster

            servers = LocalCluster()
            print("Starting six nodes ...", flush=True)
            servers.begin()
            os.environ["DEMO_LOCATION"] = servers.url
            print(f"DEMO_LOCATION={servers.url}", flush=True)
        django.setup()
        from departures.fill import prepare
        from outage.servers import adopt, ours

        started = time.perf_counter()
        print("Preparing the timetable ...", flush=True)
        if prepare():
            print(f"Made in {time.perf_counter() - started:.1f} s.", flush=True)
        if servers is not None:
            adopt(servers)
        elif (servers := ours()) is not None:
            servers.begin()
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
        # A second Ctrl-C must not leave half of it behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        listener.close()
        if servers is not None:
            servers.end()


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


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
