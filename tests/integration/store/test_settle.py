"""How attempts end: each carries its fence, what does not match is left alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from streamsync.jobs import Job, State
from streamsync.store.ledger import Ledger, Running, Settlement
from streamsync.store.pool import Database
from tests.integration.store.helpers import (
    ENTRY,
    OTHER_ENTRY,
    add_job,
    add_shops,
    admit,
    attempts,
    fence,
    job_row,
    one,
)


async def _settle(database: Database, *settlements: Settlement) -> dict[int, int]:
    return await Ledger(database).settle(settlements)


def _retry(job: Job, of_fence: int, delay_ms: int = 60_000) -> Settlement:
    return Settlement(job.job_id, of_fence, State.RETRYING, "retrying", delay_ms, "erp_timeout", 503, "slow")


async def test_success(database: Database) -> None:
    """Final, timed, its attempt closed; the entry stays for whoever looks."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="running")
    assert await _settle(database, Settlement(job.job_id, 1, State.SUCCEEDED, "succeeded")) == {job.job_id: 1}
    row = await job_row(database, job)
    assert (row["state"], row["attempt"], row["deliveries"], row["error_class"]) == ("succeeded", 1, 0, None)
    assert row["finished_at"] >= row["started_at"]
    assert row["duration_ms"] >= 0
    assert await attempts(database, job) == [(1, "succeeded")]


async def test_a_retry_is_the_next_attempt_after_its_delay(database: Database) -> None:
    """Attempt + 1, due after the delay, the error recorded on job and attempt."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="running")
    assert await _settle(database, _retry(job, 1)) == {job.job_id: 2}
    row = await job_row(database, job)
    assert (row["state"], row["attempt"], row["entry"], row["finished_at"]) == ("retrying", 2, None, None)
    assert (row["error_class"], row["error_status"], row["error_message"]) == ("erp_timeout", 503, "slow")
    now = (await one(database, "SELECT now() AS now"))["now"]
    assert timedelta(seconds=50) < row["due_at"] - now < timedelta(seconds=61)
    closed = await one(database, "SELECT outcome, error_class, finished_at FROM job_attempt")
    assert (closed["outcome"], closed["error_class"]) == ("retrying", "erp_timeout")
    assert closed["finished_at"] is not None


async def test_a_failure_is_final_with_its_reason(database: Database) -> None:
    """The dead letter's record is this row."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="running")
    await _settle(database, Settlement(job.job_id, 1, State.FAILED, "failed", 0, "erp_not_found", 404, "why"))
    row = await job_row(database, job)
    assert (row["state"], row["error_class"], row["error_status"]) == ("failed", "erp_not_found", 404)
    assert await attempts(database, job) == [(1, "failed")]


async def test_handing_back_spends_no_attempt(database: Database) -> None:
    """Scheduled again, due at once, with the same attempt; deliveries are counted anew."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="running")
    assert await _settle(database, Settlement(job.job_id, 1, State.SCHEDULED, "handed_back")) == {
        job.job_id: 1
    }
    row = await job_row(database, job)
    assert (row["state"], row["attempt"], row["deliveries"], row["entry"]) == ("scheduled", 1, 0, None)
    assert (await admit(database, job)).fence == 2
    assert await attempts(database, job) == [(1, "handed_back"), (2, None)]


async def test_a_stale_fence_is_refused_and_writes_nothing(database: Database) -> None:
    """Once a newer claim of the tenant has started, the older one changes no state: not even coalescing."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="running")
    waiting = await add_job(database, "a")
    await admit(database, job, worker="rescuer")
    before = (await job_row(database, job), await job_row(database, waiting), await attempts(database, job))
    for state, outcome in (
        (State.SUCCEEDED, "succeeded"),
        (State.RETRYING, "retrying"),
        (State.FAILED, "failed"),
    ):
        assert await _settle(database, Settlement(job.job_id, 1, state, outcome)) == {}
    assert (
        await job_row(database, job), await job_row(database, waiting), await attempts(database, job)
    ) == before  # fmt: skip


