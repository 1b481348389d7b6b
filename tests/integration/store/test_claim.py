"""The claim: what the ledger admits, and what it writes when it does."""

from __future__ import annotations

import pytest

from streamsync.store.ledger import Ledger
from streamsync.store.pool import Database
from tests.integration.store.helpers import (
    ENTRY,
    OTHER_ENTRY,
    add_job,
    add_shops,
    admit,
    ask,
    attempts,
    fence,
    job_row,
)


@pytest.mark.parametrize(("state", "attempt"), [("scheduled", 1), ("retrying", 3)])
async def test_a_waiting_job_runs_and_raises_the_fence_by_one(
    database: Database, state: str, attempt: int
) -> None:
    """Scheduled or retrying, same attempt: admitted, attempt opened, fence of this tenant + 1, no other's."""
    await add_shops(database, "a", "b")
    job = await add_job(database, "a", state=state, attempt=attempt)
    admitted = await admit(database, job)
    assert (admitted.fence, admitted.attempt, admitted.entry, admitted.taken_over) == (
        1,
        attempt,
        ENTRY,
        False,
    )
    assert (admitted.credential, admitted.base_url) == (b"sealed", "http://erp.example.invalid")
    assert (await fence(database, "a"), await fence(database, "b")) == (1, 0)
    assert await attempts(database, job) == [(1, None)]
    row = await job_row(database, job)
    assert (row["state"], row["deliveries"], row["entry"], row["fence"]) == ("running", 1, ENTRY, 1)
    assert row["started_at"] is not None


async def test_the_same_entry_taken_over_runs_and_the_old_attempt_is_lost(database: Database) -> None:
    """A dead worker's entry: admitted again under a higher fence; `started_at` stays the first start."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="running")
    first = await job_row(database, job)
    admitted = await admit(database, job, worker="another")
    assert (admitted.fence, admitted.taken_over) == (2, True)
    assert await attempts(database, job) == [(1, "lost"), (2, None)]
    row = await job_row(database, job)
    assert (row["worker"], row["deliveries"], row["started_at"]) == ("another", 2, first["started_at"])


@pytest.mark.parametrize("active", [True, False])
async def test_running_under_another_entry_is_not_admitted(database: Database, active: bool) -> None:
    """A duplicate entry changes nothing, neither job nor fence, even where the tenant was disabled."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="running")
    await database.fetch("UPDATE tenant SET active = %(active)s", {"active": active})
    before = await job_row(database, job)
    answer = await ask(database, job, entry=OTHER_ENTRY)
    assert (answer.admitted, answer.cancelled, answer.poisoned) == ({}, set(), set())
    assert answer.seen[job.job_id].entry == ENTRY
    assert (await job_row(database, job), await fence(database, "a")) == (before, 1)


@pytest.mark.parametrize("entry_attempt", [1, 3])
async def test_another_attempt_than_the_ledgers_is_not_admitted(
    database: Database, entry_attempt: int
) -> None:
    """An entry of an attempt that is over (or never was) changes nothing, and learns what is next."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="retrying", attempt=2)
    stale = type(job)(job.job_id, entry_attempt, job.kind, job.tenant_id)
    answer = await ask(database, stale)
    assert not answer.admitted
    assert answer.seen[job.job_id].as_job() == job
    assert await fence(database, "a") == 0


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
async def test_a_final_job_stays_final(database: Database, state: str) -> None:
    """A second delivery of a finished job writes nothing."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state=state)
    before = await job_row(database, job)
    answer = await ask(database, job)
    assert (answer.admitted, answer.cancelled, answer.poisoned) == ({}, set(), set())
    assert answer.seen[job.job_id].state == state
    assert (await job_row(database, job), await fence(database, "a")) == (before, 0)


