"""Entries that must not run: duplicates, redeliveries, unreadable ones, unknown jobs, poison."""

from __future__ import annotations

import asyncio

from streamsync.queue.keys import GROUP
from tests.faults.invariants import check
from tests.faults.world import World, tenants
from tests.plugins.fix_processes import MakeWorld
from tests.support import wait_until

SHOP, OTHER = tenants(2)


async def _acknowledged(world: World, entry: str) -> None:
    """Wait until an entry is neither waiting nor pending."""
    stream = world.keys.urgent if entry[0] == "u" else world.keys.stream

    async def gone() -> bool:
        return not await world.redis.xrange(stream, entry[1:], entry[1:])

    await wait_until(gone, 20, f"entry {entry} acknowledged")


async def test_a_second_entry_of_a_running_job_is_acknowledged_without_a_second_run(world: World) -> None:
    """The tenant is busy with the very same job: it is not run twice, and not put back for ever."""
    await world.add_tenants(SHOP)
    world.simulator.admin.hold(SHOP, after_requests=2)
    await world.trigger("customers")
    async with world.worker(), world.worker():
        await world.simulator.admin.wait_held(SHOP)
        job = await world.job(SHOP)
        body = f"{job['job_id']} 1 customers {SHOP}".encode()
        for entry in [await world.add_entry(body), await world.add_entry(body, urgent=True)]:
            await _acknowledged(world, entry)
        assert (await world.job(SHOP))["state"] == "running"
        world.simulator.admin.release()
        await check(world)
    assert len(await world.attempts(job["job_id"])) == 1
    assert world.simulator.admin.stats()["overlaps"] == 0


async def test_redelivery_of_a_finished_job_writes_nothing(world: World) -> None:
    """It is acknowledged; no row of data or ledger is touched, the ERP is not asked."""
    await world.add_tenants(SHOP)
    await world.trigger("customers")
    async with world.worker():
        await world.in_state(SHOP, "succeeded")
        job = await world.job(SHOP)
        before = await _versions(world)
        seen = world.last_request()
        body = f"{job['job_id']} 1 customers {SHOP}".encode()
        await _acknowledged(world, await world.add_entry(body))
        await check(world)
    assert await _versions(world) == before
    assert world.last_request() == seen


async def _versions(world: World) -> object:
    """Every row's version, data and ledger: any write, even of the same values, changes one."""
    return await world.sql(
        "SELECT 'c' AS what, customer_id::text AS id, xmin::text, ctid::text FROM customer"
        " UNION ALL SELECT 'a', customer_id || '.' || address_id, xmin::text, ctid::text FROM customer_address"
        " UNION ALL SELECT 'j', job_id::text, xmin::text, ctid::text FROM job_run"
        " UNION ALL SELECT 't', job_id || '.' || fence, xmin::text, ctid::text FROM job_attempt"
        " UNION ALL SELECT 's', entity, xmin::text, ctid::text FROM sync_state"
        " UNION ALL SELECT 'f', tenant_id, fence::text, ctid::text FROM tenant_fence ORDER BY 1, 2"
    )


async def test_a_lost_acknowledgement_is_absorbed(world: World) -> None:
    """The ledger says done, the entry is still pending with a dead worker: taken over, acknowledged, not run."""
    await world.add_tenants(SHOP)
    await world.trigger("customers")
    async with world.worker():
        await world.in_state(SHOP, "succeeded")
    job = await world.job(SHOP)
    await world.add_entry(f"{job['job_id']} 1 customers {SHOP}".encode())
    await world.redis.xreadgroup(GROUP.decode(), "dead-worker", {world.keys.stream: ">"}, count=1)
    assert await world.pending() == 1
    before = await _versions(world)
    async with world.worker():
        await wait_until(lambda: _nothing_pending(world), 20, "taken over and acknowledged")
        await check(world)
    assert await _versions(world) == before


async def _nothing_pending(world: World) -> bool:
    return await world.pending() == 0


async def test_an_unreadable_body_goes_to_the_dead_feed(world: World) -> None:
    """Once, and what comes after it runs."""
    await world.add_tenants(SHOP)
    async with world.worker():
        for body in (b"not a job", b"\xff\xfe", b"0 0 customers x"):
            await _acknowledged(world, await world.add_entry(body))
        await world.trigger("customers")
        await check(world)
    assert await world.dead_feed() == [
        (b"not a job", "unreadable_body"),
        (b"\xff\xfe", "unreadable_body"),
        (b"0 0 customers x", "unreadable_body"),
    ]


async def test_an_unknown_job_goes_to_the_dead_feed(world: World) -> None:
    """An id that the ledger has never issued."""
    await world.add_tenants(SHOP)
    async with world.worker():
        body = f"987654 1 customers {SHOP}".encode()
        await _acknowledged(world, await world.add_entry(body))
        await check(world)
    assert await world.dead_feed() == [(body, "unknown_job")]


async def test_an_entry_of_an_earlier_attempt_is_replaced_by_what_the_ledger_says_is_next(
    world: World,
) -> None:
    """A retry that Redis was not told of (the worker died in between) is queued by its old entry."""
    await world.add_tenants(SHOP)
    await world.trigger("customers")
    await world.sql("UPDATE job_run SET state = 'retrying', attempt = 2")
    async with world.worker(max_retries=3):
        done = await world.in_state(SHOP, "succeeded")
    assert done["attempt"] == 2
    assert await world.delayed_bodies() == []


async def test_two_workers_and_one_tenant_never_fetch_at_once(make_world: MakeWorld) -> None:
    """Jobs of both kinds, again and again: the ERP never sees two requests of one shop at a time."""
    world = await make_world(busy_delay_ms=20)
    await world.add_tenants(SHOP)
    world.simulator.admin.switch(delay=0.01)
    async with world.worker(), world.worker():
        for _ in range(4):
            await world.trigger("customers", now=True)
            await world.trigger("products")
            await world.all_final()
        await check(world)
    assert world.simulator.admin.stats()["overlaps"] == 0


async def test_five_workers_share_a_batch_without_running_anything_twice(world: World) -> None:
    """Every job once, whoever took it."""
    shops = tenants(20)
    await world.add_tenants(*shops)
    await world.trigger("customers")
    async with asyncio.timeout(60):
        async with world.worker(), world.worker(), world.worker(), world.worker(), world.worker():
            await check(world)
    attempts = await world.sql("SELECT job_id, count(*) AS claims FROM job_attempt GROUP BY job_id")
    assert [row["claims"] for row in attempts] == [1] * 20
    assert world.simulator.admin.stats()["overlaps"] == 0
