"""When schedules tick, in zones with and without summer time."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from streamsync.schedule.cron import next_tick, ticks_between


def _utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def _ticks(cron: str, zone: str, after: datetime, until: datetime) -> list[datetime]:
    return list(ticks_between(cron, zone, after, until))


def test_three_in_the_morning_in_sao_paulo_is_six_utc() -> None:
    """Brazil has had no summer time since 2019: the same moment all year."""
    ticks = _ticks("0 3 * * *", "America/Sao_Paulo", _utc(2026, 1, 1), _utc(2027, 1, 1))
    assert len(ticks) == 365
    assert {(tick.hour, tick.minute) for tick in ticks} == {(6, 0)}


def test_after_is_outside_and_until_inside() -> None:
    """A tick at the very start was recorded before; one at the very end is due."""
    first, second = _utc(2026, 1, 1, 6), _utc(2026, 1, 2, 6)
    assert _ticks("0 3 * * *", "America/Sao_Paulo", first, second) == [second]
    assert _ticks("0 3 * * *", "America/Sao_Paulo", first - timedelta(seconds=1), first) == [first]
    assert _ticks("0 3 * * *", "America/Sao_Paulo", second, first) == []
    assert next_tick("0 3 * * *", "America/Sao_Paulo", first) == second


def test_a_skipped_hour_runs_once_right_after_the_gap() -> None:
    """New York, 8 March 2026, 02:30 does not exist: the tick comes at 03:00 local, and next day at 02:30."""
    ticks = _ticks("30 2 * * *", "America/New_York", _utc(2026, 3, 7, 12), _utc(2026, 3, 9, 12))
    assert ticks == [_utc(2026, 3, 8, 7), _utc(2026, 3, 9, 6, 30)]


def test_a_doubled_hour_runs_once() -> None:
    """New York, 1 November 2026, 01:30 comes twice: the tick only at the first."""
    ticks = _ticks("30 1 * * *", "America/New_York", _utc(2026, 10, 31, 12), _utc(2026, 11, 2, 12))
    assert ticks == [_utc(2026, 11, 1, 5, 30), _utc(2026, 11, 2, 6, 30)]


@pytest.mark.parametrize("minutes", range(0, 60, 15))
def test_a_doubled_hour_runs_once_wherever_the_last_tick_was(minutes: int) -> None:
    """A scheduler that starts within the doubled hour does not run its ticks again."""
    after = _utc(2026, 11, 1, 5, 30) + timedelta(minutes=minutes)
    assert next_tick("30 1 * * *", "America/New_York", after) == _utc(2026, 11, 2, 6, 30)


@pytest.mark.parametrize("month_day", [(3, 8), (11, 1)])
def test_intervals_go_on_through_both_changes(month_day: tuple[int, int]) -> None:
    """Every half hour is every half hour of real time, whatever the clock on the wall does."""
    start = _utc(2026, *month_day, 4, 59)
    ticks = _ticks("*/30 * * * *", "America/New_York", start, start + timedelta(hours=6))
    assert len(ticks) == 12
    assert {b - a for a, b in itertools.pairwise(ticks)} == {timedelta(minutes=30)}


def test_midnight_that_did_not_exist_in_sao_paulo() -> None:
    """On 4 November 2018 Brazil's clocks went from 23:59 to 01:00: the tick of 00:00 comes at 01:00."""
    ticks = _ticks("0 0 * * *", "America/Sao_Paulo", _utc(2018, 11, 3), _utc(2018, 11, 5, 12))
    assert ticks == [_utc(2018, 11, 3, 3), _utc(2018, 11, 4, 3), _utc(2018, 11, 5, 2)]


def test_every_day_has_one_tick_in_zones_of_all_kinds() -> None:
    """Over a year of changes no day is lost and none has two."""
    for zone in ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "UTC"):
        for cron in ("30 2 * * *", "0 0 * * *", "15 1 * * *"):
            ticks = _ticks(cron, zone, _utc(2026, 1, 1, 12), _utc(2027, 1, 1, 12))
            assert len(ticks) == 365
            gaps = [b - a for a, b in itertools.pairwise(ticks)]
            assert min(gaps) >= timedelta(hours=22, minutes=30)
            assert max(gaps) <= timedelta(hours=25, minutes=30)
