"""A settlement and a newer claim of its tenant at the same time: the settlement changes nothing at all."""

from __future__ import annotations

import asyncio

import pytest

from streamsync.jobs import State
from streamsync.store.ledger import Ledger, Settlement
from streamsync.store.pool import Database
from tests.integration.store.helpers import add_job, add_shops, attempts, fence, job_row, one
from tests.support import wait_until

_WAITING = (
    "SELECT count(*) AS sessions FROM pg_stat_activity"
    " WHERE datname = current_database() AND backend_type = 'client backend' AND wait_event_type = 'Lock'"
)


async def _sessions_wait(database: Database, count: int) -> None:
    async def so_many() -> bool:
        return bool((await one(database, _WAITING))["sessions"] == count)

    await wait_until(so_many, 20, f"{count} sessions that wait for a lock")


@pytest.mark.parametrize("state", [State.RETRYING, State.SCHEDULED])
@pytest.mark.parametrize("kind", ["customers", "products"])
async def test_a_settlement_that_meets_a_newer_claim_cancels_no_waiting_job(
    database: Database, kind: str, state: State
) -> None:
    """The claim (a takeover of the same job, or another job of the tenant) has raised the fence and not committed
    yet; the settlement waits for it, and then finds itself stale: the job that waits, which it would have taken
    the place of, still waits."""
    await add_shops(database, "a")
    job = await add_job(database, "a", state="running", tick_ids=[1], entry="s1-1")
    waiting = await add_job(database, "a", tick_ids=[2], full_read=True)
    newer = job if kind == "customers" else await add_job(database, "a", kind=kind)
    entry = "s1-1" if newer is job else "s1-2"
    before = await job_row(database, waiting)
    ledger = Ledger(database)
    async with asyncio.TaskGroup() as group, database.connection() as connection, connection.transaction():
        # Stops the claim after it has taken the fence's row and before its end.
        await connection.execute("SELECT 1 FROM job_run WHERE job_id = %s FOR UPDATE", [newer.job_id])
        claim = group.create_task(ledger.claim("rescuer", [(newer, entry)], [], max_deliveries=5))
        await _sessions_wait(database, 1)
        settle = group.create_task(ledger.settle([Settlement(job.job_id, 1, state, "handed_back")]))
        await _sessions_wait(database, 2)
    assert claim.result().admitted[newer.job_id].fence == 2
    assert settle.result() == {}
    assert await job_row(database, waiting) == before
    row = await job_row(database, job)
    assert (row["state"], row["tick_ids"], row["full_read"]) == ("running", [1], False)
    assert (await attempts(database, job))[0] == (1, "lost" if newer is job else None)
    assert await fence(database, "a") == 2
