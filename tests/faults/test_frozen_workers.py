"""Workers that freeze past their lock and wake: they write nothing more and take nothing back."""

from __future__ import annotations

import asyncio

from tests.faults.invariants import check
from tests.faults.splitting import SplittingProxy
from tests.faults.world import World, tenants
from tests.plugins.fix_processes import Process
from tests.support import wait_until

SHOP, OTHER = tenants(2)
SLACK_SECONDS = 2.5

#: A frozen session inside a transaction is ended by the server after this long.
IDLE_IN_TRANSACTION_SECONDS = 5.0


async def _worker(world: World, **changes: object) -> Process:
    process = world.start_worker(**changes)
    await process.logged("worker started")
    return process


async def _taken_over(world: World, *, within_seconds: float, frozen_at: float) -> None:
    """The job ended under another claim, which began in time."""
    await world.in_state(SHOP, "succeeded", timeout_seconds=60)
    job = await world.job(SHOP)
    lost, won = await world.attempts(job["job_id"])
    assert (lost["outcome"], won["outcome"]) == ("lost", "succeeded")
    assert (lost["attempt"], won["attempt"], job["attempt"]) == (1, 1, 1)
    assert won["started_at"].timestamp() - frozen_at <= within_seconds + SLACK_SECONDS


async def _versions(world: World) -> object:
    """Every row's version: any write at all changes one."""
    return await world.sql(
        "SELECT 'c' AS what, customer_id::text AS id, xmin::text FROM customer"
        " UNION ALL SELECT 'j', job_id::text, xmin::text FROM job_run"
        " UNION ALL SELECT 't', job_id || '.' || fence, xmin::text FROM job_attempt"
        " UNION ALL SELECT 's', entity, xmin::text FROM sync_state"
        " UNION ALL SELECT 'f', tenant_id, fence::text FROM tenant_fence ORDER BY 1, 2"
    )


async def _server_time(world: World) -> float:
    rows = await world.sql("SELECT extract(epoch FROM clock_timestamp())::float8 AS now")
    return float(rows[0]["now"])


def _claim_idle(world: World) -> float:
    return float(str(world.fields["claim_idle_ms"])) / 1000 * 4 / 3


async def test_a_worker_frozen_past_its_lock_writes_nothing_when_it_wakes(world: World) -> None:
    """Takeover by another; the sleeper notices, stops, and is as good as new for the next job."""
    await world.add_tenants(SHOP, OTHER)
    world.simulator.admin.hold(SHOP, after_requests=3)
    await world.trigger("customers", SHOP)
    sleeper = await _worker(world)
    await world.simulator.admin.wait_held(SHOP, timeout=30)
    sleeper.freeze()
    frozen_at = await _server_time(world)
    rescuer = await _worker(world)
    await wait_until(lambda: rescuer.lines("took entries over from silent workers"), 30, "the takeover")
    world.simulator.admin.release()
    await _taken_over(world, within_seconds=_claim_idle(world) + SLACK_SECONDS, frozen_at=frozen_at)
    before = await _versions(world)
    sleeper.thaw()
    await sleeper.logged("job lost to a newer claim")
    await check(world)
    assert await _versions(world) == before
    # It takes nothing back, and it is not broken: the next job may be its own.
    rescuer.terminate()
    assert await rescuer.exited() == 0
    await world.trigger("customers", OTHER)
    await world.in_state(OTHER, "succeeded")
    await check(world)


async def test_a_worker_wakes_while_its_rescuer_still_runs(world: World) -> None:
    """The sleeper's heartbeat must not take the entry back; its page is refused by the fence."""
    await world.add_tenants(SHOP)
    world.simulator.admin.hold(SHOP, after_requests=3)
    await world.trigger("customers")
    sleeper = await _worker(world)
    await world.simulator.admin.wait_held(SHOP, timeout=30)
    sleeper.freeze()
    frozen_at = await _server_time(world)
    await _worker(world)
    await world.simulator.admin.wait_held(SHOP, count=2, timeout=30)  # the rescuer's page is held as well
    before = await _versions(world)
    sleeper.thaw()
    await sleeper.logged("job lost to a newer claim")
    assert await _versions(world) == before
    world.simulator.admin.release()
    await _taken_over(world, within_seconds=_claim_idle(world) + SLACK_SECONDS, frozen_at=frozen_at)
    await check(world)


class Nth:
    """A place within the n-th commit's message, or after it has begun."""

    def __init__(self, number: int, mark: bytes, *, from_end: int = 0) -> None:
        self._number = number
        self._mark = mark
        self._from_end = from_end
        self._commits = 0

    def __call__(self, chunk: bytes) -> int | None:
        self._commits += chunk.count(b"guard_commit(")
        if self._commits < self._number or self._mark not in chunk:
            return None
        return len(chunk) - self._from_end if self._from_end else chunk.index(self._mark) + len(self._mark)


async def test_a_worker_frozen_during_copy(world: World) -> None:
    """No server timeout ends a session frozen inside COPY; nothing it holds is in the rescuer's way."""
    await world.add_tenants(SHOP)
    await world.trigger("customers")
    # Past two commits, so that the rescuer has something to go on from; some bytes into the first row.
    await _freeze_rescue_and_thaw(world, Nth(2, b"d\x00\x00", from_end=40), limit=0)


async def test_a_worker_frozen_between_merge_and_commit(world: World) -> None:
    """All of the commit's message but its tail has left the worker: the server carries out all or nothing, so
    the rescuer is not blocked longer than a session may be idle in a transaction."""
    await world.add_tenants(SHOP)
    await world.trigger("customers")
    await _freeze_rescue_and_thaw(
        world, Nth(3, b"guard_commit(", from_end=8), limit=IDLE_IN_TRANSACTION_SECONDS
    )


async def test_a_worker_frozen_in_the_middle_of_its_claim(world: World) -> None:
    """The claim's locks must not be held by a session that never commits: neither the rescuer nor a producer
    of jobs for the same tenants may wait for it."""
    await world.add_tenants(SHOP, OTHER)

    def after_admission(chunk: bytes) -> int | None:
        place = chunk.find(b"-- What the ledger says of jobs")
        return place if place >= 0 else None

    async with SplittingProxy(str(world.fields["database_url"]), after_admission) as proxy:
        sleeper = await _worker(world, database_url=proxy.url)
        await world.trigger("customers")
        async with asyncio.timeout(30):
            await proxy.reached.wait()
        sleeper.freeze()
        async with asyncio.timeout(IDLE_IN_TRANSACTION_SECONDS + SLACK_SECONDS):
            await world.trigger("customers")
        await _worker(world)
        await world.all_final(timeout_seconds=IDLE_IN_TRANSACTION_SECONDS + 15)
        proxy.release()
        sleeper.thaw()
        await check(world)
        sleeper.kill()


async def _freeze_rescue_and_thaw(world: World, where: Nth, *, limit: float) -> None:
    async with SplittingProxy(str(world.fields["database_url"]), where) as proxy:
        sleeper = await _worker(world, database_url=proxy.url)
        async with asyncio.timeout(30):
            await proxy.reached.wait()
        sleeper.freeze()
        frozen_at = await _server_time(world)
        await _worker(world)
        within = _claim_idle(world) + SLACK_SECONDS + limit
        await _taken_over(world, within_seconds=within, frozen_at=frozen_at)
        before = await _versions(world)
        proxy.release()
        sleeper.thaw()
        await sleeper.logged("job lost to a newer claim")
        await check(world)
        assert await _versions(world) == before
        sleeper.kill()
