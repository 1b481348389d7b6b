"""Producers that are doubled, killed or frozen: each active tenant gets exactly one job per tick, all in Redis."""

from __future__ import annotations

import asyncio

import pytest

from streamsync.jobs import Job
from tests.faults.splitting import SplittingProxy
from tests.faults.world import World, tenants
from tests.plugins.fix_processes import Process
from tests.support import wait_until

COUNT = 350
SHOPS = tenants(COUNT)

#: A frozen session inside a transaction is ended by the server after this long.
IDLE_IN_TRANSACTION_SECONDS = 5.0


async def _tick(world: World, kind: str = "customers") -> int:
    """An open tick that nobody works on."""
    rows = await world.sql(
        "INSERT INTO schedule_tick (kind, trigger, scheduled_for) VALUES (%(kind)s, 'manual', now())"
        " RETURNING tick_id",
        kind=kind,
    )
    return int(rows[0]["tick_id"])


async def _position(world: World, tick_id: int) -> str:
    rows = await world.sql("SELECT last_tenant_id FROM schedule_tick WHERE tick_id = %(id)s", id=tick_id)
    return str(rows[0]["last_tenant_id"])


async def _done(world: World, tick_id: int) -> bool:
    return bool(
        await world.sql(
            "SELECT 1 FROM schedule_tick WHERE tick_id = %(id)s AND done_at IS NOT NULL", id=tick_id
        )
    )


async def _end_lease(world: World, tick_id: int) -> None:
    """The lease of a dead producer runs out (15 s that no test waits for)."""
    await world.sql("UPDATE schedule_tick SET lease_until = now() WHERE tick_id = %(id)s", id=tick_id)


async def _each_tenant_once(world: World, *, ticks: int = 1) -> None:
    """One job per active tenant in the ledger, and the same jobs in Redis."""
    jobs = await world.jobs()
    assert sorted(job["tenant_id"] for job in jobs) == SHOPS
    assert {len(job["tick_ids"]) for job in jobs} == {ticks}
    bodies = {Job(job["job_id"], job["attempt"], job["kind"], job["tenant_id"]).encode() for job in jobs}
    assert set(await world.delayed_bodies()) == bodies


async def test_two_triggers_at_once_make_one_job_per_tenant(world: World) -> None:
    """Both ticks are noted on it."""
    await world.add_tenants(*SHOPS)
    first, second = await asyncio.gather(world.trigger("customers"), world.trigger("customers"))
    assert first.tenants == second.tenants == COUNT
    assert first.created + second.created == COUNT
    assert first.coalesced + second.coalesced == COUNT
    await _each_tenant_once(world, ticks=2)


async def test_two_trigger_commands_at_once_make_one_job_per_tenant(world: World) -> None:
    """The same from the command line."""
    await world.add_tenants(*SHOPS)
    commands = [world.start("trigger", "customers") for _ in range(2)]
    assert [await command.exited(60) for command in commands] == [0, 0]
    assert all(f"customers: {COUNT} tenants" in command.output() for command in commands)
    await _each_tenant_once(world, ticks=2)


async def test_two_schedulers_and_one_tick_make_one_job_per_tenant(world: World) -> None:
    """The same slot of the same cron, recorded once and carried out once."""
    await world.add_tenants(*SHOPS)
    await world.sql(
        "INSERT INTO schedule (kind, cron, timezone, updated_at)"
        " VALUES ('customers', '0 3 * * *', 'UTC', now() - interval '2 days'),"
        " ('products', '0 4 * * *', 'UTC', now())"
    )
    fields = {"timezone": "UTC", "catch_up_hours": 24}
    schedulers = [world.start_scheduler(**fields) for _ in range(2)]
    for scheduler in schedulers:
        await scheduler.logged("scheduler started")
    await wait_until(lambda: _cron_tick_done(world), 30, "the tick's end")
    ticks = await world.sql(
        "SELECT missed, tenants FROM schedule_tick WHERE kind = 'customers' ORDER BY tick_id"
    )
    assert [(tick["missed"], tick["tenants"]) for tick in ticks] == [(True, 0), (False, COUNT)]
    await _each_tenant_once(world)
    for scheduler in schedulers:
        scheduler.terminate()
        assert await scheduler.exited() == 0


