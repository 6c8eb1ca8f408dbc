"""What the pages ask the database: plain, indexed, and as slow as it is.

Each function returns rows of plain values, ready for the cache: reading them back
costs no query. They are synchronous; views call several in one thread hop.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Avg, Count, F, Q, QuerySet

from departures.clock import windows
from departures.models import Airport, Flight

Rows = list[dict[str, Any]]

LONG_HAUL = 13_000
"""Kilometres: few enough flights that a board of them moves on."""

DAY = 24 * 60


def next_departures(now: int, count: int = 10) -> Rows:
    """Return the world's next departures to the other side of it."""
    return _board(Flight.objects.filter(distance__gt=LONG_HAUL), now, DAY, count)


def airport_departures(code: str, now: int, count: int = 16) -> Rows:
    """Return the next departures of one airport, by its IATA or ICAO code."""
    flights = Flight.objects.filter(**{f"origin__{_field(code)}": code})
    return _board(flights, now, 7 * DAY, count)


def countries(now: int, count: int = 6) -> Rows:
    """Return the countries with the most departures in the next 24 hours."""
    rows = (
        _leaving(now, DAY)
        .values(code=F("origin__country"), name=F("origin__country__name"))
        .annotate(
            flights=Count("id"),
            airports=Count("origin", distinct=True),
            reached=Count("destination__country", distinct=True),
            abroad=Count("id", filter=~Q(destination__country=F("origin__country"))),
            distance=Avg("distance"),
        )
        .order_by("-flights", "code")
    )
    return list(rows[:count])


def world(now: int) -> dict[str, Any]:
    """Return the totals of the next 24 hours."""
    return _leaving(now, DAY).aggregate(
        flights=Count("id"),
        airports=Count("origin", distinct=True),
        countries=Count("origin__country", distinct=True),
        delayed=Count("id", filter=Q(delay__gt=0)),
    )


def find_airports(text: str, count: int = 24) -> Rows:
    """Return airports by code, name or city; those with an IATA code come first."""
    wanted = (
        Q(iata__iexact=text)
        | Q(icao__iexact=text)
        | Q(name__icontains=text)
        | Q(city__icontains=text)
    )
    rows = (
        Airport.objects.filter(wanted)
        .annotate(flights=Count("departures"))
        .order_by("-flights", "name")
        .values("icao", "iata", "name", "city", "flights", where=F("country__name"))
    )
    return list(rows[:count])


def airport(code: str) -> dict[str, Any] | None:
    """Return one airport by its IATA or ICAO code."""
    found = Airport.objects.filter(**{_field(code): code})
    return found.values(
        "id", "icao", "iata", "name", "city", "elevation", "timezone",
        "latitude", "longitude", where=F("country__name"),
    ).first()  # fmt: skip


def _field(code: str) -> str:
    return "iata" if len(code) == 3 else "icao"


def _leaving(now: int, minutes: int) -> QuerySet[Flight]:
    wanted = Q()
    for start, end in windows(now, minutes):
        wanted |= Q(minute__gte=start, minute__lt=end)
    return Flight.objects.filter(wanted)


def _board(flights: QuerySet[Flight], now: int, minutes: int, count: int) -> Rows:
    rows: Rows = []
    for start, end in windows(now, minutes):
        if len(rows) == count:
            break
        part = (
            flights.filter(minute__gte=start, minute__lt=end)
            .order_by("minute", "id")
            .values(
                "id", "airline", "number", "minute", "duration", "gate", "delay",
                carrier=F("airline__name"),
                from_code=F("origin__iata"), from_city=F("origin__city"),
                to_code=F("destination__iata"), to_city=F("destination__city"),
                to_country=F("destination__country__name"),
            )
        )  # fmt: skip
        rows += part[: count - len(rows)]
    return rows
