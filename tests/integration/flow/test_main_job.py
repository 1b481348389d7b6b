"""One job from trigger to rows, and how it waits, goes first, or is turned away."""

from __future__ import annotations

from typing import Any

from tests.faults.invariants import check
from tests.faults.world import World, tenants
from tests.plugins.fix_processes import MakeWorld
from tests.support import wait_until

SHOP, OTHER, THIRD = tenants(3)


async def test_a_trigger_ends_in_the_rows_that_the_erp_has(world: World) -> None:
    """Both kinds of every tenant: rows equal the truth, the ledger tells what was done."""
    await world.add_tenants(SHOP, OTHER)
    assert (await world.trigger("customers")).created == 2
    assert (await world.trigger("products")).created == 2
    async with world.worker():
        await check(world)
    job = await world.job(SHOP)
    assert (job["state"], job["attempt"], job["rows_inserted"], job["trigger"]) == (
        "succeeded",
        1,
        60,
        "manual",
    )
    assert job["pages"] >= 6
    assert job["commits"] >= 6
    assert job["duration_ms"] >= 0
    assert job["due_at"] <= job["started_at"] <= job["finished_at"]
    assert [attempt["outcome"] for attempt in await world.attempts(job["job_id"])] == ["succeeded"]


async def test_a_second_run_reads_little_and_writes_nothing(world: World) -> None:
    """Incremental: from the cursor on, and an unchanged row is not touched."""
    await world.add_tenants(SHOP)
    await world.trigger("customers")
    async with world.worker():
        await world.in_state(SHOP, "succeeded")
        before = await world.sql("SELECT customer_id, xmin::text, synced_at FROM customer ORDER BY 1")
        seen = world.last_request()
        await world.trigger("customers")
        await check(world)
    second = await world.job(SHOP)
    assert second["rows_inserted"] == second["rows_updated"] == 0
    assert second["rows_fetched"] == second["rows_unchanged"] <= 10
    assert len(world.pages(SHOP, since=seen)) <= 2
    assert before == await world.sql("SELECT customer_id, xmin::text, synced_at FROM customer ORDER BY 1")


async def test_now_runs_before_a_backlog(world: World) -> None:
    """An urgent job is started before everything that was due already."""
    shops = tenants(8)
    await world.add_tenants(*shops)
    await world.trigger("customers", *shops[:7])
    await world.trigger("customers", shops[7], now=True)
    async with world.worker(concurrency=1):
        await check(world)
    rows = await world.sql("SELECT tenant_id, urgent FROM job_run ORDER BY started_at")
    assert (rows[0]["tenant_id"], rows[0]["urgent"]) == (shops[7], True)


async def test_now_moves_a_waiting_job_forward(world: World) -> None:
    """A job due in days, asked for now: it is the same job, and it runs at once."""
    await world.add_tenants(SHOP)
    world.fields["delay_customers_ms_max"] = 2_000_000_000
    await world.trigger("customers")
    waiting = await world.job(SHOP)
    produced = await world.trigger("customers", now=True)
    assert (produced.created, produced.coalesced) == (0, 1)
    async with world.worker():
        done = await world.in_state(SHOP, "succeeded")
        await check(world)
    assert done["job_id"] == waiting["job_id"]
    assert len(done["tick_ids"]) == 2
    assert done["due_at"] < waiting["due_at"]


async def test_a_busy_tenants_job_waits_without_spending_an_attempt(world: World) -> None:
    """While customers run, products of the same shop are put back; other shops run meanwhile."""
    await world.add_tenants(SHOP, OTHER)
    world.simulator.admin.hold(SHOP, method="clientes.lista", after_requests=1)
    await world.trigger("customers", SHOP)
    async with world.worker(), world.worker():
        await world.simulator.admin.wait_held(SHOP)
        await world.trigger("products", SHOP, OTHER)
        await world.in_state(OTHER, "succeeded", "products")
        # It is seen again and again, and each time put back.
        entries = await _entries_seen(world)
        await wait_until(lambda: _more_entries(world, entries + 3), 20, "the busy job was tried again")
        waiting = await world.job(SHOP, "products")
        assert (waiting["state"], waiting["attempt"], waiting["deliveries"]) == ("scheduled", 1, 0)
        world.simulator.admin.release()
        await check(world)
    products = await world.job(SHOP, "products")
    assert [attempt["outcome"] for attempt in await world.attempts(products["job_id"])] == ["succeeded"]
    assert world.simulator.admin.stats()["overlaps"] == 0


