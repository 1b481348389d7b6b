"""Redis and PostgreSQL restart, forget or vanish under running jobs: the workers go on without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from streamsync.embedded import PostgresServer, RedisServer
from tests.faults.invariants import check
from tests.faults.world import World, tenants
from tests.plugins.fix_processes import MakeWorld
from tests.support import wait_until

SHOPS = tenants(4)


@asynccontextmanager
async def _in_mid_run(world: World, *, workers: int = 2) -> AsyncIterator[None]:
    """Inside the block four jobs run, each with some pages committed and a request held; then they end."""
    await world.add_tenants(*SHOPS)
    for shop in SHOPS:
        world.simulator.admin.hold(shop, after_requests=3)
    await world.trigger("customers")
    async with world.worker(concurrency=8), world.worker(concurrency=8):
        await world.simulator.admin.wait_held(count=4, timeout=30)
        yield
        world.simulator.admin.release()
        await world.all_final()


async def test_postgres_restarted_in_mid_run(
    make_world: MakeWorld, migrated_postgres_server: PostgresServer
) -> None:
    """An immediate restart (a crash to the sessions): the jobs go on, no attempt is spent."""
    world = await make_world(database_url=migrated_postgres_server.url)
    async with _in_mid_run(world):
        await asyncio.to_thread(migrated_postgres_server.restart, immediate=True)
    await check(world)
    assert {job["attempt"] for job in await world.jobs()} == {1}
    assert {job["state"] for job in await world.jobs()} == {"succeeded"}


async def test_postgres_away_while_jobs_commit_and_end(
    make_world: MakeWorld, migrated_postgres_server: PostgresServer
) -> None:
    """Commits and outcomes wait for PostgreSQL; nothing is acknowledged before, nothing burns an attempt."""
    world = await make_world(database_url=migrated_postgres_server.url)
    async with _in_mid_run(world):
        await asyncio.to_thread(migrated_postgres_server.stop)
        world.simulator.admin.release()
        await wait_until(lambda: _requests(world) >= 4 * 4, 20, "the held pages were answered")
        assert await world.pending() == 4
        await asyncio.to_thread(migrated_postgres_server.restart)
    await check(world)
    assert {(job["state"], job["attempt"]) for job in await world.jobs()} == {("succeeded", 1)}


def _requests(world: World) -> int:
    return len([entry for entry in world.simulator.admin.requests() if entry.status == 200])


async def test_a_redis_that_remembers_restarts_in_mid_run(
    make_world: MakeWorld, durable_redis_server: RedisServer
) -> None:
    """Entries and locks are there again: the jobs go on, nothing runs twice."""
    world = await make_world(redis_url=durable_redis_server.url)
    async with _in_mid_run(world):
        await asyncio.to_thread(durable_redis_server.restart)
    await check(world)
    assert {(job["state"], job["attempt"]) for job in await world.jobs()} == {("succeeded", 1)}
    assert world.simulator.admin.stats()["overlaps"] == 0


@pytest.mark.parametrize("how", ["restart", "flushall", "kill"])
async def test_a_redis_that_forgets_in_mid_run(
    make_world: MakeWorld, redis_server: RedisServer, how: str
) -> None:
    """Running jobs end by the ledger's word alone, the group is made again, and what comes next runs."""
    world = await make_world(redis_url=redis_server.url)
    async with _in_mid_run(world):
        if how == "flushall":
            await world.redis.flushall()
        else:
            await asyncio.to_thread(redis_server.kill if how == "kill" else redis_server.stop)
            await asyncio.to_thread(redis_server.restart)
        await wait_until(lambda: _group_there(world), 30, "the group was made again")
        world.simulator.admin.release()
        await world.all_final()
        # The workers take what is new, without a restart.
        await world.trigger("products")
    await check(world)
    assert {(job["state"], job["attempt"]) for job in await world.jobs()} == {("succeeded", 1)}
    assert world.simulator.admin.stats()["overlaps"] == 0


async def _group_there(world: World) -> bool:
    try:
        await world.pending()
    except Exception:  # noqa: BLE001 - away, or without the group: whichever, not yet
        return False
    return True


async def test_a_retry_outlives_a_redis_that_forgets(
    make_world: MakeWorld, redis_server: RedisServer
) -> None:
    """A job that fails after Redis forgot it is put back by its worker."""
    world = await make_world(redis_url=redis_server.url)
    await world.add_tenants(SHOPS[0])
    world.simulator.admin.hold(SHOPS[0], after_requests=2)
    await world.trigger("customers")
    async with world.worker():
        await world.simulator.admin.wait_held()
        await world.redis.flushall()
        world.simulator.admin.fault("500", SHOPS[0], times=2)
        world.simulator.admin.release()
        await check(world)
    assert (await world.job(SHOPS[0]))["attempt"] == 3


async def test_redis_away_under_a_request_limit_spends_no_attempt(
    make_world: MakeWorld, durable_redis_server: RedisServer
) -> None:
    """A permit that cannot be had is waited for: the absence of Redis is not the job's fault."""
    world = await make_world(
        redis_url=durable_redis_server.url, limiter_max=1000, limiter_duration_ms=100, max_retries=0
    )
    async with _in_mid_run(world):
        await asyncio.to_thread(durable_redis_server.stop)
        world.simulator.admin.release()
        # Each job commits the page it has; its next step is to ask for a permit.
        await wait_until(lambda: _commits(world, 4), 20, "the held pages were committed")
        failed = asyncio.ensure_future(world.in_state(SHOPS[0], "failed", timeout_seconds=1))
        await asyncio.wait({failed})
        assert failed.exception() is not None, "an attempt was spent"
        await asyncio.to_thread(durable_redis_server.restart)
    await check(world)
    assert {(job["state"], job["attempt"]) for job in await world.jobs()} == {("succeeded", 1)}


async def _commits(world: World, count: int) -> bool:
    return all(job["commits"] >= count for job in await world.jobs())


async def test_postgres_restarted_while_the_producer_pages(
    make_world: MakeWorld, migrated_postgres_server: PostgresServer
) -> None:
    """The tick stays open and is carried out to its end by a scheduler: each tenant one job."""
    world = await make_world(database_url=migrated_postgres_server.url)
    await world.add_tenants(*tenants(250))
    world.without_data.update(tenants(250))
    await world.sql("UPDATE tenant SET active = true")
    tick = (
        await world.sql(
            "INSERT INTO schedule_tick (kind, trigger, scheduled_for) VALUES ('customers', 'manual', now())"
            " RETURNING tick_id"
        )
    )[0]["tick_id"]
    scheduler = world.start_scheduler()
    await scheduler.logged("scheduler started")
    await asyncio.to_thread(migrated_postgres_server.restart, immediate=True)

    async def done() -> bool:
        rows = await world.sql(
            "SELECT 1 FROM schedule_tick WHERE tick_id = %(t)s AND done_at IS NOT NULL", t=tick
        )
        return bool(rows)

    await wait_until(done, 40, "the tick's end")
    rows = await world.sql("SELECT count(*) AS jobs, count(DISTINCT tenant_id) AS tenants FROM job_run")
    assert (rows[0]["jobs"], rows[0]["tenants"]) == (250, 250)
    assert len(await world.delayed_bodies()) == 250
