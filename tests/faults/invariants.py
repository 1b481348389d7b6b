"""What holds at the end of every test, whatever was killed, frozen or cut on the way."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from psycopg.rows import DictRow

from streamsync.erp.millennium.entities import ENTITIES, tables_of
from streamsync.jobs import KINDS
from streamsync.queue.keys import limit_keys
from streamsync.store.readback import rows_of
from tests.faults.world import FINAL, World
from tests.support import wait_until

_COUNTERS: Final = (
    "pages", "rows_fetched", "rows_inserted", "rows_updated", "rows_unchanged", "rows_rejected",
)  # fmt: skip
_OUTCOME_OF: Final = {"succeeded": {"succeeded"}, "failed": {"failed", "lost"}}


async def check(world: World, *, redis_empty: bool = True) -> None:
    """All promises that can be looked up once everything has ended."""
    await world.all_final()
    jobs = await world.jobs()
    attempts = await world.sql("SELECT * FROM job_attempt ORDER BY job_id, fence")
    check_ledger(jobs, attempts)
    await check_fences(world, attempts)
    for job in jobs:
        if job["state"] == "succeeded" and job["tenant_id"] not in world.without_data:
            await check_data(world, job["tenant_id"], job["kind"])
    if redis_empty:
        await check_redis(world)


def check_ledger(jobs: list[DictRow], attempts: list[DictRow]) -> None:
    """Every job ended once; its attempts are closed, and their counters are its own."""
    of_job: dict[int, list[DictRow]] = defaultdict(list)
    for attempt in attempts:
        assert attempt["outcome"] is not None, f"open attempt: {attempt}"
        assert attempt["finished_at"] >= attempt["started_at"]
        of_job[attempt["job_id"]].append(attempt)
    for job in jobs:
        mine = of_job[job["job_id"]]
        assert job["state"] in FINAL
        assert job["finished_at"] is not None
        for row in (job, *mine):
            assert row["rows_fetched"] == sum(row[name] for name in _COUNTERS[2:]), row
        for name in _COUNTERS:
            assert job[name] == sum(attempt[name] for attempt in mine), (name, job, mine)
        succeeded = [attempt for attempt in mine if attempt["outcome"] == "succeeded"]
        assert len(succeeded) == (job["state"] == "succeeded"), (job, mine)
        if job["state"] in _OUTCOME_OF:
            assert mine[-1]["outcome"] in _OUTCOME_OF[job["state"]], (job, mine)
        # Attempts are spent by handled failures only.
        spent = sum(attempt["outcome"] == "retrying" for attempt in mine)
        assert job["attempt"] == 1 + spent, (job, mine)


async def check_fences(world: World, attempts: list[DictRow]) -> None:
    """No two claims of a tenant had the same fence, and none is newer than the tenant's row."""
    rows = await world.sql("SELECT tenant_id, fence FROM tenant_fence")
    newest = {row["tenant_id"]: row["fence"] for row in rows}
    seen: set[tuple[str, int]] = set()
    for attempt in attempts:
        claim = (attempt["tenant_id"], attempt["fence"])
        assert claim not in seen
        seen.add(claim)
        assert attempt["fence"] <= newest[attempt["tenant_id"]]


async def check_data(world: World, tenant_id: str, kind: str) -> None:
    """A tenant's rows are exactly the ERP's."""
    for table in (table for name in KINDS[kind] for table in tables_of(ENTITIES[name])):
        truth = list(world.simulator.admin.truth(tenant_id, table.name))
        columns = tuple(truth[0]) if truth else table.key
        rows = await rows_of(world.database, tenant_id, table, columns)
        assert rows == truth, f"{table.name} of {tenant_id}"


async def check_redis(world: World) -> None:
    """Nothing is left but the streams with their group, the dead feed, limits and perhaps a wake token."""
    keys = world.keys
    allowed = {keys.stream, keys.urgent, keys.dead, keys.wake}
    for name in ("requests", "job-starts"):
        allowed |= set(limit_keys("erp-sync", name))

    async def left() -> set[Any]:
        return {key for key in await world.redis.keys("*") if key not in allowed}

    async def settled() -> bool:
        lengths = [await world.redis.xlen(stream) for stream in (keys.stream, keys.urgent)]
        return lengths == [0, 0] and await world.pending() == 0 and not await left()

    try:
        # What a killed worker left is found within its silence; a lock lives no longer than that.
        await wait_until(settled, 15, "an empty Redis")
    except AssertionError:
        streams = [await world.redis.xrange(stream) for stream in (keys.stream, keys.urgent)]
        raise AssertionError(f"left in Redis: {await left()}, {streams}, {await world.pending()}") from None
