"""The time of the timetable: minutes of the week, and how they read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from departures.models import MINUTES_A_WEEK


def current_minute() -> int:
    """Return the minute of the week, now."""
    now = datetime.now(UTC)
    return now.weekday() * 1440 + now.hour * 60 + now.minute


def moment(minute: int, *, now: int) -> datetime:
    """Return when this minute of the week comes next, at or after the minute `now`."""
    this_minute = datetime.now(UTC).replace(second=0, microsecond=0)
    return this_minute + timedelta(minutes=(minute - now) % MINUTES_A_WEEK)


def zone(name: str) -> tzinfo:
    """Return the time zone, or UTC where the machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def windows(now: int, minutes: int) -> list[tuple[int, int]]:
    """Return the half-open ranges that cover the next minutes: two at a week's end."""
    end = now + minutes
    if end <= MINUTES_A_WEEK:
        return [(now, end)]
    return [(now, MINUTES_A_WEEK), (0, end - MINUTES_A_WEEK)]
