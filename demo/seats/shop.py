"""The shop: one sale at a time, in processes of its own, and what became of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from django.db import connections

from departures.clock import current_minute
from departures.models import Flight
from departures.queries import LONG_HAUL
from seats.buyer import WAYS
from seats.cabin import LAST_SEATS
from seats.models import Sale, Ticket
from seats.progress import Progress

MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
Seats = Mapping[str, list[int]]


@dataclass
class Total:
    """The sales in one way since the start."""

    sales: int = 0
    tickets: int = 0
    seats: int = 0
    overbooked: int = 0
    refused: int = 0


class Shop:
    """What is sold, and how it goes."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._totals = {way: Total() for way in WAYS}
        self._lock = threading.Lock()

    def look(self) -> tuple[Progress | None, dict[str, Total]]:
        """Return how the last sale goes, or went, and the totals: as they are now."""
        with self._lock:
            return deepcopy((self._progress, self._totals))

    def begin(self, way: str) -> None:
        """Let the buyers in, unless they are in. Raises `LookupError`."""
        WAYS[way]
        with self._lock:
            if self._progress is not None and self._progress.phase != "over":
                return
            Sale.objects.all().delete()
            flight = next_flight()
            sale = Sale.objects.create(flight=flight, way=way)
            progress = Progress(sale.pk, way, describe(flight))
            process = subprocess.Popen(
                [sys.executable, str(MANAGE), "sell_seats", str(sale.pk)],
                stdin=subprocess.PIPE,  # never written to: its end is ours
                stdout=subprocess.PIPE,
                env=os.environ | {"DJANGO_SETTINGS_MODULE": "flightboard.settings"},
            )
            self._progress = progress
        threading.Thread(
            target=self._follow, args=(process, progress), daemon=True
        ).start()

    def _follow(self, process: subprocess.Popen[bytes], progress: Progress) -> None:
        """Read what the buyers tell until the last of them is gone."""
        assert process.stdout is not None
        with process:
            for line in process.stdout:
                with self._lock:
                    progress.note(json.loads(line))
        try:
            seats = seats_of(progress.sale)
        finally:
            connections.close_all()
        with self._lock:
            total = self._totals[progress.way]
            total.sales += 1
            total.tickets += sum(map(len, seats.values()))
            total.seats += len(LAST_SEATS)
            total.overbooked += overbooked(seats)
            total.refused += progress.refused
            progress.end()


shop = Shop()


def seats_of(sale: int) -> Seats:
    """Return who has a ticket for each seat, by the database."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    tickets = Ticket.objects.filter(sale=sale).order_by("pk")
    for seat, buyer in tickets.values_list("seat", "buyer"):
        found[seat].append(buyer)
    return found


def overbooked(seats: Seats) -> int:
    """Return how many passengers have a ticket for a seat that was sold before."""
    return sum(len(buyers) - 1 for buyers in seats.values())


def next_flight() -> Flight:
    """Return the next flight to the other side of the world."""
    flights = Flight.objects.filter(distance__gt=LONG_HAUL).order_by("minute")
    flights = flights.select_related("airline", "origin", "destination")
    flight = flights.filter(minute__gte=current_minute()).first() or flights.first()
    assert flight is not None
    return flight


def describe(flight: Flight) -> str:
    """Return the flight in words."""
    return f"{flight} from {flight.origin.city} to {flight.destination.city}"
