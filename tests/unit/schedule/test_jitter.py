"""Jitter spreads, stays, and is snapped to its step."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamsync.schedule.jitter import offset_ms

_HOUR_MS = 3_600_000
_TENANTS = [f"shop-{number:05d}" for number in range(1, 1001)]


def _offsets(kind: str = "customers", *, step_ms: int = 1000, salt: str = "") -> list[int]:
    return [offset_ms(kind, t, window_ms=_HOUR_MS, step_ms=step_ms, salt=salt) for t in _TENANTS]


def test_a_thousand_tenants_are_spread_evenly() -> None:
    """Chi-square over 20 parts of the window: below 43.8, the value that chance exceeds once in a thousand."""
    for kind in ("customers", "products"):
        counts = [0] * 20
        for offset in _offsets(kind):
            counts[offset * 20 // _HOUR_MS] += 1
        assert sum((count - 50) ** 2 / 50 for count in counts) < 43.8


def test_the_same_every_night() -> None:
    """The offset depends on kind, tenant and salt alone; these figures may not change between releases."""
    assert _offsets() == _offsets()
    assert [
        offset_ms("customers", "shop-00001", window_ms=_HOUR_MS, step_ms=1000),
        offset_ms("products", "shop-00001", window_ms=_HOUR_MS, step_ms=1000),
        offset_ms("customers", "shop-00001", window_ms=_HOUR_MS, step_ms=1000, salt="x"),
    ] == [153000, 2660000, 1085000]


def test_kind_and_salt_matter() -> None:
    """Customers and products of one shop meet the ERP at different times; a salt moves everybody."""
    same_kind = sum(a == b for a, b in zip(_offsets(), _offsets("products"), strict=True))
    same_salt = sum(a == b for a, b in zip(_offsets(), _offsets(salt="x"), strict=True))
    assert same_kind < 10
    assert same_salt < 10


def test_parts_of_the_hash_cannot_be_confused() -> None:
    """A tenant whose id continues a kind's name, or a salt, is not another tenant's twin."""
    a = offset_ms("k", "ab", window_ms=_HOUR_MS, step_ms=1, salt="c")
    b = offset_ms("k", "a", window_ms=_HOUR_MS, step_ms=1, salt="bc")
    assert a != b


@given(
    st.text(max_size=20),
    st.text(max_size=64),
    st.integers(0, 10**9),
    st.integers(1, 10**7),
    st.text(max_size=10),
)
def test_within_the_window_and_on_a_step(kind: str, tenant: str, window: int, step: int, salt: str) -> None:
    """0 ≤ offset < window, a multiple of the step; 0 without a window or with a step as long as it."""
    offset = offset_ms(kind, tenant, window_ms=window, step_ms=step, salt=salt)
    assert offset % step == 0
    assert 0 <= offset < max(window, 1)
    if step >= window:
        assert offset == 0


def test_every_step_of_the_window_is_used() -> None:
    """The last step counts too, also where the window is no multiple of the step."""
    offsets = {offset_ms("k", f"t{n}", window_ms=2500, step_ms=1000) for n in range(200)}
    assert offsets == {0, 1000, 2000}
