"""Two entries of one job in one batch: the ledger answers by job, and exactly one of them runs."""

from __future__ import annotations

import pytest

from streamsync.jobs import Job
from streamsync.queue.keys import GROUP
from tests.faults.invariants import check
from tests.faults.world import World, tenants
from tests.integration.flow.stand_ins import Counting, LeapingClock, turn
from tests.support import wait_until

(SHOP,) = tenants(1)


async def _make_twins(world: World, *, urgent: bool) -> tuple[Job, list[str]]:
    """A job, and two undelivered entries of it; the second may be urgent."""
    await world.add_tenants(SHOP)
    world.without_data.add(SHOP)
    await world.trigger("customers")
    await world.redis.delete(world.keys.delayed)
    (partition,) = world.queue.partitions
    await partition.create_group()
    job = Job((await world.job(SHOP))["job_id"], 1, "customers", SHOP)
    return job, [await world.add_entry(job.encode(), urgent=each) for each in (False, urgent)]


async def _exactly_one_runs(world: World, engine: Counting) -> None:
    """Let a worker deal with both, and look while the job runs."""
    clock = LeapingClock()
    async with world.worker(engine=engine, clock=clock) as worker:
        await wait_until(lambda: engine.running, 20, "the job runs")
        await turn(worker, clock)  # the loop has dealt with all that it read together with that entry
        assert (engine.running, await world.pending()) == (1, 1)
        engine.release()
        await check(world)
    assert len(engine.started) == 1


@pytest.mark.parametrize("urgent", [False, True])
async def test_one_of_two_new_entries_runs(world: World, urgent: bool) -> None:
    """Both are delivered at once: one runs, the other is acknowledged as its duplicate."""
    job, _ = await _make_twins(world, urgent=urgent)
    await _exactly_one_runs(world, Counting(held=True))
    assert [a["outcome"] for a in await world.attempts(job.job_id)] == ["succeeded"]


@pytest.mark.parametrize("urgent", [False, True])
@pytest.mark.parametrize("claimed", [0, 1])
async def test_one_of_two_entries_that_a_dead_worker_left_runs(
    world: World, claimed: int, urgent: bool
) -> None:
    """Both are taken over at once: the job runs once more, whichever of them it ran under, and none is lost."""
    job, entries = await _make_twins(world, urgent=urgent)
    for entry in entries:
        stream = world.keys.urgent if entry.startswith("u") else world.keys.stream
        await world.redis.xreadgroup(GROUP.decode(), "dead", {stream: ">"}, count=1)
        await world.redis.xclaim(stream, GROUP, "dead", 0, [entry[1:]], idle=120_000, justid=True)
    await world.ledger.claim("dead", [(job, entries[claimed])], [], max_deliveries=5)
    await _exactly_one_runs(world, Counting(held=True))
    assert [a["outcome"] for a in await world.attempts(job.job_id)] == ["lost", "succeeded"]
