"""Going back without spending an attempt: deferred (the ERP had no room) and put off (the ERP was not asked)."""

from __future__ import annotations

import pytest

from streamsync.jobs import Job, State
from streamsync.store.ledger import Ledger, Settlement
from streamsync.store.pool import Database
from streamsync.store.report import Report
from tests.integration.store.helpers import add_job, add_shops, admit, attempts, fence, job_row


async def _back(database: Database, job: Job, outcome: str, claim: int, why: str = "why") -> dict[int, int]:
    settlement = Settlement(job.job_id, claim, State.SCHEDULED, outcome, 60_000, why, None, "text")
    return await Ledger(database).settle([settlement])


async def test_a_deferral_is_counted_and_spends_nothing(database: Database) -> None:
    """Scheduled again with the reason, the attempt row kept; the first deferral says since when."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="running", attempt=3)
    assert await _back(database, job, "deferred", 1, "erp_no_licence") == {job.job_id: 3}
    first = await job_row(database, job)
    assert (first["state"], first["attempt"], first["error_class"], first["deferrals"]) == (
        "scheduled", 3, "erp_no_licence", 1,
    )  # fmt: skip
    await admit(database, job)
    await _back(database, job, "deferred", 2)
    second = await job_row(database, job)
    assert (second["deferrals"], second["deferred_since"]) == (2, first["deferred_since"])
    assert await attempts(database, job) == [(1, "deferred"), (2, "deferred")]
    times, seconds = await Ledger(database).deferred_so_far(job.job_id)
    assert times == 2
    assert 0 < seconds < 60
    assert await Report(database).inconsistencies() == []


@pytest.mark.parametrize(
    ("state", "outcome", "kept"),
    [
        (State.SUCCEEDED, "succeeded", False),
        (State.RETRYING, "retrying", False),
        (State.SCHEDULED, "handed_back", True),
        (State.SCHEDULED, "put_off", True),
        (State.FAILED, "failed", True),
    ],
)
async def test_what_ends_a_wait(database: Database, state: State, outcome: str, kept: bool) -> None:
    """A success or a failed attempt; not a worker's shutdown, which says nothing of the ERP. A failure keeps it
    for the audit."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="running")
    await _back(database, job, "deferred", 1)
    await admit(database, job)
    await Ledger(database).settle([Settlement(job.job_id, 2, state, outcome)])
    row = await job_row(database, job)
    assert (row["deferrals"], row["deferred_since"] is not None) == (int(kept), kept)


async def test_a_put_off_claim_never_was(database: Database) -> None:
    """No attempt row, no delivery, no start; the fence alone remembers, and the next claim goes on from it."""
    await add_shops(database, "a")
    job = await add_job(database, "a")
    for turn in (1, 2, 3):
        admitted = await admit(database, job)
        assert (admitted.fence, admitted.put_offs) == (turn, turn - 1)
        assert await _back(database, job, "put_off", turn, "credential_busy") == {job.job_id: 1}
    row = await job_row(database, job)
    assert (row["state"], row["attempt"], row["deliveries"], row["started_at"], row["put_offs"]) == (
        "scheduled", 1, 0, None, 3,
    )  # fmt: skip
    assert (row["error_class"], row["deferrals"], row["entry"]) == ("credential_busy", 0, None)
    assert (await attempts(database, job), await fence(database, "a")) == ([], 3)


async def test_a_put_off_keeps_what_was_before(database: Database) -> None:
    """The first start, the rows of earlier attempts and the deliveries of workers that died stay."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="running")
    started = (await job_row(database, job))["started_at"]
    await admit(database, job, worker="rescuer")
    await _back(database, job, "put_off", 2)
    row = await job_row(database, job)
    assert (row["deliveries"], row["started_at"]) == (1, started)
    assert await attempts(database, job) == [(1, "lost")]


@pytest.mark.parametrize("outcome", ["deferred", "put_off"])
async def test_a_stale_claim_goes_nowhere(database: Database, outcome: str) -> None:
    """A newer claim exists: neither row is touched, and the newer one's attempt is not deleted."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="running")
    await admit(database, job, worker="rescuer")
    before = await job_row(database, job)
    assert await _back(database, job, outcome, 1) == {}
    assert await job_row(database, job) == before
    assert await attempts(database, job) == [(1, "lost"), (2, None)]


@pytest.mark.parametrize("outcome", ["deferred", "put_off"])
async def test_another_that_waits_is_coalesced(database: Database, outcome: str) -> None:
    """At most one waits, however the running one came back."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="running", tick_ids=[1])
    waiting = await add_job(database, "a", tick_ids=[2], full_read=True)
    await _back(database, job, outcome, 1)
    row, other = await job_row(database, job), await job_row(database, waiting)
    assert (row["state"], row["tick_ids"], row["full_read"]) == ("scheduled", [1, 2], True)
    assert (other["state"], other["coalesced_into"]) == ("cancelled", job.job_id)


async def test_a_batch_mixes_all_ends(database: Database) -> None:
    """One statement for deferred, put off and done."""
    await add_shops(database, "a", "b", "c")
    jobs = [await add_job(database, shop, state="running") for shop in "abc"]
    ends = ((State.SCHEDULED, "deferred"), (State.SCHEDULED, "put_off"), (State.SUCCEEDED, "succeeded"))
    done = [Settlement(j.job_id, 1, state, outcome) for j, (state, outcome) in zip(jobs, ends, strict=True)]
    assert await Ledger(database).settle(done) == {job.job_id: 1 for job in jobs}
    assert [await attempts(database, job) for job in jobs] == [[(1, "deferred")], [], [(1, "succeeded")]]
    assert await Report(database).inconsistencies() == []
