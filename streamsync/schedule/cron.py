"""When a schedule ticks. No I/O; daylight saving as Debian's cron treats it (cronsim)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import dropwhile, takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim


def ticks_between(cron: str, timezone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """Ticks in (after, until], in UTC, oldest first."""
    return takewhile(lambda moment: moment <= until, _ticks_after(cron, timezone, after))


def next_tick(cron: str, timezone: str, after: datetime) -> datetime:
    """The first tick after a moment, in UTC."""
    return next(_ticks_after(cron, timezone, after))


def _ticks_after(cron: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """From within an hour that comes twice cronsim begins with ticks of the first time: those are past."""
    moments = (tick.astimezone(UTC) for tick in CronSim(cron, after.astimezone(ZoneInfo(timezone))))
    return dropwhile(lambda moment: moment <= after, moments)
