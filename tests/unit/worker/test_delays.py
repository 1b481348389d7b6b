"""How long a job waits, by the reason why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsync.config import Settings
from streamsync.worker.delays import deferral_ms, put_off_ms, retry_ms

MINUTE = 60_000


@pytest.mark.parametrize(
    ("deferrals", "minutes"), [(0, 1), (1, 2), (2, 4), (3, 8), (4, 15), (5, 15), (1000, 15)]
)
def test_deferrals_wait_longer_each_time_up_to_a_quarter_of_an_hour(deferrals: int, minutes: int) -> None:
    """1, 2, 4, 8, 15, 15 … minutes, ±10 %."""
    delay = deferral_ms(Settings(), deferrals, 60.0, None)
    assert delay is not None
    assert 0.9 * minutes * MINUTE - 1 <= delay <= 1.1 * minutes * MINUTE


def test_what_the_erp_asks_counts_if_it_is_later() -> None:
    """`Retry-After` is a lower bound, never a shorter wait."""
    assert deferral_ms(Settings(), 0, 0.0, 300.0) == 300_000
    delay = deferral_ms(Settings(), 0, 0.0, 1.0)
    assert delay is not None
    assert delay >= 0.9 * MINUTE - 1
    assert retry_ms(Settings(), 1, 600.0) == 600_000


def test_the_last_wait_ends_when_the_time_is_up() -> None:
    """One more try at the very end, then no more."""
    settings = Settings(session_wait_max_seconds=3600)
    assert deferral_ms(settings, 9, 3590.0, None) == 10_000
    assert deferral_ms(settings, 9, 3600.0, None) is None
    assert deferral_ms(settings, 9, 1e9, 900.0) is None
    assert deferral_ms(Settings(session_wait_max_seconds=0), 0, 0.0, None) is None


@given(st.integers(0, 10_000))
def test_put_offs_never_wait_longer_than_half_a_minute(put_offs: int) -> None:
    """Whatever the count: between the busy delay and 30 s, ±20 %."""
    settings = Settings()
    assert 0.8 * settings.busy_delay_ms - 1 <= put_off_ms(settings, put_offs) <= 36_000


def test_put_offs_grow() -> None:
    """The tenth wait is longer than the first, in spite of the dice."""
    assert put_off_ms(Settings(), 10) > put_off_ms(Settings(), 0)


@pytest.mark.parametrize(("attempt", "minutes"), [(1, 1), (2, 2), (3, 4), (101, 1440)])
def test_retries_double_up_to_a_day(attempt: int, minutes: int) -> None:
    """1, 2, 4 minutes ±10 %; however many are configured, none waits longer than a day."""
    delay = retry_ms(Settings(), attempt, None)
    assert 0.9 * minutes * MINUTE - 1 <= delay <= 1.1 * minutes * MINUTE
