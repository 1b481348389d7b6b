"""Under a limit of job starts permits are spent by starts and by nothing else, however an entry came in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from streamsync.jobs import Job
from streamsync.queue.keys import GROUP, limit_keys
from tests.faults.world import World, tenants
from tests.integration.flow.stand_ins import Counting, LeapingClock, turn
from tests.plugins.fix_processes import MakeWorld
from tests.plugins.fix_proxy import Direction, MakeProxy, Verdict
from tests.support import wait_until

#: Longer than any test: a permit that was spent stays spent.
WINDOW_MS = 600_000


async def _make_jobs(world: World, *shops: str) -> list[Job]:
    """Jobs that the ledger has and Redis has not; their tenants are there."""
    await world.trigger("customers", *shops)
    await world.redis.delete(world.keys.delayed)
    (partition,) = world.queue.partitions
    await partition.create_group()
    return [Job((await world.job(shop))["job_id"], 1, "customers", shop) for shop in shops]


async def _leave_with_a_dead_worker(world: World, jobs: Sequence[Job]) -> list[str]:
    """Make entries that are pending for a consumer which has been silent for long; their names."""
    entries = [await world.add_entry(job.encode()) for job in jobs]
    await world.redis.xreadgroup(GROUP.decode(), "dead", {world.keys.stream: ">"}, count=len(jobs))
    ids: list[Any] = [entry[1:] for entry in entries]
    await world.redis.xclaim(world.keys.stream, GROUP, "dead", 0, ids, idle=3_600_000, justid=True)
    return entries


class _LosesAReply:
    """Loses the first reply that holds a job's body."""

    lost = False

    def __call__(self, direction: Direction, chunk: bytes) -> Verdict:
        if direction is Direction.REPLY and b" 1 customers " in chunk and not self.lost:
            self.lost = True
            return Verdict.CUT
        return Verdict.PASS


@pytest.mark.parametrize("how", ["taken over", "hidden by a lost reply"])
async def test_no_entry_is_started_without_a_permit(
    make_world: MakeWorld, make_proxy: MakeProxy, how: str
) -> None:
    """Four entries that are not simply new, two permits: two start, and the others wait where they are."""
    world = await make_world(job_starts_max=2, job_starts_duration_ms=WINDOW_MS, concurrency=8)
    shops = tenants(4)
    await world.add_tenants(*shops)
    jobs, losing = await _make_jobs(world, *shops), _LosesAReply()
    if how == "taken over":
        losing.lost = True
        await _leave_with_a_dead_worker(world, jobs)
    else:
        for job in jobs:
            await world.add_entry(job.encode())
    proxy = await make_proxy(str(world.fields["redis_url"]), decide=losing)
    engine, clock = Counting(), LeapingClock()
    async with world.worker(engine=engine, clock=clock, redis_url=proxy.url) as worker:
        await wait_until(lambda: len(engine.started) >= 2, 20, "two starts")
        for _ in range(2):  # the turn of the starts, and a whole one after it
            await turn(worker, clock)
        assert losing.lost
    assert len(engine.started) == 2
    assert len(await world.jobs("succeeded")) == 2
    assert len(await world.jobs("scheduled")) == 2


async def test_permits_of_entries_that_do_not_start_are_given_back(make_world: MakeWorld) -> None:
    """Busy, duplicate, final, outdated, cancelled, inactive, unknown, unreadable: in the end as many permits are
    spent as the ledger knows starts."""
    world = await make_world(job_starts_max=100, job_starts_duration_ms=WINDOW_MS, busy_delay_ms=20)
    shops = tenants(7)
    runs, left, busy, final, outdated, cancelled, inactive = shops
    await world.add_tenants(*shops)
    jobs = dict(zip(shops, await _make_jobs(world, *shops), strict=True))
    (entry,) = await _leave_with_a_dead_worker(world, [jobs[left]])
    await world.ledger.claim("dead", [(jobs[left], entry)], [], max_deliveries=5)
    await world.redis.set(world.keys.lock(busy), "s1-1/another", px=WINDOW_MS)
    await world.ledger.request_cancel([jobs[final].job_id, jobs[cancelled].job_id], "a test")
    await world.ledger.claim("dead", [(jobs[final], "s1-2")], [], max_deliveries=5)
    await world.sql(
        "UPDATE job_run SET attempt = 2, due_at = now() + interval '1 day' WHERE job_id = %(id)s",
        id=jobs[outdated].job_id,
    )
    await world.sql("UPDATE tenant SET active = false WHERE tenant_id = %(shop)s", shop=inactive)
    for body in (b"not a job", f"987654 1 customers {runs}".encode()):
        await world.add_entry(body)
    for shop in (runs, runs, busy, final, outdated, cancelled, inactive):
        await world.add_entry(jobs[shop].encode())

    engine, clock = Counting(held=True), LeapingClock()
    async with world.worker(engine=engine, clock=clock) as worker:
        for shop in (cancelled, inactive):
            await world.in_state(shop, "cancelled")
        await wait_until(lambda: engine.running == 2, 20, "both jobs that can run")
        await wait_until(lambda: _only_these_are_left(world, runs, left), 20, "the others' entries gone")
        await turn(worker, clock)
        engine.release()
        for shop in (runs, left):
            await world.in_state(shop, "succeeded")
    assert {job.tenant_id for job in engine.started} == {runs, left}
    starts = await world.sql("SELECT count(*) AS starts FROM job_attempt")
    permits, _ = limit_keys("erp-sync", "job-starts")
    assert await world.redis.zcard(permits) == starts[0]["starts"] == 3
    assert (await world.job(busy))["state"] == "scheduled"


async def _only_these_are_left(world: World, *shops: str) -> bool:
    """Whether the stream holds entries of these tenants alone; one that is busy comes and goes."""
    entries: Any = await world.redis.xrange(world.keys.stream)
    return sorted(fields[b"j"].split(b" ")[3].decode() for _, fields in entries) == sorted(shops)
