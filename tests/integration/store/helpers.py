"""What the tests of the store share: shops, jobs in any state, and looks at the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString

from psycopg.rows import DictRow

from streamsync.jobs import Job
from streamsync.store.commit import Claim
from streamsync.store.ledger import Admitted, ClaimAnswer, Ledger
from streamsync.store.pool import Database
from streamsync.store.tenants import NewTenant, Tenants

WORKER = "host-1-boot"
ENTRY = "1700000000000-0"
OTHER_ENTRY = "1700000000000-1"


async def add_shops(database: Database, *tenant_ids: str, active: bool = True) -> None:
    """Tenants with their fence rows."""
    shops = [
        NewTenant(t, f"Shop {t}", "http://erp.example.invalid", b"sealed", active=active) for t in tenant_ids
    ]
    await Tenants(database).put(shops, replace=False)


async def add_job(
    database: Database,
    tenant_id: str,
    *,
    kind: str = "customers",
    state: str = "scheduled",
    attempt: int = 1,
    entry: str | None = None,
    tick_ids: Sequence[int] = (),
    full_read: bool = False,
    accept_deletions: bool = False,
) -> Job:
    """A job of the ledger in any state; a running one gets a claim first, for running means claimed."""
    (row,) = await database.fetch(
        "INSERT INTO job_run (tenant_id, kind, trigger, scheduled_for, due_at, state, attempt, tick_ids,"
        " full_read, accept_deletions)"
        " VALUES (%(tenant_id)s, %(kind)s, 'schedule', now(), now(), %(state)s, %(attempt)s, %(ticks)s, %(full)s,"
        " %(accept)s)"
        " RETURNING job_id",
        {
            "tenant_id": tenant_id, "kind": kind, "state": "scheduled" if state == "running" else state,
            "attempt": attempt, "ticks": list(tick_ids), "full": full_read, "accept": accept_deletions,
        },
    )  # fmt: skip
    job = Job(row["job_id"], attempt, kind, tenant_id)
    if state == "running":
        await admit(database, job, entry=entry or ENTRY)
    return job


async def ask(
    database: Database, *jobs: Job, entry: str = ENTRY, worker: str = WORKER, max_deliveries: int = 5
) -> ClaimAnswer:
    """The gate's answer to entries of these jobs; every job's entry is the same text, which harms nothing."""
    pairs = [(job, entry) for job in jobs]
    return await Ledger(database).claim(worker, pairs, [], max_deliveries=max_deliveries)


async def admit(database: Database, job: Job, *, entry: str = ENTRY, worker: str = WORKER) -> Admitted:
    """Claim a job that can be claimed."""
    answer = await ask(database, job, entry=entry, worker=worker)
    return answer.admitted[job.job_id]


def claim_of(admitted: Admitted, *, commits: int | None = None) -> Claim:
    """The claim that commits are made under."""
    known = admitted.commits if commits is None else commits
    return Claim(admitted.tenant_id, admitted.job_id, admitted.fence, known)


async def one(database: Database, query: LiteralString, **parameters: Any) -> DictRow:
    """The only row of a query."""
    (row,) = await database.fetch(query, parameters)
    return row


async def job_row(database: Database, job: Job) -> DictRow:
    """A job as the ledger has it."""
    return await one(database, "SELECT * FROM job_run WHERE job_id = %(id)s", id=job.job_id)


async def attempts(database: Database, job: Job) -> list[tuple[int, str | None]]:
    """(fence, outcome) of a job's attempts in order."""
    rows = await database.fetch(
        "SELECT fence, outcome FROM job_attempt WHERE job_id = %(id)s ORDER BY fence", {"id": job.job_id}
    )
    return [(row["fence"], row["outcome"]) for row in rows]


async def fence(database: Database, tenant_id: str) -> int:
    """A tenant's fence."""
    row = await one(database, "SELECT fence FROM tenant_fence WHERE tenant_id = %(id)s", id=tenant_id)
    return int(row["fence"])
