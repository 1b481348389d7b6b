"""Workers that die: SIGKILL in mid-sync, a job that kills whoever runs it, SIGTERM."""

from __future__ import annotations

import time

from streamsync.jobs import Job
from tests.faults.invariants import check
from tests.faults.world import World, tenants
from tests.plugins.fix_processes import Process

SHOP, OTHER = tenants(2)

#: More than a loaded machine needs to start what is due now.
SLACK_SECONDS = 2.5


async def _running_worker(world: World, **changes: object) -> Process:
    process = world.start_worker(**changes)
    await process.logged("worker started")
    return process


async def _committed(world: World, shop: str = SHOP) -> int:
    """The cursor, once pages have been committed and the next request is held."""
    await world.simulator.admin.wait_held(shop, timeout=30)
    job = await world.job(shop)
    assert job["commits"] >= 2
    return await world.cursor(shop)


async def test_a_worker_killed_in_mid_sync_is_replaced_within_its_silence(world: World) -> None:
    """Taken over within claim_idle and one beat, resumed at the last committed page, no attempt spent."""
    await world.add_tenants(SHOP)
    world.simulator.admin.hold(SHOP, after_requests=3)
    await world.trigger("customers")
    victim = await _running_worker(world)
    cursor = await _committed(world)
    await _running_worker(world)
    seen = world.last_request()
    victim.kill()
    killed = time.time()
    world.simulator.admin.release()
    await world.in_state(SHOP, "succeeded")
    await check(world)
    job = await world.job(SHOP)
    lost, won = await world.attempts(job["job_id"])
    assert (lost["outcome"], won["outcome"]) == ("lost", "succeeded")
    assert (lost["attempt"], won["attempt"], job["attempt"]) == (1, 1, 1)
    assert lost["worker"] != won["worker"]
    claim_idle = float(str(world.fields["claim_idle_ms"])) / 1000
    assert won["started_at"].timestamp() - killed <= claim_idle * 4 / 3 + SLACK_SECONDS
    pages = world.pages(SHOP, since=seen)
    assert pages[0].trans_id == cursor - 1
    assert min(page.trans_id or 0 for page in pages) == cursor - 1


async def test_a_full_read_of_a_killed_worker_is_taken_over(world: World) -> None:
    """Its rescuer goes on at the last committed page, knows what was seen before, and deletes what is gone."""
    await world.add_tenants(SHOP)
    await world.trigger("customers")
    victim = await _running_worker(world)
    await world.in_state(SHOP, "succeeded")
    world.simulator.admin.world.delete(SHOP, "customers", 6)
    world.simulator.admin.hold(SHOP, after_requests=3)
    await world.trigger("customers", full=True)
    await world.simulator.admin.wait_held(SHOP, timeout=30)
    (state,) = await world.sql("SELECT full_read_cursor FROM sync_state")
    seen = world.last_request()
    victim.kill()
    await _running_worker(world)
    world.simulator.admin.release()
    job = await world.in_state(SHOP, "succeeded")
    await check(world)
    assert (job["attempt"], job["rows_deleted"], job["deletions_withheld"]) == (1, 6, 0)
    assert [a["outcome"] for a in await world.attempts(job["job_id"])] == ["lost", "succeeded"]
    assert world.pages(SHOP, since=seen)[0].trans_id == state["full_read_cursor"] - 1 > 0


