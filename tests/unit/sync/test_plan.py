"""How a scope is read: what has changed, everything, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from streamsync.erp.connector import CursorKind
from streamsync.store.tenants import SyncState
from streamsync.sync.plan import Plan, full_read_due, plan_read

_NOW = datetime(2026, 3, 1, 3, tzinfo=UTC)
_JOB = 7


def state(
    *,
    cursor: int = 50,
    mode: str = "trans_id",
    job: int | None = None,
    full_cursor: int | None = None,
    full_mode: str = "trans_id",
    full_at: datetime | None = None,
) -> SyncState:
    """A scope that was read before."""
    return SyncState(cursor, mode, job, full_cursor, full_mode, full_at, _NOW)


@pytest.mark.parametrize(
    ("before", "wanted", "due", "plan"),
    [
        (None, False, False, Plan(0)),
        (None, True, True, Plan(0)),  # nothing is stored that could have vanished
        (state(), False, False, Plan(50)),
        (state(), True, False, Plan(0, full=True, begins=True)),
        (state(), False, True, Plan(0, full=True, begins=True)),
        (state(mode="date"), False, False, Plan(0, full=True, begins=True)),
        (state(job=_JOB, full_cursor=30), True, False, Plan(30, full=True)),  # a takeover goes on
        (state(job=_JOB, full_cursor=30), False, False, Plan(30, full=True)),
        # a takeover that counts something else: the tenant's cursor mode was changed meanwhile
        (state(job=_JOB, full_cursor=30, full_mode="date"), True, False, Plan(0, full=True, begins=True)),
        (state(job=_JOB, mode="date"), False, False, Plan(0, full=True, begins=True)),
        (state(job=_JOB), True, True, Plan(50)),  # this job has done it
        (state(job=6, full_cursor=30), False, False, Plan(50)),  # another job's, which failed
        (state(job=6, full_cursor=30), True, False, Plan(0, full=True, begins=True)),
    ],
)
def test_by_cursor(before: SyncState | None, wanted: bool, due: bool, plan: Plan) -> None:
    """A row per situation."""
    assert plan_read(before, CursorKind.TRANS_ID, _JOB, full_wanted=wanted, full_due=due) == plan


def test_a_list_is_read_in_full_once_per_job() -> None:
    """It has no cursor; an attempt after the one that read it need not."""
    anew = Plan(0, full=True, begins=True)
    for before in (None, state(mode="list"), state(mode="list", job=6)):
        assert plan_read(before, CursorKind.LIST, _JOB, full_wanted=False, full_due=False) == anew
    done = plan_read(state(mode="list", job=_JOB), CursorKind.LIST, _JOB, full_wanted=True, full_due=True)
    assert done.done


def test_due_once_per_period_and_spread_over_it() -> None:
    """Each shop is due on one day of seven, always the same; the days share the shops evenly."""
    days = [0] * 14
    for number in range(700):
        last = _NOW
        for day in range(14):
            moment = _NOW + timedelta(days=day + 1)
            if full_read_due(f"shop-{number}", "stock", state(full_at=last), moment, 7):
                days[day] += 1
                last = moment
    assert sum(days) == 1400
    assert days[:7] == days[7:]
    assert all(60 <= shops <= 140 for shops in days)


def test_never_due() -> None:
    """With a period of 0, and before the first read."""
    late = _NOW + timedelta(days=1000)
    assert not full_read_due("a", "stock", state(), late, 0)
    assert not full_read_due("a", "stock", None, late, 7)
