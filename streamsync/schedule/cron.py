"""When a schedule ticks. No I/O; daylight saving as Debian's cron treats it (cronsim)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim


def ticks_between(cron: str, timezone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """Ticks in (after, until], in UTC, oldest first."""
    for tick in CronSim(cron, after.astimezone(ZoneInfo(timezone))):
        moment = tick.astimezone(UTC)
        if moment > until:
            return
        if moment > after:
            yield moment


def next_tick(cron: str, timezone: str, after: datetime) -> datetime:
    """The first tick after a moment, in UTC."""
    return next(iter(CronSim(cron, after.astimezone(ZoneInfo(timezone))))).astimezone(UTC)