async def _entries_seen(world: World) -> int:
    """Entries ever added to the stream."""
    info: Any = await world.redis.xinfo_stream(world.keys.stream)
    return int(info.get(b"entries-added", info.get("entries-added")))


async def _more_entries(world: World, count: int) -> bool:
    return await _entries_seen(world) >= count


async def test_a_tenant_disabled_after_scheduling_is_cancelled_with_the_reason(world: World) -> None:
    """Nothing is asked of its ERP."""
    await world.add_tenants(SHOP, OTHER)
    await world.trigger("customers")
    await world.sql("UPDATE tenant SET active = false WHERE tenant_id = %(shop)s", shop=SHOP)
    async with world.worker():
        await check(world)
    job = await world.job(SHOP)
    assert (job["state"], job["error_class"]) == ("cancelled", "tenant_inactive")
    assert "disabled" in job["error_message"]
    assert await world.attempts(job["job_id"]) == []
    assert world.simulator.admin.requests(SHOP) == []
    assert (await world.trigger("customers")).tenants == 1  # only active ones are scheduled


async def test_cancelling_a_waiting_job_ends_it_at_its_claim(world: World) -> None:
    """It never starts."""
    await world.add_tenants(SHOP)
    await world.trigger("customers")
    job = await world.job(SHOP)
    assert await world.ledger.request_cancel([job["job_id"]], "a test") == {job["job_id"]}
    async with world.worker():
        await check(world)
    job = await world.job(SHOP)
    assert (job["state"], job["error_class"], job["cancel_requested_by"]) == (
        "cancelled", "cancel_requested", "a test",
    )  # fmt: skip
    assert world.simulator.admin.requests(SHOP) == []


async def test_cancelling_a_running_job_stops_it_at_its_next_page(world: World) -> None:
    """What it has committed stays; the next job goes on from there."""
    await world.add_tenants(SHOP)
    world.simulator.admin.hold(SHOP, after_requests=3)
    await world.trigger("customers")
    async with world.worker():
        await world.simulator.admin.wait_held(SHOP)
        job = await world.job(SHOP)
        await world.ledger.request_cancel([job["job_id"]], "a test")
        world.simulator.admin.release()
        await world.in_state(SHOP, "cancelled")
        assert [attempt["outcome"] for attempt in await world.attempts(job["job_id"])] == ["cancelled"]
        count = await world.sql("SELECT count(*) AS rows FROM customer")
        assert 0 < count[0]["rows"] < 60
        await world.trigger("customers")
        await check(world)
    assert (await world.job(SHOP))["state"] == "succeeded"


async def test_requests_never_exceed_the_limit_under_two_workers(make_world: MakeWorld) -> None:
    """In no window does the ERP see more than the limit, however many workers and tenants."""
    window_ms, maximum = 500, 10
    world = await make_world(limiter_max=maximum, limiter_duration_ms=window_ms)
    await world.add_tenants(*tenants(6))
    await world.trigger("customers")
    async with world.worker(), world.worker():
        await check(world)
    times = [entry.started_monotonic for entry in world.simulator.admin.requests()]
    assert len(times) > 3 * maximum
    _within(times, maximum, window_ms)


async def test_job_starts_never_exceed_the_limit_under_two_workers(make_world: MakeWorld) -> None:
    """The ledger's start times prove it; permits of jobs that were not run are given back."""
    window_ms, maximum = 600, 3
    world = await make_world(job_starts_max=maximum, job_starts_duration_ms=window_ms)
    shops = tenants(12)
    await world.add_tenants(*shops)
    await world.trigger("customers")
    await world.sql("UPDATE tenant SET active = false WHERE tenant_id = ANY(%(shops)s)", shops=shops[:3])
    async with world.worker(), world.worker():
        await check(world)
    rows = await world.sql("SELECT started_at FROM job_attempt ORDER BY started_at")
    assert len(rows) == 9
    _within([row["started_at"].timestamp() for row in rows], maximum, window_ms)


def _within(times: list[float], maximum: int, window_ms: int) -> None:
    """No window holds more than `maximum`. A permit is older than what it allows by the way from Redis to the
    place where the time was taken: a loaded machine needs a share of the window for that."""
    shortened = window_ms / 1000 * 0.7
    for first, beyond in zip(times, times[maximum:], strict=False):
        assert beyond - first > shortened, times
