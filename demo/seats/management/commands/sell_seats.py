"""`sell_seats`: forty buyers, each a process of its own, and all of them at once.

The page starts it, and reads what it writes: a line of JSON for everything that
happens. It ends, and all buyers with it, when the page's process is gone: its standard
input is at its end then.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management import BaseCommand
from django.db import connection, connections

from redpony import RedponyError, get_redis
from seats.buyer import Buyer, buy, lock_of, recipe_key, tell
from seats.cabin import BUYERS
from seats.models import Sale, Ticket

LONGEST = 45.0
"""Seconds after which whoever is left is ended."""
STEP = 0.02


class Crowd:
    """The buyers' processes."""

    def __init__(self, sale: Sale) -> None:
        self.sale = sale
        self.living: dict[int, int] = {}
        self.stopped: set[int] = set()
        self._until = time.monotonic() + LONGEST

    def gather(self) -> None:
        """Start every buyer, wait until all are there, and let them go at once."""
        opens, door = os.pipe()
        here, arrived = os.pipe()
        for number in range(1, BUYERS + 1):
            pid = os.fork()
            if pid == 0:
                os.close(door)
                _be_a_buyer(self.sale, number, opens, arrived)
            self.living[pid] = number
        os.close(arrived)
        missing = BUYERS
        while missing and self._may_go_on():
            if select.select([here], [], [], STEP)[0]:
                missing -= len(os.read(here, BUYERS)) or missing
        tell("open", pids=self.living)
        os.close(door)

    def watch(self) -> None:
        """Wake who is stopped when its seat was sold again, and wait for all."""
        line: list[int] = []
        while self.living and self._may_go_on():
            time.sleep(STEP)
            self._look()
            if self.stopped and self._may_be_woken():
                for pid in self.stopped:
                    os.kill(pid, signal.SIGCONT)
                self.stopped.clear()
            if self.sale.way == "lock" and line != (line := self._line()):
                tell("line", buyers=line)

    def end(self) -> None:
        """Leave nobody, and nothing on the server."""
        for pid in self.living:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.living.clear()
        if self.sale.way == "recipe":
            get_redis("default").delete(recipe_key(self.sale))

    def _look(self) -> None:
        while self.living:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            if pid == 0:
                return
            if os.WIFSTOPPED(status):
                self.stopped.add(pid)
            else:
                self.stopped.discard(pid)
                del self.living[pid]

    def _may_be_woken(self) -> bool:
        self.sale.refresh_from_db()
        sold = Ticket.objects.filter(sale=self.sale, seat=self.sale.stopped_at)
        return sold.exists() or len(self.living) == len(self.stopped)

    def _line(self) -> list[int]:
        """Return who stands in the server's line."""
        try:
            waiters = lock_of(self.sale).inspect().waiters
        except RedponyError:
            return []
        return [self.living[each.pid] for each in waiters if each.pid in self.living]

    def _may_go_on(self) -> bool:
        is_left_alone = bool(select.select([sys.stdin], [], [], 0)[0])
        return not is_left_alone and time.monotonic() < self._until


def _be_a_buyer(sale: Sale, number: int, opens: int, arrived: int) -> None:
    """Get ready, wait for the door to open, buy, and end."""
    try:
        connection.ensure_connection()
        try:
            get_redis("default").ping()
            lock_of(sale).locked()
        except Exception:  # it will be met again, and told
            pass
        os.write(arrived, b".")
        os.read(opens, 1)
        buy(Buyer(sale, number))
    finally:
        os._exit(0)


class Command(BaseCommand):
    help = "Sell the last seats of a flight to forty buyers; the page Seats starts it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("sale", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        # Ctrl-C reaches everybody in the terminal; the page's process sees to the end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sale = Sale.objects.get(pk=options["sale"])
        connections.close_all()  # not for the children
        crowd = Crowd(sale)
        try:
            crowd.gather()
            crowd.watch()
        except BrokenPipeError:
            pass  # nobody reads what is told any more: the page's process is gone
        finally:
            crowd.end()
