"""The simulation: who flies where and when, the same for everyone.

Nothing here is real except the airports. The seed is fixed, so every machine gets
the same timetable; it has the shape of the real thing (hubs, feeders, few flights
at night, most of them short) and none of its facts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt

from departures.models import MINUTES_A_WEEK

SEED = 1989
FIRST_WAVE, LAST_WAVE = 5 * 60 + 30, 23 * 60

AIRLINES = {
    "RP": "Redpony Air",
    "QX": "Quartz Express",
    "NV": "Nordvind",
    "ZL": "Zephyr Lines",
    "PC": "Pacific Crane",
    "AL": "Austral Wings",
    "KS": "Kestrel",
    "MB": "Mirabel",
    "SD": "Sundial Airways",
    "TR": "Tarka",
    "BU": "Bluefin",
    "OR": "Orchid Air",
    "HL": "Halcyon",
    "CR": "Caravel",
    "JC": "Jacaranda",
    "LM": "Lumen",
    "WX": "Westerly",
    "DA": "Dahlia",
    "GN": "Gannet",
    "VE": "Verano",
}


@dataclass(frozen=True, slots=True)
class Stop:
    """What the simulation needs to know of an airport.

    `rank` is 2 for a hub, 1 for an international airport, 0 for the rest.
    """

    id: int
    rank: int
    country: str
    latitude: float
    longitude: float


Row = tuple[str, int, int, int, int, int, int, str, int]


def simulate(stops: list[Stop]) -> Iterator[Row]:
    """Yield the flights of one week as rows of the table of flights."""
    dice = random.Random(SEED)
    airlines = list(AIRLINES)
    numbers = dict.fromkeys(AIRLINES, 99)
    for here, there, weekly in _routes(stops, dice):
        distance = _kilometres(here, there)
        duration = 5 * round((35 + distance / 13.5) / 5)
        airline = dice.choice(airlines)
        for start, end in ((here, there), (there, here)):
            for minutes in _services(start, weekly, dice):
                numbers[airline] = 100 + (numbers[airline] - 99) % 9900
                gate = f"{dice.choice('ABCDE')}{dice.randint(1, 48)}"
                for minute in minutes:
                    delay = dice.randint(1, 15) * 5 if dice.random() < 0.18 else 0
                    yield (
                        airline, numbers[airline], start.id, end.id,
                        minute, duration, distance, gate, delay,
                    )  # fmt: skip


def _routes(stops: list[Stop], dice: random.Random) -> Iterator[tuple[Stop, Stop, int]]:
    """Yield pairs of airports and how often a week they are served each way."""
    hubs = [stop for stop in stops if stop.rank == 2]
    large = [stop for stop in stops if stop.rank == 1]
    at_home: dict[str, list[Stop]] = {}
    for stop in hubs + large:
        at_home.setdefault(stop.country, []).append(stop)

    def nearest(stop: Stop, among: list[Stop], looks: int) -> Stop:
        seen = [dice.choice(among) for _ in range(looks)]
        return min(seen, key=lambda each: _kilometres(stop, each))

    for stop in stops:
        served: set[int] = {stop.id}
        near = at_home.get(stop.country, large)
        if stop.rank == 2:
            wishes = [(hubs, 1, (7, 14)) for _ in range(18)]
            wishes += [(large, 8, (7, 28)) for _ in range(30)]
            wishes += [(near, 1, (21, 56)) for _ in range(20)]
        elif stop.rank == 1:
            wishes = [(near, 2, (7, 14)), (near, 2, (3, 7)), (hubs, 3, (7, 7))]
            wishes += [(large, 6, (2, 7))]
        else:
            wishes = [(near, 12, (2, 10))]
        for among, looks, (least, most) in wishes:
            other = nearest(stop, among, looks)
            if other.id not in served:
                served.add(other.id)
                yield stop, other, dice.randint(least, most)


def _services(stop: Stop, weekly: int, dice: random.Random) -> Iterator[list[int]]:
    """Yield services: the minutes of the week of one clock time on several days."""
    east = round(stop.longitude / 15) * 60
    for flown in range(0, weekly, 7):
        clock = 5 * dice.randint(FIRST_WAVE // 5, LAST_WAVE // 5)
        days = dice.sample(range(7), min(weekly - flown, 7))
        yield [(day * 1440 + clock - east) % MINUTES_A_WEEK for day in days]


def _kilometres(a: Stop, b: Stop) -> int:
    """Return the great-circle distance (haversine)."""
    half_north = radians(b.latitude - a.latitude) / 2
    half_east = radians(b.longitude - a.longitude) / 2
    root = sin(half_north) ** 2 + (
        cos(radians(a.latitude)) * cos(radians(b.latitude)) * sin(half_east) ** 2
    )
    return round(12742 * asin(sqrt(root)))