async def test_a_job_that_kills_its_workers_ends_as_poison_and_its_neighbours_run(world: World) -> None:
    """After max_deliveries deliveries without an end: failed, with the reason, on the dead feed."""
    world.fields["max_deliveries"] = 2
    await world.add_tenants(SHOP, OTHER)
    world.simulator.admin.hold(SHOP, after_requests=1)
    await world.trigger("customers", SHOP)
    for delivery in (1, 2):
        victim = await _running_worker(world)
        await world.simulator.admin.wait_held(SHOP, timeout=30)
        assert (await world.job(SHOP))["deliveries"] == delivery
        victim.kill()
        await world.simulator.admin.wait_idle(SHOP)
    await world.trigger("customers", OTHER)
    await _running_worker(world)
    await world.in_state(OTHER, "succeeded")
    job = await world.in_state(SHOP, "failed")
    world.simulator.admin.release()
    await check(world)
    assert (job["error_class"], job["attempt"]) == ("poison", 1)
    assert "2 deliveries" in job["error_message"]
    assert [a["outcome"] for a in await world.attempts(job["job_id"])] == ["lost", "lost"]
    body = Job(job["job_id"], 1, "customers", SHOP).encode()
    assert await world.dead_feed() == [(body, "poison")]


async def test_sigterm_hands_the_job_over_at_once(world: World) -> None:
    """The running page commits, another worker goes on without waiting for any silence, no attempt spent."""
    await world.add_tenants(SHOP)
    world.fields["claim_idle_ms"] = 60_000  # nothing here may depend on it
    world.simulator.admin.hold(SHOP, after_requests=3)
    await world.trigger("customers")
    leaving = await _running_worker(world)
    await _committed(world)
    before = (await world.job(SHOP))["commits"]
    await _running_worker(world)
    leaving.terminate()
    world.simulator.admin.release()
    assert await leaving.exited() == 0
    await world.in_state(SHOP, "succeeded")
    await check(world)
    job = await world.job(SHOP)
    handed, won = await world.attempts(job["job_id"])
    assert (handed["outcome"], won["outcome"]) == ("handed_back", "succeeded")
    assert (handed["attempt"], won["attempt"]) == (1, 1)
    assert handed["pages"] > before  # the page that was on its way was committed
    assert (won["started_at"] - handed["finished_at"]).total_seconds() <= SLACK_SECONDS
    assert [entry.trans_id for entry in world.pages(SHOP)].count(0) == 1
    consumers = await world.redis.xinfo_consumers(world.keys.stream, "workers")
    assert len(consumers) == 1  # the one that left has signed off


async def test_sigterm_lets_an_idle_worker_go_at_once(world: World) -> None:
    """Nothing to wait for: it does not sit out its blocking reads."""
    idle = await _running_worker(world)
    started = time.monotonic()
    idle.terminate()
    assert await idle.exited() == 0
    assert time.monotonic() - started < 3 + SLACK_SECONDS
    await check(world)


async def test_a_second_sigterm_does_not_wait_for_the_page(world: World) -> None:
    """The ERP hangs; the first signal waits for its page, the second hands the job back in mid-page."""
    await world.add_tenants(SHOP)
    world.simulator.admin.hold(SHOP, after_requests=3)
    await world.trigger("customers")
    leaving = await _running_worker(world, shutdown_grace_seconds=60)
    cursor = await _committed(world)
    leaving.terminate()
    await leaving.logged("worker stopping")
    assert leaving.returncode is None
    leaving.terminate()
    assert await leaving.exited() == 0
    job = await world.job(SHOP)
    assert (job["state"], job["attempt"]) == ("scheduled", 1)
    world.simulator.admin.release()
    seen = world.last_request()
    await _running_worker(world)
    await world.in_state(SHOP, "succeeded")
    await check(world)
    assert world.pages(SHOP, since=seen)[0].trans_id == cursor - 1


async def test_the_grace_ends_a_page_that_does_not_come(world: World) -> None:
    """One signal and an ERP that hangs: after the grace the job is handed back all the same."""
    await world.add_tenants(SHOP)
    world.simulator.admin.hold(SHOP, after_requests=3)
    await world.trigger("customers")
    leaving = await _running_worker(world, shutdown_grace_seconds=0.5)
    await _committed(world)
    leaving.terminate()
    assert await leaving.exited() == 0
    assert [a["outcome"] for a in await world.attempts((await world.job(SHOP))["job_id"])] == ["handed_back"]
    assert leaving.lines("grace is over: stopping jobs in mid-page")
    world.simulator.admin.release()
    await _running_worker(world)
    await check(world)