async def test_a_newer_claim_of_another_kind_makes_it_stale_too(database: Database) -> None:
    """The fence is the tenant's, not the job's: one sync per tenant can commit at any time."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="running")
    await admit(database, await add_job(database, "a", kind="products"))
    assert await _settle(database, Settlement(job.job_id, 1, State.SUCCEEDED, "succeeded")) == {}
    assert (await job_row(database, job))["state"] == "running"


async def test_a_batch_with_one_lost_records_the_others(database: Database) -> None:
    """The answer names those recorded; who is missing was lost."""
    await add_shops(database, "a", "b", "c")
    jobs = [await add_job(database, shop, state="running") for shop in "abc"]
    await admit(database, jobs[1], worker="rescuer")
    done = [Settlement(job.job_id, 1, State.SUCCEEDED, "succeeded") for job in jobs]
    assert await _settle(database, *done) == {jobs[0].job_id: 1, jobs[2].job_id: 1}
    assert [(await job_row(database, job))["state"] for job in jobs] == ["succeeded", "running", "succeeded"]


@pytest.mark.parametrize("state", [State.RETRYING, State.SCHEDULED])
async def test_a_waiting_job_is_coalesced_into_the_one_that_waits_again(
    database: Database, state: State
) -> None:
    """At most one waits: the other is cancelled, its ticks and its full read noted on the first."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="running", tick_ids=[1])
    waiting = await add_job(database, "a", tick_ids=[2, 3], full_read=True, accept_deletions=True)
    await _settle(database, Settlement(job.job_id, 1, state, "retrying"))
    row, other = await job_row(database, job), await job_row(database, waiting)
    assert (row["state"], row["tick_ids"], row["full_read"]) == (state, [1, 2, 3], True)
    assert row["accept_deletions"]
    assert (other["state"], other["error_class"]) == ("cancelled", "coalesced")
    assert other["coalesced_into"] == job.job_id


async def test_success_leaves_the_waiting_job_alone(database: Database) -> None:
    """A tick that came while the job ran gets a run of its own."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="running", tick_ids=[1])
    waiting = await add_job(database, "a", tick_ids=[2])
    await _settle(database, Settlement(job.job_id, 1, State.SUCCEEDED, "succeeded"))
    assert (await job_row(database, waiting))["state"] == "scheduled"
    assert (await job_row(database, job))["tick_ids"] == [1]


async def test_a_settlement_repeated_after_its_answer_was_lost_changes_nothing(database: Database) -> None:
    """The second is told what the first recorded; attempts are not counted twice."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="running")
    await _settle(database, _retry(job, 1))
    before = await job_row(database, job)
    assert await _settle(database, _retry(job, 1)) == {job.job_id: 2}
    assert await job_row(database, job) == before


async def test_a_dead_workers_job_of_a_busy_tenant_waits_again(database: Database) -> None:
    """No attempt is spent; the dead attempt is closed as lost; a job claimed anew meanwhile is left alone."""
    await add_shops(database, "a", "b")
    job = await add_job(database, "a", state="running", entry=ENTRY)
    other = await add_job(database, "b", state="running", entry=OTHER_ENTRY)
    pairs = [(job.job_id, 1), (other.job_id, 0)]
    assert await Ledger(database).release_taken_over(pairs, delay_ms=2000) == {job.job_id}
    row = await job_row(database, job)
    assert (row["state"], row["attempt"], row["entry"]) == ("scheduled", 1, None)
    assert await attempts(database, job) == [(1, "lost")]
    assert (await job_row(database, other))["state"] == "running"


async def test_a_dead_workers_job_is_merged_into_one_that_waits(database: Database) -> None:
    """Only one may wait: the dead worker's job ends as coalesced, its ticks go to the one that waits."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="running", tick_ids=[1], full_read=True, accept_deletions=True)
    waiting = await add_job(database, "a", tick_ids=[2])
    assert await Ledger(database).release_taken_over([(job.job_id, 1)], delay_ms=0) == set()
    row, other = await job_row(database, job), await job_row(database, waiting)
    assert (row["state"], row["error_class"], row["coalesced_into"]) == (
        "cancelled", "coalesced", waiting.job_id,
    )  # fmt: skip
    assert (other["state"], sorted(other["tick_ids"]), other["full_read"]) == ("scheduled", [1, 2], True)
    assert other["accept_deletions"]
    assert await attempts(database, job) == [(1, "lost")]


async def test_what_the_worker_can_ask_of_its_claim(database: Database) -> None:
    """It stands, a cancel was asked for, or a newer claim exists; and the jobs of entries can be found."""
    await add_shops(database, "a")
    ledger, job = Ledger(database), await add_job(database, "a", state="running")
    assert await ledger.claim_stands(job.job_id, 1) is False
    await ledger.request_cancel([job.job_id], "operator")
    assert await ledger.claim_stands(job.job_id, 1) is True
    assert await ledger.jobs_of_entries([ENTRY, OTHER_ENTRY]) == [Running(job, ENTRY, 1)]
    ((permit, age_ms),) = await ledger.recent_starts(60_000)
    assert permit == f"{job.job_id}.1"
    assert 0 <= age_ms < 60_000
    await database.fetch("UPDATE tenant_fence SET fence = fence + 1")
    assert await ledger.claim_stands(job.job_id, 1) is None
    assert await ledger.counts() == {("customers", State.RUNNING): 1}
    assert await fence(database, "a") == 2
