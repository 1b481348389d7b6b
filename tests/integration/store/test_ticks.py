"""Ticks: slots, leases, positions, and the jobs their pages write."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from streamsync.store.pool import Database
from streamsync.store.ticks import PositionMoved, Tick, Ticks, Written
from tests.integration.store.helpers import add_job, add_shops, job_row, one

_SLOT = datetime(2026, 1, 20, 6, tzinfo=UTC)


async def _tick(ticks: Ticks, *, kind: str = "customers") -> Tick:
    assert await ticks.add_cron_tick(kind, _SLOT, missed=False)
    tick_id = await ticks.lease_open_tick()
    assert tick_id is not None
    return await ticks.get(tick_id)


async def _write(ticks: Ticks, tick: Tick, after: str, *tenants: str) -> list[Written]:
    due = [(tenant, _SLOT + timedelta(seconds=number)) for number, tenant in enumerate(tenants)]
    return await ticks.write_page(tick, after=after, dispatched=after, due=due)


async def test_a_slot_is_recorded_once(database: Database) -> None:
    """However many schedulers see it, at the same time or later."""
    schedulers = [Ticks(database, f"s{number}") for number in range(5)]
    first = await asyncio.gather(*(s.add_cron_tick("customers", _SLOT, missed=False) for s in schedulers))
    assert sorted(first) == [False] * 4 + [True]
    assert not await schedulers[0].add_cron_tick("customers", _SLOT, missed=True)
    assert await schedulers[0].add_cron_tick("products", _SLOT, missed=False)


async def test_a_missed_slot_is_recorded_and_never_carried_out(database: Database) -> None:
    """It is done as soon as it is written down."""
    ticks = Ticks(database, "s")
    assert await ticks.add_cron_tick("customers", _SLOT, missed=True)
    assert await ticks.lease_open_tick() is None
    row = await one(database, "SELECT missed, done_at IS NOT NULL AS done FROM schedule_tick")
    assert (row["missed"], row["done"]) == (True, True)


async def test_a_tick_is_leased_to_one_until_the_lease_is_over(database: Database) -> None:
    """Others keep away while its producer lives, and take it up when the lease has run out."""
    one_owner, other = Ticks(database, "one"), Ticks(database, "other")
    tick = await _tick(one_owner)
    assert await other.lease_open_tick() is None
    assert await one_owner.lease_open_tick() == tick.tick_id
    await database.fetch("UPDATE schedule_tick SET lease_until = now() - interval '1 ms'")
    assert await other.lease_open_tick() == tick.tick_id
    assert await one_owner.lease_open_tick() is None
    await other.finish(tick.tick_id)
    assert await other.lease_open_tick() is None


async def test_a_manual_tick_is_its_makers_at_once(database: Database) -> None:
    """No scheduler takes it while the command that made it lives."""
    maker, scheduler = Ticks(database, "cli"), Ticks(database, "s")
    tick_id = await maker.add_manual_tick("customers", tenant_ids=["b", "a"], urgent=True, full_read=True)
    assert await scheduler.lease_open_tick() is None
    tick = await maker.get(tick_id)
    assert (tick.trigger, tick.tenant_ids, tick.urgent, tick.full_read) == ("manual", ["b", "a"], True, True)
    await add_shops(database, "a", "b", "c")
    assert await maker.page_tenants(tick, "", 100) == ["a", "b"]


async def test_tenants_are_paged_by_key_in_code_point_order(database: Database) -> None:
    """Active ones only, the same order on every machine."""
    await add_shops(database, "B", "a", "Z", "a-1", "a.1", "a1")
    await add_shops(database, "hidden", active=False)
    ticks = Ticks(database, "s")
    tick = await _tick(ticks)
    pages = [await ticks.page_tenants(tick, after, 2) for after in ("", "Z", "a-1", "a1")]
    assert pages == [["B", "Z"], ["a", "a-1"], ["a.1", "a1"], []]


async def test_a_page_writes_jobs_and_position_together(database: Database) -> None:
    """One job per tenant, the tick's figures, and the jobs' due times."""
    await add_shops(database, "a", "b")
    ticks = Ticks(database, "s")
    tick = await _tick(ticks)
    written = await _write(ticks, tick, "", "a", "b")
    assert [(w.job.tenant_id, w.created) for w in written] == [("a", True), ("b", True)]
    assert [w.due_at - _SLOT for w in written] == [timedelta(0), timedelta(seconds=1)]
    now = await ticks.get(tick.tick_id)
    assert (now.last_tenant_id, now.dispatched_tenant_id, now.tenants, now.coalesced) == ("b", "", 2, 0)
    row = await job_row(database, written[0].job)
    assert (row["tick_ids"], row["scheduled_for"], row["trigger"]) == ([tick.tick_id], _SLOT, "schedule")


async def test_a_position_that_has_moved_writes_nothing(database: Database) -> None:
    """Of two producers on one page one succeeds; the other's jobs are not written."""
    await add_shops(database, "a", "b")
    ticks = Ticks(database, "s")
    tick = await _tick(ticks)
    outcomes = await asyncio.gather(
        *(_write(Ticks(database, f"p{n}"), tick, "", "a", "b") for n in range(4)), return_exceptions=True
    )
    assert sum(isinstance(outcome, PositionMoved) for outcome in outcomes) == 3
    assert (await one(database, "SELECT count(*) AS jobs FROM job_run"))["jobs"] == 2
    assert (await ticks.get(tick.tick_id)).tenants == 2
    await ticks.finish(tick.tick_id)
    with pytest.raises(PositionMoved):
        await _write(ticks, tick, "b", "c")


