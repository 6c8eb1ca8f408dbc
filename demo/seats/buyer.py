"""What one buyer does, in a process of its own, and the three ways to do it.

Whoever has found a free seat pays for it, which takes a while, and then writes the
ticket. In the two ways with a lock one buyer is stopped between the last two steps, as
a paused machine is, for longer than its lease.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

from django.db import transaction

from redpony import get_redis
from redpony.locks import Lock, LockLost
from seats.cabin import LAST_SEATS
from seats.models import Sale, Ticket

LEASE = 1.0
"""Seconds. Too short for whoever is stopped for longer, as any lease is."""

PAYING = (0.09, 0.15)
AT_ONCE = (0.4, 2.4)
"""Seconds that it takes to pay: at least, and at most. Where all pay at the same time
they are given longer, or it would be over before anybody could watch."""

STOPPED_AFTER = 3
"""Tickets that are sold when the next buyer is stopped."""

POLLING = 0.05
"""Seconds between two looks, of those who have no line to stand in."""


class SoldOut(Exception):
    """There is no seat left."""


class TooLate(Exception):
    """A later holder of the lock has been here: this one writes no more."""


def tell(what: str, **more: Any) -> None:
    """Write a line to whoever started this: one write, so lines stay whole."""
    news = {"what": what, "at": time.monotonic(), **more}
    os.write(1, json.dumps(news).encode() + b"\n")


class Buyer:
    """One of the forty."""

    def __init__(self, sale: Sale, number: int) -> None:
        self.sale = sale
        self.number = number

    def tell(self, what: str, **more: Any) -> None:
        tell(what, buyer=self.number, **more)

    def choose(self, fence: int | None = None) -> str:
        """Return a seat that nobody has a ticket for. Raises `SoldOut`, `TooLate`."""
        if fence is not None:
            self._enter(fence)
        tickets = Ticket.objects.filter(sale=self.sale)
        taken = set(tickets.values_list("seat", flat=True))
        free = [seat for seat in LAST_SEATS if seat not in taken]
        if not free:
            raise SoldOut
        seat = free[self.number % len(free)]
        self.tell("pays", seat=seat)
        time.sleep(random.uniform(*(AT_ONCE if self.sale.way == "none" else PAYING)))
        if self.sale.way != "none" and len(taken) == STOPPED_AFTER:
            self._stop(seat)
        return seat

    def write(self, seat: str, fence: int | None = None) -> None:
        """Write the ticket; nobody asks who else has one. Raises `TooLate`."""
        with transaction.atomic():
            if fence is not None:
                self._enter(fence)
            Ticket.objects.create(sale=self.sale, seat=seat, buyer=self.number)
        self.tell("sold", seat=seat)

    def _enter(self, fence: int) -> None:
        """Have the sale refuse all smaller fences from now on."""
        sale = Sale.objects.filter(pk=self.sale.pk, fence__lte=fence)
        if not sale.update(fence=fence):
            raise TooLate

    def _stop(self, seat: str) -> None:
        """Be the one who is stopped, unless somebody else is."""
        if Sale.objects.filter(pk=self.sale.pk, stopped_at="").update(stopped_at=seat):
            self.tell("stopped", seat=seat)
            os.kill(os.getpid(), signal.SIGSTOP)
            self.tell("awake", seat=seat)


def with_no_lock(buyer: Buyer) -> None:
    """Find a seat and write the ticket."""
    buyer.write(buyer.choose())


def with_recipe(buyer: Buyer) -> None:
    """The same between SET NX and DEL, as it is usually written."""
    redis, key = get_redis("default"), recipe_key(buyer.sale)
    buyer.tell("waits")
    while not redis.set(key, buyer.number, nx=True, px=int(LEASE * 1000)):
        time.sleep(POLLING)
    buyer.tell("has")
    try:
        buyer.write(buyer.choose())
    finally:
        buyer.tell("leaves")
        redis.delete(key)


def with_fence(buyer: Buyer) -> None:
    """The same with a lock, whose fence the sale checks."""
    lock = lock_of(buyer.sale)
    buyer.tell("waits")
    with lock as held:
        buyer.tell("has", fence=held.fence)
        try:
            buyer.write(buyer.choose(held.fence), held.fence)
        finally:
            buyer.tell("leaves")


WAYS: dict[str, Callable[[Buyer], None]] = {
    "none": with_no_lock,
    "recipe": with_recipe,
    "lock": with_fence,
}


def buy(buyer: Buyer) -> None:
    """Buy in the way of the sale, and tell what came of it."""
    try:
        WAYS[buyer.sale.way](buyer)
    except SoldOut:
        buyer.tell("sold out")
    except (TooLate, LockLost):
        buyer.tell("refused")
    except Exception as error:  # the page shows it: Redis may be switched off
        buyer.tell("failed", why=type(error).__name__)


def lock_of(sale: Sale) -> Lock:
    """Return the lock of a sale. Its lease is renewed while its holder runs."""
    return Lock(f"seats:{sale.pk}", lease=LEASE)


def recipe_key(sale: Sale) -> str:
    """Return the key that the recipe sets and deletes."""
    return f"flights:recipe:{sale.pk}"
