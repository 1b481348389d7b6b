"""Rules for moments and dates."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamsync.entity import FieldRejected
from streamsync.erp import values as v


@pytest.mark.parametrize(
    ("raw", "moment"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        ("/Date(0)/", datetime(1970, 1, 1, tzinfo=UTC)),
        ("/Date(1768928709000-180)/", datetime(2026, 1, 20, 17, 5, 9, tzinfo=UTC)),
        ("/Date(1768928709000+0000)/", datetime(2026, 1, 20, 17, 5, 9, tzinfo=UTC)),
        ("/Date(-86400000-180)/", datetime(1969, 12, 31, tzinfo=UTC)),
        ("/Date(-1-180)/", datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)),
        (" /Date(641617200000-180)/ ", datetime(1990, 5, 2, 3, tzinfo=UTC)),
        ("2026-01-31T15:59:24Z", datetime(2026, 1, 31, 15, 59, 24, tzinfo=UTC)),
        ("2026-01-31T15:59:24-03:00", datetime(2026, 1, 31, 18, 59, 24, tzinfo=UTC)),
        ("2026-01-31T15:59:24.1234567Z", datetime(2026, 1, 31, 15, 59, 24, 123456, tzinfo=UTC)),
        ("2026-01-31T15:59:24.1234567-03:00", datetime(2026, 1, 31, 18, 59, 24, 123456, tzinfo=UTC)),
        ("2026-01-31 15:59:24.5", datetime(2026, 1, 31, 15, 59, 24, 500000, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("0001-01-02T00:00:00Z", datetime(1, 1, 2, tzinfo=UTC)),
        ("2026-01-31T15:59:24,1234567Z", datetime(2026, 1, 31, 15, 59, 24, 123456, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_moments(raw: object, moment: datetime | None) -> None:
    """Milliseconds are UTC whatever the offset says; ISO text is UTC unless it names a zone."""
    assert v.timestamp(raw) == moment


@pytest.mark.parametrize(
    "raw",
    [
        "/Date(abc)/", "/Date(-180)x/", "/Date()/", "/Date(--5)/", "/Date(99999999999999999)/",
        "/Date(-99999999999999999)/", "/Date(253402300800000)/", "/Date(-62135596800001)/",
        "/Date(123456789012345678901234567890)/", "0001-01-02T00:00:00+99:00", "9999-12-31T23:59:59-03:00",
        "10000-01-01", "2026-02-30", "2026-13-01", "31/01/2026", "ontem", 1768928709000, 1.5, True, [], {},
        "2026-01-31T15:59:24+99:00", "\x00", "\ud800", "2026-01-31\x00", "NaN", "Infinity",
    ],
)  # fmt: skip
def test_what_is_no_date_is_rejected(raw: object) -> None:
    """Broken forms, days that do not exist, years that Python or PostgreSQL cannot hold, bare numbers."""
    with pytest.raises(FieldRejected):
        v.timestamp(raw)
    with pytest.raises(FieldRejected):
        v.calendar_date(raw)


@pytest.mark.parametrize(
    "raw",
    [
        "0001-01-01T00:00:00Z", "0001-01-01", "0001-01-01T00:00:00+03:00", "/Date(-62135596800000)/",
        "/Date(-62135586000000-180)/", "1899-12-30", "1899-12-30T00:00:00-03:00", "/Date(-2209161600000+0)/",
        "/Date(-2209150800000-180)/", "1899-12-30 14:25:00",
    ],
)  # fmt: skip
def test_the_zero_days_of_programs_are_no_dates(raw: str) -> None:
    """Delphi's and .NET's zero, in UTC or as midnight in Brazil: absent, not a customer born in 1899."""
    assert v.timestamp(raw) is None
    assert v.calendar_date(raw) is None


@pytest.mark.parametrize(
    ("raw", "day"),
    [
        ("/Date(641617200000-180)/", date(1990, 5, 2)),
        ("/Date(641613600000-120)/", date(1990, 5, 2)),
        ("/Date(-621550800000-180)/", date(1950, 4, 22)),
        ("1990-05-02T00:00:00-03:00", date(1990, 5, 2)),
        ("1990-05-02", date(1990, 5, 2)),
        (None, None),
    ],
)
def test_dates_without_time_are_local_midnight_in_brazil(raw: object, day: date | None) -> None:
    """Midnight at −03:00 or −02:00 is the same calendar date in UTC; nothing shifts to the day before."""
    assert v.calendar_date(raw) == day


@given(
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(9999, 12, 30)),  # noqa: DTZ001
    st.sampled_from(["", "-180", "+0", "-0300", "+1200"]),
)
def test_any_moment_comes_back_from_milliseconds(naive: datetime, offset: str) -> None:
    """Whatever the suffix, the milliseconds alone say when."""
    moment = naive.replace(tzinfo=UTC, microsecond=naive.microsecond // 1000 * 1000)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    ms = (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
    assert v.timestamp(f"/Date({ms}{offset})/") == moment


@given(st.datetimes(timezones=st.timezones(), allow_imaginary=False))
def test_any_moment_comes_back_from_iso_text(moment: datetime) -> None:
    """A zone in the text is honoured, in doubled hours too."""
    assume(1 < moment.year < 9999 and (moment.year, moment.month) != (1899, 12))
    assert v.timestamp(moment.isoformat()) == moment.astimezone(UTC)
