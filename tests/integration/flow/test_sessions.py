"""Users of ERPs in the whole flow: one job at a time uses one, refused ones are left alone, busy ones waited for."""

from __future__ import annotations

import itertools

import pytest

from streamsync.erp.millennium.entities import TABLES
from streamsync.jobs import State
from streamsync.queue.keys import credential_key
from streamsync.simulator.journal import Entry
from streamsync.store.readback import rows_of
from streamsync.store.report import Report
from streamsync.store.tenants import Tenants
from tests.faults.invariants import check
from tests.faults.world import World, tenants
from tests.plugins.fix_processes import MakeWorld
from tests.support import wait_until

SHOP, OTHER, THIRD = tenants(3)


async def _consistent(world: World) -> None:
    await check(world)
    assert await Report(world.database).inconsistencies() == []
    assert await world.sql("SELECT * FROM erp_session") == []


async def _holds_data_of(world: World, tenant_id: str, user_of: str) -> None:
    truth = list(world.population.truth(user_of, "customer"))
    assert await rows_of(world.database, tenant_id, TABLES["customer"], tuple(truth[0])) == truth


def _overlaps(entries: list[Entry]) -> int:
    """Pairs of requests that were under way at once."""
    return sum(
        1
        for one, two in itertools.combinations(entries, 2)
        if one.ended_monotonic is None
        or two.ended_monotonic is None
        or (one.started_monotonic < two.ended_monotonic and two.started_monotonic < one.ended_monotonic)
    )


@pytest.mark.parametrize("mode", ["session", "basic"])
async def test_tenants_that_share_a_user_never_meet_at_the_erp(make_world: MakeWorld, mode: str) -> None:
    """Three shops, one user, one session, two workers: each waits for the others, no attempt is spent, and
    waiting leaves no attempt rows."""
    world = await make_world(busy_delay_ms=20, erp_page_size=20)
    await world.add_tenants(SHOP, OTHER, THIRD, user_of=SHOP, auth_mode=mode)
    world.without_data = {OTHER, THIRD}
    world.simulator.admin.switch(auth=mode, session_limit=1, delay=0.02)
    await world.trigger("customers")
    async with world.worker(), world.worker():
        await _consistent(world)
    for tenant_id in (SHOP, OTHER, THIRD):
        job = await world.job(tenant_id)
        assert (job["state"], job["attempt"], job["put_offs"]) == ("succeeded", 1, 0)
        assert len(await world.attempts(job["job_id"])) == 1
        await _holds_data_of(world, tenant_id, SHOP)
    fences = await world.sql("SELECT sum(fence) AS claims FROM tenant_fence")
    assert fences[0]["claims"] > 3  # some did find it in use
    assert _overlaps(world.simulator.admin.requests()) == 0
    assert world.simulator.admin.stats()["open_sessions"] == 0


async def test_a_job_that_waits_for_its_user_says_so_and_never_started(world: World) -> None:
    """The ledger names the reason; deliveries are not counted towards poison; the wait grows."""
    await world.add_tenants(SHOP, OTHER, user_of=SHOP)
    world.without_data = {OTHER}
    world.simulator.admin.hold(SHOP, after_requests=2)
    await world.trigger("customers", SHOP)
    async with world.worker(max_deliveries=2):
        await world.simulator.admin.wait_held(SHOP)
        await world.trigger("customers", OTHER)

        async def put_off_often() -> bool:
            return int((await world.job(OTHER))["put_offs"]) >= 4

        await wait_until(put_off_often, 20, "four waits, twice max_deliveries")
        await world.in_state(OTHER, "scheduled")
        job = await world.job(OTHER)
        assert (job["error_class"], job["attempt"], job["deliveries"]) == ("credential_busy", 1, 0)
        assert (job["started_at"], await world.attempts(job["job_id"])) == (None, [])
        assert await world.redis.get(credential_key("erp-sync", await _identity(world))) is not None
        world.simulator.admin.release()
        await _consistent(world)
    done = await world.job(OTHER)
    assert (done["state"], done["error_class"], done["put_offs"]) == ("succeeded", None, 0)


async def _identity(world: World) -> str:
    rows = await world.sql("SELECT DISTINCT credential_id FROM tenant")
    assert len(rows) == 1
    return str(rows[0]["credential_id"])


