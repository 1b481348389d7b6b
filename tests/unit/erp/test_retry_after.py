"""What `Retry-After` asks for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsync.config import Settings
from streamsync.erp.http import Answer, ErpHttp

_NOW = datetime(2026, 1, 20, 12, 0, 0, tzinfo=UTC)
_CAP = 900.0


@pytest.fixture
async def http() -> ErpHttp:
    """A client that asks nobody anything."""
    async with ErpHttp(Settings(retry_after_max_seconds=_CAP)) as client:
        return client


def _asked(http: ErpHttp, text: str) -> float | None:
    return http.retry_after_seconds(Answer(503, {"retry-after": text}, b""), now=_NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ("   ", None),
        ("30", 30.0),
        (" 30 ", 30.0),
        ("1.5", 1.5),
        ("0", 0.0),
        ("-5", 0.0),
        ("901", _CAP),
        ("1e400", _CAP),
        ("Infinity", _CAP),
        ("-Infinity", 0.0),
        ("nan", None),
        ("soon", None),
        ("Tue, 20 Jan 2026 12:01:00 GMT", 60.0),
        ("Tue, 20 Jan 2026 09:01:00 -0300", 60.0),
        ("Tue, 20 Jan 2026 12:01:00", 60.0),
        ("Tue, 20 Jan 2026 11:00:00 GMT", 0.0),
        ("Tue, 20 Jan 2099 11:00:00 GMT", _CAP),
        ("Tue, 99 Jan 2026 11:00:00 GMT", None),
        ("Tue, 20 Jan 99999 11:00:00 GMT", None),
        ("Tue, 20 Jan 2026 12:01:00 +99999999999999999999", None),
    ],
)
def test_seconds_or_a_date_capped(http: ErpHttp, text: str, seconds: float | None) -> None:
    """Seconds or an HTTP date, never negative, never above the cap; garbage says nothing."""
    assert _asked(http, text) == seconds


def test_no_header_says_nothing(http: ErpHttp) -> None:
    """Without the header there is nothing to wait for."""
    assert http.retry_after_seconds(Answer(503, {}, b"")) is None


_DATE_LIKE = st.from_regex(
    r"(\w{3}, )?\d{0,4} (Jan|Feb|xyz) \d{0,6} \d{0,4}(:\d{0,3}){0,3} ?(GMT|[+-]\d{0,12}|)", fullmatch=True
)


@given(text=st.text(st.characters(max_codepoint=255)) | _DATE_LIKE)
async def test_any_text_is_a_wait_or_nothing(text: str) -> None:
    """Whatever stands in the header, the answer is a number within bounds or None."""
    async with ErpHttp(Settings(retry_after_max_seconds=_CAP)) as http:
        seconds = _asked(http, text)
    assert seconds is None or 0 <= seconds <= _CAP
