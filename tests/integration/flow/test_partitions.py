"""Several partitions, one worker: their claim loops share its slots, and none keeps them from another."""

from __future__ import annotations

import pytest

from streamsync.jobs import partition_of
from tests.faults.world import World, tenants
from tests.integration.flow.stand_ins import Counting, LeapingClock, turn
from tests.plugins.fix_processes import MakeWorld
from tests.support import wait_until

PARTITIONS = 4


async def _make_entries(world: World, *shops: str) -> None:
    """A job of each shop, and its entry, undelivered."""
    await world.add_tenants(*shops)
    await world.trigger("customers")
    for partition in world.queue.partitions:
        await partition.create_group()
        await partition.scripts.promote(len(shops))


@pytest.mark.parametrize("concurrency", [2, 6])
async def test_a_worker_never_runs_more_jobs_than_it_has_slots(
    make_world: MakeWorld, concurrency: int
) -> None:
    """However many partitions have entries for it at once, fewer slots than partitions or more."""
    world = await make_world(partitions=PARTITIONS, concurrency=concurrency)
    shops = tenants(24)
    assert {partition_of(shop, PARTITIONS) for shop in shops} == set(range(PARTITIONS))
    await _make_entries(world, *shops)
    engine, clock = Counting(held=True), LeapingClock()
    async with world.worker(engine=engine, clock=clock) as worker:
        await wait_until(lambda: engine.running >= concurrency, 20, "every slot taken")
        await turn(worker, clock)  # whatever a loop has read runs now
        assert engine.running == concurrency
        engine.release()
        await world.all_final()
    assert engine.most == concurrency
    assert sorted(job.tenant_id for job in engine.started) == sorted(shops)


@pytest.mark.parametrize("job_starts_max", [0, 100])
@pytest.mark.parametrize("concurrency", [1, 3])
async def test_an_idle_partition_keeps_no_slot_from_a_busy_one(
    make_world: MakeWorld, concurrency: int, job_starts_max: int
) -> None:
    """Jobs of one partition get all of the slots, even where there are fewer slots than partitions."""
    world = await make_world(partitions=PARTITIONS, concurrency=concurrency, job_starts_max=job_starts_max)
    busy = [shop for shop in tenants(40) if partition_of(shop, PARTITIONS) == PARTITIONS - 1][:6]
    assert len(busy) == 6
    engine = Counting(held=True)
    async with world.worker(engine=engine):
        await _make_entries(world, *busy)
        await wait_until(lambda: engine.running == concurrency, 20, "every slot taken by one partition")
        engine.release()
        await world.all_final(timeout_seconds=20)
    assert engine.most == concurrency