async def test_a_job_whose_user_another_uses_is_handed_back(world: World) -> None:
    """Redis forgot, and another entry took the credential: the job stops and logs out, no attempt spent."""
    await world.add_tenants(SHOP, auth_mode="session")
    world.simulator.admin.hold(SHOP, after_requests=2)
    await world.trigger("customers")
    async with world.worker(claim_idle_ms=600):
        await world.simulator.admin.wait_held(SHOP)
        key = credential_key("erp-sync", await _identity(world))
        await world.redis.set(key, "0:s1-1/1", px=1500)
        job = await world.job(SHOP)

        async def handed_back() -> bool:
            attempts = await world.attempts(job["job_id"])
            return bool(attempts[0]["outcome"] == "handed_back")

        await wait_until(handed_back, 20, "the job handed back")
        world.simulator.admin.release()
        await _consistent(world)
    assert (await world.job(SHOP))["attempt"] == 1
    assert world.simulator.admin.stats()["open_sessions"] == 0


@pytest.mark.parametrize("mode", ["session", "basic"])
async def test_a_wrong_password_reaches_the_erp_once_in_two_nights(world: World, mode: str) -> None:
    """Not once per job, kind, tenant or night: one request in all, however many share the user."""
    await world.add_tenants(SHOP, OTHER, user_of=SHOP, auth_mode=mode, password="errada")
    async with world.worker(concurrency=8), world.worker(concurrency=8):
        for _ in range(2):
            for kind in ("customers", "products"):
                await world.trigger(kind)
            await world.all_final()
        await _consistent(world)
    assert len(world.simulator.admin.requests()) == 1
    jobs = await world.jobs()
    classes = sorted(job["error_class"] for job in jobs)
    assert classes == ["erp_credential_refused"] * 7 + ["erp_wrong_password"]
    assert {(job["state"], job["attempt"]) for job in jobs} == {("failed", 1)}
    told = next(job["error_message"] for job in jobs if job["error_class"] == "erp_credential_refused")
    assert "tenants set-credential" in told
    assert "tenants clear-refusal" in told


async def test_a_new_credential_or_an_operator_lets_jobs_ask_again(world: World) -> None:
    """Setting a new one clears that tenant's mark; clear-refusal clears it where the ERP was put right."""
    await world.add_tenants(SHOP, OTHER, user_of=SHOP, password="errada")
    world.without_data = {OTHER}
    await world.trigger("customers", SHOP)
    async with world.worker():
        await world.in_state(SHOP, "failed")
        marks = await world.sql("SELECT tenant_id FROM tenant WHERE credential_refused_at IS NOT NULL")
        assert {row["tenant_id"] for row in marks} == {SHOP, OTHER}
        await world.add_tenants(SHOP)
        assert await Tenants(world.database).clear_refusals([OTHER, "nobody"]) == {OTHER}
        await world.trigger("customers")
        await world.all_final()
    assert (await world.job(SHOP))["state"] == "succeeded"
    assert (await world.job(OTHER))["error_class"] == "erp_wrong_password"  # asked again, and still wrong
    marks = await world.sql("SELECT tenant_id FROM tenant WHERE credential_refused_at IS NOT NULL")
    assert {row["tenant_id"] for row in marks} == {OTHER}  # not the one that has another password


@pytest.mark.parametrize("fault", ["busy", "licence"])
async def test_a_busy_erp_is_waited_for_without_spending_attempts(make_world: MakeWorld, fault: str) -> None:
    """More refusals than there are retries; the waits double up to the cap; then the job succeeds."""
    world = await make_world(defer_base_ms=50, defer_max_ms=200, max_retries=1)
    await world.add_tenants(SHOP)
    world.simulator.admin.fault(fault, SHOP, times=5)
    await world.trigger("customers")
    async with world.worker():
        await _consistent(world)
    job = await world.job(SHOP)
    assert (job["state"], job["attempt"], job["deferrals"], job["deferred_since"]) == (
        "succeeded", 1, 0, None,
    )  # fmt: skip
    attempts = await world.attempts(job["job_id"])
    assert [a["outcome"] for a in attempts] == ["deferred"] * 5 + ["succeeded"]
    reason = "erp_too_many_sessions" if fault == "busy" else "erp_no_licence"
    assert {a["error_class"] for a in attempts[:5]} == {reason}
    waits = [
        (later["started_at"] - earlier["finished_at"]).total_seconds() * 1000
        for earlier, later in itertools.pairwise(attempts)
    ]
    for waited, least in zip(waits, (50, 100, 200, 200, 200), strict=True):
        assert 0.9 * least - 5 <= waited <= 1.1 * least + 2500, waits


