"""Rows of the timetable as a board shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from departures.clock import moment
from departures.queries import Rows

LAST_CALL, BOARDING, GATE_OPEN = 5, 20, 45


def shown(rows: Rows, now: int, zone: tzinfo = UTC) -> list[dict[str, Any]]:
    """Return the rows with times in this zone, and what is happening to each flight."""
    return [_shown(row, moment(row["minute"], now=now), zone) for row in rows]


def _shown(row: dict[str, Any], leaves: datetime, zone: tzinfo) -> dict[str, Any]:
    late = timedelta(minutes=row["delay"])
    state, text = _status(leaves + late - datetime.now(UTC), row["delay"])
    if state == "delayed":
        text = f"Delayed {(leaves + late).astimezone(zone):%H:%M}"
    hours, minutes = divmod(row["duration"], 60)
    return {
        "time": f"{leaves.astimezone(zone):%H:%M}",
        "flight": f"{row['airline']} {row['number']}",
        "carrier": row["carrier"],
        "from": row["from_code"],
        "from_city": row["from_city"],
        "to": row["to_code"],
        "to_city": row["to_city"],
        "to_country": row["to_country"],
        "duration": f"{hours} h {minutes:02}",
        "gate": row["gate"],
        "status": text,
        "state": state,
    }


def _status(until: timedelta, delay: int) -> tuple[str, str]:
    minutes = until.total_seconds() / 60
    if minutes < LAST_CALL:
        return "last-call", "Last call"
    if delay:
        return "delayed", "Delayed"
    if minutes < BOARDING:
        return "boarding", "Boarding"
    if minutes < GATE_OPEN:
        return "open", "Gate open"
    return "on-time", "On time"