@pytest.mark.parametrize("state", ["scheduled", "retrying", "running"])
async def test_a_requested_cancel_ends_the_job_at_its_claim(database: Database, state: str) -> None:
    """Waiting, or taken over from a dead worker: cancelled with the reason, fence untouched."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state=state)
    raised = await fence(database, "a")
    assert await Ledger(database).request_cancel([job.job_id, 999], "operator") == {job.job_id}
    answer = await ask(database, job)
    assert answer.cancelled == {job.job_id}
    assert not answer.admitted
    row = await job_row(database, job)
    assert (row["state"], row["error_class"]) == ("cancelled", "cancel_requested")
    assert row["finished_at"] is not None
    assert await fence(database, "a") == raised
    assert await attempts(database, job) == ([(1, "cancelled")] if state == "running" else [])
    assert await Ledger(database).request_cancel([job.job_id], "operator") == set()


@pytest.mark.parametrize("gone", [False, True])
async def test_a_job_of_an_inactive_tenant_is_cancelled_with_the_reason(
    database: Database, gone: bool
) -> None:
    """Disabled and deleted tenants are told apart from cancels by hand."""
    await add_shops(database, "a")
    job = await add_job(database, "a")
    await database.fetch("DELETE FROM tenant" if gone else "UPDATE tenant SET active = false")
    assert (await ask(database, job)).cancelled == {job.job_id}
    row = await job_row(database, job)
    assert (row["state"], row["error_class"]) == ("cancelled", "tenant_inactive")


async def test_an_unknown_id_is_unknown(database: Database) -> None:
    """The ledger says nothing of a job it does not have."""
    await add_shops(database, "a")
    job = await add_job(database, "a")
    stranger = type(job)(job.job_id + 1000, 1, "customers", "a")
    answer = await ask(database, stranger)
    assert (answer.admitted, answer.cancelled, answer.poisoned, answer.seen) == ({}, set(), set(), {})


async def test_a_job_that_kills_its_workers_is_poison(database: Database) -> None:
    """After max_deliveries without a handled end it fails, and its last attempt is closed."""
    await add_shops(database, "a")
    job = await add_job(database, "a")
    for number in range(3):
        assert (await ask(database, job, max_deliveries=3)).admitted, number
    answer = await ask(database, job, max_deliveries=3)
    assert answer.poisoned == {job.job_id}
    assert not answer.admitted
    row = await job_row(database, job)
    assert (row["state"], row["error_class"]) == ("failed", "poison")
    assert "3 deliveries" in row["error_message"]
    assert [outcome for _, outcome in await attempts(database, job)] == ["lost"] * 3
    assert await fence(database, "a") == 3


async def test_a_fence_row_that_is_locked_means_busy(database: Database) -> None:
    """A commit holds the row: the claim does not wait for it, the other tenants of the batch are served."""
    await add_shops(database, "a", "b")
    job, other = await add_job(database, "a"), await add_job(database, "b")
    async with database.transaction() as holder:
        await holder.execute("SELECT FROM tenant_fence WHERE tenant_id = 'a' FOR NO KEY UPDATE")
        answer = await ask(database, job, other)
    assert set(answer.admitted) == {other.job_id}
    assert answer.seen[job.job_id].state == "scheduled"
    assert await attempts(database, job) == []
    assert (await ask(database, job)).admitted


async def test_a_second_running_job_of_a_tenant_and_kind_is_refused(database: Database) -> None:
    """It stays as it is until the first has ended; another kind of the tenant is another matter."""
    await add_shops(database, "a")
    await add_job(database, "a", state="running")
    second = await add_job(database, "a")
    products = await add_job(database, "a", kind="products")
    answer = await ask(database, second, products)
    assert set(answer.admitted) == {products.job_id}
    assert (await job_row(database, second))["state"] == "scheduled"
    assert await fence(database, "a") == 2


async def test_busy_entries_are_only_looked_at(database: Database) -> None:
    """Entries whose tenant lock another holds: the ledger tells, and changes nothing."""
    await add_shops(database, "a")
    job = await add_job(database, "a")
    answer = await Ledger(database).claim("w", [], [(job, ENTRY)], max_deliveries=5)
    assert set(answer.seen) == {job.job_id}
    assert (answer.admitted, await fence(database, "a")) == ({}, 0)


async def test_a_batch_is_one_transaction_and_says_all(database: Database) -> None:
    """Fifty jobs at once: each tenant's fence is raised by exactly one."""
    shops = [f"s{number:02d}" for number in range(50)]
    await add_shops(database, *shops)
    jobs = [await add_job(database, shop) for shop in shops]
    answer = await ask(database, *jobs)
    assert len(answer.admitted) == 50
    assert {admitted.fence for admitted in answer.admitted.values()} == {1}
    assert [await fence(database, shop) for shop in shops[:5]] == [1] * 5