async def test_a_tick_is_noted_on_a_job_that_waits(database: Database) -> None:
    """Last night's job has not run: no second one waits, its due time stays, the tick is on it."""
    await add_shops(database, "a", "b")
    waiting = await add_job(database, "a", state="retrying", attempt=2, tick_ids=[77])
    running = await add_job(database, "b", state="running")
    due_before = (await job_row(database, waiting))["due_at"]
    ticks = Ticks(database, "s")
    tick = await _tick(ticks)
    first, second = await _write(ticks, tick, "", "a", "b")
    assert (first.job, first.created) == (waiting, False)
    assert second.created
    assert second.job.job_id != running.job_id
    row = await job_row(database, waiting)
    assert (row["tick_ids"], row["due_at"], row["attempt"]) == ([77, tick.tick_id], due_before, 2)
    assert (await ticks.get(tick.tick_id)).coalesced == 1


async def test_an_urgent_full_tick_moves_a_waiting_job_forward(database: Database) -> None:
    """`--now` brings its due time forward, `--full` makes it a full one; neither is ever taken back."""
    await add_shops(database, "a")
    waiting = await add_job(database, "a")
    await database.fetch("UPDATE job_run SET due_at = now() + interval '1 hour'")
    ticks = Ticks(database, "cli")
    for urgent in (True, False):
        tick_id = await ticks.add_manual_tick(
            "customers", tenant_ids=["a"], urgent=urgent, full_read=urgent, accept_deletions=urgent
        )
        tick = await ticks.get(tick_id)
        due = [("a", tick.scheduled_for + timedelta(hours=0 if urgent else 2))]
        (found,) = await ticks.write_page(tick, after="", dispatched="", due=due)
        assert found.job == waiting
    row = await job_row(database, waiting)
    assert (row["urgent"], row["full_read"], row["accept_deletions"]) == (True, True, True)
    assert len(row["tick_ids"]) == 2
    assert row["due_at"] < (await one(database, "SELECT now() AS now"))["now"]


async def test_what_a_dead_producer_may_not_have_told_redis_is_known(database: Database) -> None:
    """Between its commit and Redis it died: the jobs beyond `dispatched`, of this tick, that still wait."""
    await add_shops(database, "a", "b", "c", "d")
    ticks = Ticks(database, "s")
    tick = await _tick(ticks)
    await ticks.write_page(tick, after="", dispatched="", due=[("a", _SLOT), ("b", _SLOT)])
    page = await ticks.write_page(tick, after="b", dispatched="b", due=[("c", _SLOT), ("d", _SLOT)])
    await database.fetch("UPDATE job_run SET state = 'running' WHERE tenant_id = 'd'")
    await add_job(database, "c", kind="products")
    left = await ticks.undispatched(await ticks.get(tick.tick_id))
    assert [item.job for item in left] == [page[0].job]
    await ticks.finish(tick.tick_id)
    assert await ticks.undispatched(await ticks.get(tick.tick_id)) == []


async def test_a_schedule_owes_nothing_to_the_past(database: Database) -> None:
    """New or changed, it starts now; unchanged it goes on from its last tick; disabled it stays so."""
    ticks = Ticks(database, "s")
    await ticks.put_schedule("customers", "0 3 * * *", "UTC")
    (first,) = await ticks.schedules()
    await ticks.put_schedule("customers", "0 3 * * *", "UTC")
    assert await ticks.schedules() == [first]
    later = first.last_tick + timedelta(days=3)
    await ticks.add_cron_tick("customers", later, missed=True)
    assert [s.last_tick for s in await ticks.schedules()] == [later]
    await database.fetch("UPDATE schedule SET enabled = false")
    await ticks.put_schedule("customers", "0 4 * * *", "UTC")
    assert await ticks.schedules() == []
