"""The database of the demo: made at the first start, whole or not at all.

The file is written under another name and renamed when it is complete, so a start
that was interrupted leaves nothing half filled. `EDITION` is in the file: raise it
when the tables or the simulation change, and the next start makes a new one.
"""

from __future__ import annotations

import csv
import sqlite3
from pathlib import Path

import airportsdata
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction

from departures.models import Airline, Airport, Country, Flight
from departures.timetable import AIRLINES, Stop, simulate

EDITION = 2
DATA = Path(__file__).parent / "data"
COUNTRIES = DATA / "countries.csv"
HUBS = DATA / "hubs.txt"


def prepare() -> bool:
    """Make the database unless this edition of it is there; True if it was made."""
    finished = Path(settings.DATABASES["default"]["NAME"])
    if _edition(finished) == EDITION:
        return False
    unfinished = finished.with_name(finished.name + ".unfinished")
    for leftover in (finished, unfinished):
        _remove(leftover)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    connection.close()
    connection.settings_dict["NAME"] = unfinished
    try:
        call_command("migrate", verbosity=0)
        _fill()
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
            cursor.execute(f"PRAGMA user_version = {EDITION}")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
        connection.settings_dict["NAME"] = finished
    unfinished.rename(finished)
    return True


def _fill() -> None:
    with COUNTRIES.open(encoding="utf-8", newline="") as file:
        countries = [Country(**row) for row in csv.DictReader(file)]
    airports = [
        Airport(
            id=number,
            icao=row["icao"],
            iata=row["iata"],
            name=row["name"],
            city=row["city"],
            country_id=row["country"],
            latitude=row["lat"],
            longitude=row["lon"],
            elevation=round(row["elevation"]),
            timezone=row["tz"],
        )
        for number, row in enumerate(airportsdata.load().values(), start=1)
    ]
    airlines = [Airline(code=code, name=name) for code, name in AIRLINES.items()]
    hubs = HUBS.read_text(encoding="ascii").split()
    stops = [
        Stop(
            airport.id,
            _rank(airport, hubs),
            airport.country_id,
            airport.latitude,
            airport.longitude,
        )
        for airport in airports
        if airport.iata
    ]
    columns = (
        "airline_id, number, origin_id, destination_id, "
        "minute, duration, distance, gate, delay"
    )
    with transaction.atomic(), connection.cursor() as cursor:
        Country.objects.bulk_create(countries)
        Airline.objects.bulk_create(airlines)
        Airport.objects.bulk_create(airports, batch_size=2000)
        cursor.executemany(
            f"INSERT INTO {Flight._meta.db_table} ({columns}) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            sorted(simulate(stops), key=lambda row: row[4]),
        )


def _rank(airport: Airport, hubs: list[str]) -> int:
    if airport.iata in hubs:
        return 2
    return 1 if "International" in airport.name else 0


def _edition(path: Path) -> int | None:
    if not path.exists():
        return None
    database = sqlite3.connect(path)
    try:
        return int(database.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError:
        return None
    finally:
        database.close()


def _remove(path: Path) -> None:
    for ending in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