async def _cron_tick_done(world: World) -> bool:
    return bool(
        await world.sql(
            "SELECT 1 FROM schedule_tick WHERE kind = 'customers' AND NOT missed AND done_at IS NOT NULL"
        )
    )


async def _stopped_at(world: World, proxy: SplittingProxy, tick_id: int) -> Process:
    scheduler = world.start_scheduler(database_url=proxy.url)
    async with asyncio.timeout(30):
        await proxy.reached.wait()
    assert not await _done(world, tick_id)
    return scheduler


class Second:
    """The second time that a text is sent."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._seen = 0

    def __call__(self, chunk: bytes) -> int | None:
        place = chunk.find(self._text)
        self._seen += place >= 0
        return place if place >= 0 and self._seen == 2 else None


@pytest.mark.parametrize(
    "text", [b"-- Move a tick's position", b"-- One job per tenant of the page"], ids=["between", "within"]
)
async def test_a_scheduler_killed_between_two_pages(world: World, text: bytes) -> None:
    """SIGKILL when one page is written and the next is not, or half: another goes on from there."""
    await world.add_tenants(*SHOPS)
    tick_id = await _tick(world)
    async with SplittingProxy(str(world.fields["database_url"]), Second(text)) as proxy:
        victim = await _stopped_at(world, proxy, tick_id)
        victim.kill()
    assert await _position(world, tick_id) == SHOPS[99]
    assert len(await world.jobs()) == 100
    await _end_lease(world, tick_id)
    world.start_scheduler()
    await wait_until(lambda: _done(world, tick_id), 30, "the tick's end")
    await _each_tenant_once(world)


async def test_a_scheduler_killed_between_the_ledger_and_redis(world: World) -> None:
    """The ledger holds a page that Redis was never told of: the next scheduler tells it."""
    await world.add_tenants(*SHOPS)
    tick_id = await _tick(world)
    async with SplittingProxy(str(world.fields["redis_url"]), _second_page) as proxy:
        scheduler = world.start_scheduler(redis_url=proxy.url)
        async with asyncio.timeout(30):
            await proxy.reached.wait()
        scheduler.kill()
    assert await _position(world, tick_id) == SHOPS[199]
    assert len(await world.delayed_bodies()) == 100
    await _end_lease(world, tick_id)
    world.start_scheduler()
    await wait_until(lambda: _done(world, tick_id), 30, "the tick's end")
    await _each_tenant_once(world)


def _second_page(chunk: bytes) -> int | None:
    """Where the call that tells Redis of the second page begins."""
    return (
        0
        if f"customers {SHOPS[150]}".encode() in chunk or f"customers {SHOPS[100]}".encode() in chunk
        else None
    )


async def test_a_scheduler_frozen_within_a_page_does_not_keep_others_from_the_tick(world: World) -> None:
    """Its transaction is ended by the server; when it wakes it sees that the tick has moved on."""
    await world.add_tenants(*SHOPS)
    tick_id = await _tick(world)
    where = Second(b"-- One job per tenant of the page")
    async with SplittingProxy(str(world.fields["database_url"]), where) as proxy:
        sleeper = await _stopped_at(world, proxy, tick_id)
        sleeper.freeze()
        async with asyncio.timeout(IDLE_IN_TRANSACTION_SECONDS + 5):
            await _end_lease(world, tick_id)
        world.start_scheduler()
        await wait_until(lambda: _done(world, tick_id), IDLE_IN_TRANSACTION_SECONDS + 20, "the tick's end")
        proxy.release()
        sleeper.thaw()
        await sleeper.logged("scheduling waits")
        sleeper.kill()
    await _each_tenant_once(world)
