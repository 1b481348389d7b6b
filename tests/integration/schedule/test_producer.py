"""Producers: several on one tick, one that dies, and what Redis is told."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from streamsync.errors import QueueUnavailable
from streamsync.jobs import Job
from streamsync.schedule.producer import PAGE, Producer
from streamsync.store.ticks import Ticks
from tests.integration.schedule.conftest import World


class _Died(Exception):
    """Stands for a process that is gone."""


def _dying_after(world: World, pages: int) -> Producer:
    done = count(1)

    def die() -> None:
        if next(done) >= pages:
            raise _Died

    return Producer(Ticks(world.database, "dead"), world.queue, world.settings(), alive=die)


async def test_every_active_tenant_gets_one_job_within_its_window(world: World) -> None:
    """In the ledger and in Redis; due within the window; the tick knows how many."""
    await world.shops(2 * PAGE + 50)
    tick_id = await world.tick()
    produced = await world.producer("p").run(tick_id)
    assert produced is not None
    assert (produced.tenants, produced.created, produced.coalesced) == (250, 250, 0)
    jobs = await world.jobs()
    assert len(jobs) == 250
    assert {count for _, count in jobs} == {1}
    assert "s-off" not in dict(jobs)
    assert await world.delayed() == 250
    rows = await world.database.fetch("SELECT due_at - scheduled_for AS offset FROM job_run")
    offsets = {row["offset"] for row in rows}
    assert len(offsets) > 200
    assert all(timedelta(0) <= offset < timedelta(hours=1) and not offset.microseconds for offset in offsets)
    assert await world.producer("p").run(tick_id) is None


async def test_duplicate_producers_on_one_tick_make_one_job_per_tenant(world: World) -> None:
    """Five run the same tick at once, page by page against each other."""
    await world.shops(3 * PAGE)
    tick_id = await world.tick()
    await asyncio.gather(*(world.producer(f"p{number}").run(tick_id) for number in range(5)))
    jobs = await world.jobs()
    assert (len(jobs), {count for _, count in jobs}) == (3 * PAGE, {1})
    tick = await Ticks(world.database, "x").get(tick_id)
    assert (tick.tenants, tick.coalesced) == (3 * PAGE, 0)
    assert tick.done_at is not None
    assert await world.delayed() == 3 * PAGE


@pytest.mark.parametrize("pages", [1, 2])
async def test_a_producer_that_died_is_continued(world: World, pages: int) -> None:
    """From its position: nobody is left out, nobody gets two jobs."""
    await world.shops(2 * PAGE + 10)
    tick_id = await world.tick()
    with pytest.raises(_Died):
        await _dying_after(world, pages).run(tick_id)
    assert len(await world.jobs()) == pages * PAGE
    produced = await world.producer("next").run(tick_id)
    assert produced is not None
    assert produced.tenants == 2 * PAGE + 10 - pages * PAGE
    assert {count for _, count in await world.jobs()} == {1}
    assert await world.delayed() == 2 * PAGE + 10


async def test_a_death_between_the_ledger_and_redis_is_made_good(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is committed, Redis was not told: the next producer tells it, once."""
    await world.shops(PAGE + 10)
    tick_id = await world.tick()
    real, calls = world.queue.schedule, 0

    async def schedule(jobs: Any, **how: bool) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise _Died
        return await real(jobs, **how)

    monkeypatch.setattr(world.queue, "schedule", schedule)
    with pytest.raises(_Died):
        await world.producer("dead").run(tick_id)
    assert (len(await world.jobs()), await world.delayed()) == (PAGE + 10, PAGE)
    await world.producer("next").run(tick_id)
    assert await world.delayed() == PAGE + 10
    assert {count for _, count in await world.jobs()} == {1}


async def test_while_redis_is_away_the_tick_waits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is not lost, and nothing more is written meanwhile."""
    await world.shops(PAGE + 10)
    tick_id = await world.tick()
    real, away = world.queue.schedule, [True, True]

    async def schedule(jobs: list[tuple[int, Job]], **how: bool) -> int:
        if away:
            away.pop()
            assert len(await world.jobs()) == PAGE
            raise QueueUnavailable("away")
        return await real(jobs, **how)

    monkeypatch.setattr(world.queue, "schedule", schedule)
    await world.producer("p").run(tick_id)
    assert await world.delayed() == PAGE + 10


async def test_a_tick_on_waiting_jobs_is_noted_and_redis_is_not_told_again(world: World) -> None:
    """The second night finds the first night's jobs: one each, both ticks on it."""
    await world.shops(30)
    for _ in range(2):
        produced = await world.producer("p").run(await world.tick())
    assert produced is not None
    assert (produced.created, produced.coalesced) == (0, 30)
    rows = await world.database.fetch("SELECT DISTINCT cardinality(tick_ids) AS n FROM job_run")
    assert [row["n"] for row in rows] == [2]
    assert await world.delayed() == 30


async def test_pages_are_bounded_and_read_by_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more than a page at a time, each beginning after the last tenant of the one before."""
    await world.shops(2 * PAGE + 1)
    asked: list[tuple[str, int, int]] = []
    real = Ticks.page_tenants

    async def page_tenants(self: Ticks, tick: Any, after: str, limit: int) -> list[str]:
        page = await real(self, tick, after, limit)
        asked.append((after, limit, len(page)))
        return page

    monkeypatch.setattr(Ticks, "page_tenants", page_tenants)
    await world.producer("p").run(await world.tick())
    assert asked == [("", PAGE, PAGE), (f"s{PAGE - 1:04d}", PAGE, PAGE), (f"s{2 * PAGE - 1:04d}", PAGE, 1)]


async def test_no_tenants_end_a_tick_at_once(world: World) -> None:
    """An empty installation does not keep ticks open."""
    tick_id = await world.tick()
    produced = await world.producer("p").run(tick_id)
    assert produced is not None
    assert produced.tenants == 0
    assert (await Ticks(world.database, "x").get(tick_id)).done_at is not None
