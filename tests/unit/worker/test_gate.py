"""The claim gate's table (DESIGN §3), a test per row."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streamsync.jobs import Job, State
from streamsync.store.ledger import Admitted, ClaimAnswer, Seen
from streamsync.worker.gate import Verdict, verdict

_JOB = Job(7, 2, "customers", "shop-1")
_ENTRY = "1700000000000-0"


def _admitted() -> Admitted:
    return Admitted(
        job_id=7, tenant_id="shop-1", kind="customers", attempt=2, entry=_ENTRY, fence=5,
        full_read=False, accept_deletions=False, commits=0, late_seconds=0.0, taken_over=False,
        connector="millennium", base_url="http://x", auth_mode="basic", credential=b"",
        vitrines=(), branches=(), cursor_mode="trans_id",
    )  # fmt: skip


def _seen(state: State, *, attempt: int = 2, entry: str | None = None) -> Seen:
    return Seen(7, "shop-1", "customers", state, attempt, entry, 4, datetime(2026, 1, 1, tzinfo=UTC))


def _answer(
    seen: Seen | None, *, admitted: bool = False, cancelled: bool = False, poisoned: bool = False
) -> ClaimAnswer:
    return ClaimAnswer(
        {7: _admitted()} if admitted else {},
        {7} if cancelled else set(),
        {7} if poisoned else set(),
        {} if seen is None else {7: seen},
    )


def test_what_the_ledger_admitted_runs() -> None:
    """Scheduled or retrying with the same attempt, or running under this very entry: the ledger admits it."""
    assert verdict(_JOB, _ENTRY, _answer(_seen(State.RUNNING, entry=_ENTRY), admitted=True)) is Verdict.RUN


def test_running_under_another_entry_is_a_duplicate() -> None:
    """The duplicate is acknowledged; the one that runs goes on."""
    assert verdict(_JOB, _ENTRY, _answer(_seen(State.RUNNING, entry="1-1"))) is Verdict.DUPLICATE


@pytest.mark.parametrize("state", [State.SCHEDULED, State.RETRYING])
def test_a_later_attempt_that_waits_makes_the_entry_outdated(state: State) -> None:
    """The ledger has gone on: acknowledged, and what is next is queued."""
    assert verdict(_JOB, _ENTRY, _answer(_seen(state, attempt=3))) is Verdict.OUTDATED


def test_a_later_attempt_that_runs_makes_the_entry_a_duplicate() -> None:
    """What runs already needs no queueing."""
    assert verdict(_JOB, _ENTRY, _answer(_seen(State.RUNNING, attempt=3, entry="1-1"))) is Verdict.DUPLICATE


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_final_is_acknowledged(state: State, attempt: int) -> None:
    """A job that has ended is done with, whatever attempt the entry speaks of."""
    assert verdict(_JOB, _ENTRY, _answer(_seen(state, attempt=attempt))) is Verdict.FINAL


def test_cancelled_at_the_claim_is_acknowledged_as_such() -> None:
    """Cancel requested or tenant inactive: the claim itself ended the job."""
    assert verdict(_JOB, _ENTRY, _answer(_seen(State.CANCELLED), cancelled=True)) is Verdict.CANCELLED


def test_a_second_entry_of_an_admitted_job_is_a_duplicate() -> None:
    """Two entries of one job in one batch (an urgent twin): only the one that the ledger admitted runs."""
    answer = _answer(_seen(State.RUNNING, entry=_ENTRY), admitted=True)
    assert verdict(_JOB, "u1700000000000-9", answer) is Verdict.DUPLICATE


def test_an_unknown_id_is_unknown() -> None:
    """Acknowledged, counted and put on the dead stream by the claimer."""
    assert verdict(_JOB, _ENTRY, _answer(None)) is Verdict.UNKNOWN


def test_poison_goes_to_the_dead_letter() -> None:
    """A job that kills its workers is told apart from one that merely has ended."""
    assert verdict(_JOB, _ENTRY, _answer(_seen(State.FAILED), poisoned=True)) is Verdict.POISON


@pytest.mark.parametrize("state", [State.SCHEDULED, State.RETRYING])
def test_waiting_but_not_admitted_is_busy(state: State) -> None:
    """The tenant's lock or its fence row is held: back to delayed, no attempt spent."""
    assert verdict(_JOB, _ENTRY, _answer(_seen(state))) is Verdict.BUSY


def test_taken_over_but_not_admitted_is_busy_and_lets_go() -> None:
    """The dead worker's claim is of this very entry: the ledger must release it before it waits again."""
    assert verdict(_JOB, _ENTRY, _answer(_seen(State.RUNNING, entry=_ENTRY))) is Verdict.BUSY_TAKEN_OVER


def test_an_earlier_attempt_in_the_ledger_is_queued_as_the_ledger_says() -> None:
    """The ledger is the truth even where it seems behind the entry (a restored database)."""
    assert verdict(_JOB, _ENTRY, _answer(_seen(State.SCHEDULED, attempt=1))) is Verdict.OUTDATED
