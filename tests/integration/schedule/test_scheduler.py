"""Schedulers on a clock that is moved: ticks once, caught up, missed, disabled."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta

import pytest

from streamsync.errors import StoreUnavailable
from streamsync.schedule.run import SILENT_SECONDS, Scheduler
from streamsync.store.pool import Database
from tests.integration.schedule.conftest import World
from tests.support import wait_until


async def _known(world: World, *schedulers: Scheduler) -> None:
    """Put the schedules in force, as a scheduler's start does."""
    for scheduler in schedulers:
        await scheduler._put_schedules()


async def test_nothing_is_due_before_its_time(world: World) -> None:
    """A new schedule owes nothing to the past."""
    await world.shops(3)
    scheduler = world.scheduler("s")
    await _known(world, scheduler)
    assert await scheduler.run_once() == 0
    assert await world.slots() == []


async def test_a_tick_is_recorded_and_carried_out_once_by_two_schedulers(world: World) -> None:
    """Both see it due at the same moment: one row, one job per tenant and kind."""
    await world.shops(5)
    both = [world.scheduler("one"), world.scheduler("two")]
    await _known(world, *both)
    world.clock.move(days=1)
    done = await asyncio.gather(*(scheduler.run_once() for scheduler in both))
    done = [a + b for a, b in zip(done, [await scheduler.run_once() for scheduler in both], strict=True)]
    assert sum(done) == 2
    assert [(slot["kind"], slot["tenants"], slot["done"]) for slot in await world.slots()] == [
        ("customers", 5, True), ("products", 5, True),
    ]  # fmt: skip
    assert {count for _, count in await world.jobs()} == {2}
    assert await world.delayed() == 10


async def test_the_latest_missed_tick_is_caught_up_and_older_ones_are_recorded(world: World) -> None:
    """Nobody ran for three days: the last tick is run if it is young enough, the others were missed."""
    await world.shops(2)
    scheduler = world.scheduler("s")
    await _known(world, scheduler)
    world.clock.move(days=3)
    await scheduler.run_once()
    slots = [slot for slot in await world.slots() if slot["kind"] == "customers"]
    assert [slot["missed"] for slot in slots] == [True, True, False]
    assert all(slot["done"] for slot in slots)
    gaps = [b["scheduled_for"] - a["scheduled_for"] for a, b in itertools.pairwise(slots)]
    assert gaps == [timedelta(days=1)] * 2
    assert {count for _, count in await world.jobs()} == {2}
    assert await scheduler.run_once() == 0


async def test_a_tick_older_than_the_limit_is_missed(world: World) -> None:
    """Syncing last night's data at noon may be worse than not: the operator says how old is too old."""
    await world.shops(2)
    slot = (world.clock.now() + timedelta(hours=2)).replace(minute=0, second=0, microsecond=0)
    cron = f"0 {slot.hour} * * *"
    scheduler = world.scheduler("s", catch_up_hours=1, customers_cron=cron, products_cron=cron)
    await _known(world, scheduler)
    world.clock.moment = slot + timedelta(hours=1, seconds=1)
    assert await scheduler.run_once() == 0
    assert [(slot["missed"], slot["done"]) for slot in await world.slots()] == [(True, True)] * 2
    assert await world.jobs() == []


async def test_a_tick_just_young_enough_is_run(world: World) -> None:
    """The limit itself is still young."""
    await world.shops(2)
    slot = (world.clock.now() + timedelta(hours=2)).replace(minute=0, second=0, microsecond=0)
    cron = f"0 {slot.hour} * * *"
    scheduler = world.scheduler("s", catch_up_hours=1, customers_cron=cron, products_cron=cron)
    await _known(world, scheduler)
    world.clock.moment = slot + timedelta(hours=1)
    assert await scheduler.run_once() == 2


async def test_a_disabled_schedule_does_not_tick(world: World) -> None:
    """Disabled by an operator it stays so, also when a scheduler starts again."""
    await world.shops(2)
    scheduler = world.scheduler("s")
    await _known(world, scheduler)
    await world.database.fetch("UPDATE schedule SET enabled = false WHERE kind = 'customers'")
    await _known(world, world.scheduler("again"))
    world.clock.move(days=1)
    await scheduler.run_once()
    assert {slot["kind"] for slot in await world.slots()} == {"products"}


async def test_a_changed_schedule_starts_anew(world: World) -> None:
    """Another time of day does not make yesterday's tick due."""
    scheduler = world.scheduler("s", products_cron="30 5 * * *")
    await _known(world, world.scheduler("before"))
    await world.database.fetch("UPDATE schedule SET updated_at = now() - interval '3 days'")
    await _known(world, scheduler)
    assert await scheduler.run_once() == 1
    assert {slot["kind"] for slot in await world.slots()} == {"customers"}


async def test_a_tick_left_by_a_dead_scheduler_is_taken_up_when_its_lease_is_over(world: World) -> None:
    """Until then it is left alone."""
    await world.shops(2)
    await world.tick()
    await world.database.fetch(
        "UPDATE schedule_tick SET lease_owner = 'dead', lease_until = now() + interval '1 hour'"
    )
    scheduler = world.scheduler("s")
    assert await scheduler.run_once() == 0
    await world.database.fetch("UPDATE schedule_tick SET lease_until = now() - interval '1 second'")
    assert await scheduler.run_once() == 1


async def test_the_loop_runs_until_stopped_and_survives_postgresql_going_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unavailable is a pass like any other; then the tick comes; then it stops when told."""
    await world.shops(2)
    away, real = [True, True], Database.fetch

    async def fetch(self: Database, query: str, parameters: object = None) -> object:
        if away:
            away.pop()
            raise StoreUnavailable("away")
        return await real(self, query, parameters)  # type: ignore[arg-type]

    monkeypatch.setattr("streamsync.schedule.run.POLL_SECONDS", 0.01)
    scheduler = world.scheduler("s")
    monkeypatch.setattr(Database, "fetch", fetch)
    running = asyncio.create_task(scheduler.run())
    await wait_until(lambda: not away, description="two passes without PostgreSQL")

    async def known() -> bool:
        rows = await world.database.fetch("SELECT kind FROM schedule")
        return len(rows) == 2

    await wait_until(known, description="the schedules to be known")
    world.clock.move(days=1)

    async def told() -> bool:
        return await world.delayed() == 4

    await wait_until(told, description="both kinds' jobs in Redis")
    scheduler.stop()
    await running


async def test_a_scheduler_whose_loop_does_not_turn_is_not_alive(world: World) -> None:
    """Told by the time since its last pass."""
    scheduler = world.scheduler("s")
    assert scheduler.why_not_alive() is None
    world.clock.move(seconds=SILENT_SECONDS + 1)
    assert "no pass" in (scheduler.why_not_alive() or "")