async def test_a_busy_erp_is_not_waited_for_for_ever(make_world: MakeWorld) -> None:
    """After the longest wait it fails as what it was: too many sessions, not as a timeout or poison."""
    world = await make_world(defer_base_ms=50, defer_max_ms=200, session_wait_max_seconds=1, max_deliveries=2)
    await world.add_tenants(SHOP)
    world.simulator.admin.fault("busy", SHOP)
    await world.trigger("customers")
    async with world.worker():
        await _consistent(world)
    job = await world.job(SHOP)
    assert (job["state"], job["attempt"], job["error_class"], job["error_status"]) == (
        "failed", 1, "erp_too_many_sessions", 401,
    )  # fmt: skip
    assert job["deferrals"] >= 3
    assert (job["finished_at"] - job["deferred_since"]).total_seconds() >= 1
    outcomes = [a["outcome"] for a in await world.attempts(job["job_id"])]
    assert outcomes == ["deferred"] * job["deferrals"] + ["failed"]
    assert [why for _, why in await world.dead_feed()] == ["erp_too_many_sessions"]


async def test_progress_ends_a_wait(make_world: MakeWorld) -> None:
    """Sent away, let in, pages committed, sent away again: the second wait is counted from its own beginning."""
    world = await make_world(defer_base_ms=300, defer_max_ms=600)
    await world.add_tenants(SHOP)
    world.simulator.admin.fault("busy", SHOP, times=3)
    world.simulator.admin.hold(SHOP, after_requests=5)
    await world.trigger("customers")
    async with world.worker():
        await world.simulator.admin.wait_held(SHOP)
        job = await world.job(SHOP)
        assert job["commits"] > 0
        assert (job["deferrals"], job["deferred_since"]) == (0, None)
        world.simulator.admin.fault("busy", SHOP, times=1)
        world.simulator.admin.release()

        async def deferred_anew() -> bool:
            row = await world.job(SHOP)
            return bool(row["deferrals"] == 1 and row["deferred_since"] > row["started_at"])

        await wait_until(deferred_anew, 10, "the count to begin anew")
        await _consistent(world)
    outcomes = [a["outcome"] for a in await world.attempts(job["job_id"])]
    assert outcomes == ["deferred"] * 4 + ["succeeded"]


async def test_retry_after_is_honoured_by_a_deferral(make_world: MakeWorld) -> None:
    """The ERP asks for a second, the wait would be a twentieth of it."""
    world = await make_world(defer_base_ms=50)
    await world.add_tenants(SHOP)
    world.simulator.admin.fault("licence", SHOP, times=1, retry_after=1)
    await world.trigger("customers")
    async with world.worker():
        await _consistent(world)
    first, second = await world.attempts((await world.job(SHOP))["job_id"])
    assert (first["outcome"], first["error_class"]) == ("deferred", "erp_no_licence")
    assert (second["started_at"] - first["finished_at"]).total_seconds() >= 0.99


async def test_a_stopping_worker_logs_out(world: World) -> None:
    """Handed back at a page boundary, or cancelled in mid-page after the grace: no session stays open."""
    await world.add_tenants(SHOP, OTHER, auth_mode="session")
    world.simulator.admin.hold(OTHER, after_requests=2)
    world.simulator.admin.switch(delay=0.02)
    await world.trigger("customers")
    async with world.worker(shutdown_grace_seconds=0.3):
        await world.simulator.admin.wait_held(OTHER)
    assert world.simulator.admin.stats()["open_sessions"] == 0
    assert await world.sql("SELECT * FROM erp_session") == []
    assert (await world.job(OTHER))["state"] == State.SCHEDULED
    world.simulator.admin.release()
    async with world.worker():
        await _consistent(world)


async def test_a_session_job_that_lost_its_tenant_logs_out(world: World) -> None:
    """A newer claim exists: nothing is written any more, and the session is closed all the same."""
    await world.add_tenants(SHOP, auth_mode="session")
    world.simulator.admin.hold(SHOP, after_requests=2)
    await world.trigger("customers")
    async with world.worker(claim_idle_ms=600):
        await world.simulator.admin.wait_held(SHOP)
        assert world.simulator.admin.stats()["open_sessions"] == 1
        await world.redis.set(world.keys.lock(SHOP), "s1-1/another", px=2000)

        async def logged_out() -> bool:
            return any(entry.method == "logout" for entry in world.simulator.admin.requests(SHOP))

        await wait_until(logged_out, 20, "the logout")
        world.simulator.admin.release()
        await _consistent(world)
    assert world.simulator.admin.stats()["open_sessions"] == 0
