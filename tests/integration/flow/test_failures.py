"""What the ERP does wrong, and what becomes of the job: retry, dead letter, quarantine of nothing."""

from __future__ import annotations

import itertools

import pytest

from tests.faults.invariants import check, check_data
from tests.faults.world import World, tenants
from tests.plugins.fix_processes import MakeWorld

SHOP, OTHER = tenants(2)


async def test_retries_after_one_two_four_units_then_the_dead_letter(make_world: MakeWorld) -> None:
    """Four attempts in all; the ledger says why, with class, status and message; others are not concerned."""
    base_ms = 200
    world = await make_world(retry_base_ms=base_ms)
    await world.add_tenants(SHOP, OTHER)
    world.simulator.admin.fault("500", SHOP)
    await world.trigger("customers")
    async with world.worker():
        await check(world)
    job = await world.job(SHOP)
    assert (job["state"], job["attempt"], job["error_class"], job["error_status"]) == (
        "failed", 4, "erp_server_error", 500,
    )  # fmt: skip
    assert "HTTP 500" in job["error_message"]
    assert "deadlock" not in job["error_message"]  # the ERP's own words are never quoted
    attempts = await world.attempts(job["job_id"])
    assert [attempt["outcome"] for attempt in attempts] == ["retrying"] * 3 + ["failed"]
    assert [attempt["attempt"] for attempt in attempts] == [1, 2, 3, 4]
    assert {attempt["error_class"] for attempt in attempts} == {"erp_server_error"}
    waits = [
        (later["started_at"] - earlier["finished_at"]).total_seconds() * 1000
        for earlier, later in itertools.pairwise(attempts)
    ]
    for waited, units in zip(waits, (1, 2, 4), strict=True):
        assert waited >= 0.9 * units * base_ms - 5, waits
        assert waited <= 1.1 * units * base_ms + 2500, waits
    assert await world.dead_feed() == [(f"{job['job_id']} 4 customers {SHOP}".encode(), "erp_server_error")]
    assert (await world.job(OTHER))["attempt"] == 1


async def test_a_failure_that_passes_is_a_success_with_its_pages_kept(world: World) -> None:
    """The retry goes on at the last committed page."""
    await world.add_tenants(SHOP)
    world.simulator.admin.fault("500", SHOP, after_requests=3, times=1)
    await world.trigger("customers")
    async with world.worker():
        await check(world)
    job = await world.job(SHOP)
    assert (job["state"], job["attempt"], job["error_class"]) == ("succeeded", 2, None)
    assert [a["outcome"] for a in await world.attempts(job["job_id"])] == ["retrying", "succeeded"]
    assert [entry.trans_id for entry in world.pages(SHOP)].count(0) == 1


async def test_a_wrong_password_is_not_tried_again(world: World) -> None:
    """One request, one attempt, dead letter."""
    await world.add_tenants(SHOP, password="errada")
    await world.trigger("customers")
    async with world.worker():
        await check(world)
    job = await world.job(SHOP)
    assert (job["state"], job["attempt"], job["error_class"], job["error_status"]) == (
        "failed", 1, "erp_wrong_password", 401,
    )  # fmt: skip
    assert len(world.simulator.admin.requests(SHOP)) == 1
    assert [why for _, why in await world.dead_feed()] == ["erp_wrong_password"]


async def test_a_credential_that_no_key_opens_fails_its_job_and_no_other(world: World) -> None:
    """The operator is told which setting is at fault; the other tenants' jobs run."""
    await world.add_tenants(SHOP, OTHER)
    await world.sql("UPDATE tenant SET credential = 'x' WHERE tenant_id = %(shop)s", shop=SHOP)
    await world.trigger("customers")
    async with world.worker():
        await check(world)
    job = await world.job(SHOP)
    assert (job["state"], job["attempt"], job["error_class"]) == ("failed", 1, "configuration")
    assert "STREAMSYNC_CREDENTIAL_KEYS" in job["error_message"]
    assert (await world.job(OTHER))["state"] == "succeeded"


async def test_retry_after_is_honoured(world: World) -> None:
    """The ERP asks for a second, the backoff would be a tenth of it: the ERP's word counts."""
    await world.add_tenants(SHOP)
    world.simulator.admin.fault("429", SHOP, times=1, retry_after=1)
    await world.trigger("customers")
    async with world.worker():
        await check(world)
    first, second = await world.attempts((await world.job(SHOP))["job_id"])
    assert (first["outcome"], first["error_class"], first["error_status"]) == (
        "retrying",
        "erp_throttled",
        429,
    )
    assert (second["started_at"] - first["finished_at"]).total_seconds() >= 0.99


async def test_retry_after_is_capped(make_world: MakeWorld) -> None:
    """An ERP that asks for a day does not get it."""
    world = await make_world(retry_after_max_seconds=0.5)
    await world.add_tenants(SHOP)
    world.simulator.admin.fault("503", SHOP, times=1, retry_after=86_400)
    await world.trigger("customers")
    async with world.worker():
        await check(world)
    assert (await world.job(SHOP))["attempt"] == 2


@pytest.mark.parametrize("kind", ["html", "truncated", "cut", "reset"])
async def test_garbage_is_never_taken_for_no_rows(world: World, kind: str) -> None:
    """HTML, half of the JSON, half of an answer, a reset: a failed attempt, nothing written from it."""
    await world.add_tenants(SHOP)
    world.simulator.admin.fault(kind, SHOP, after_requests=2, times=2)
    await world.trigger("customers")
    async with world.worker():
        await check(world)
    job = await world.job(SHOP)
    assert (job["state"], job["attempt"]) == ("succeeded", 3)
    classes = {a["error_class"] for a in await world.attempts(job["job_id"])} - {None}
    assert classes == {"erp_garbage" if kind in ("html", "truncated") else "erp_connection"}


async def test_an_erp_that_never_answers_is_given_up_and_tried_again(make_world: MakeWorld) -> None:
    """The read timeout ends the wait; the slot is free for others meanwhile."""
    world = await make_world(erp_read_timeout_seconds=0.3)
    await world.add_tenants(SHOP)
    world.simulator.admin.fault("timeout", SHOP, times=1)
    await world.trigger("customers")
    async with world.worker():
        await check(world)
    first, _ = await world.attempts((await world.job(SHOP))["job_id"])
    assert first["error_class"] == "erp_timeout"


async def test_a_job_without_progress_is_stopped(make_world: MakeWorld) -> None:
    """ERP_SYNC_LOCK_TTL_SECONDS: the longest a sync may go without committing a page."""
    world = await make_world(lock_ttl_seconds=1, max_retries=0)
    await world.add_tenants(SHOP)
    world.simulator.admin.hold(SHOP, after_requests=2)
    await world.trigger("customers")
    async with world.worker():
        await check(world)
    job = await world.job(SHOP)
    assert (job["state"], job["error_class"]) == ("failed", "no_progress")


async def test_a_failed_job_leaves_what_it_committed_and_the_next_goes_on(world: World) -> None:
    """A job after the dead letter starts at the cursor, not at the beginning."""
    await world.add_tenants(SHOP)
    world.fields["max_retries"] = 0
    world.simulator.admin.fault("500", SHOP, after_requests=3)
    await world.trigger("customers")
    async with world.worker():
        await world.in_state(SHOP, "failed")
        cursor = await world.cursor(SHOP)
        assert cursor > 0
        world.simulator.admin.clear_faults()
        seen = world.last_request()
        await world.trigger("customers")
        await world.in_state(SHOP, "succeeded")
        await check(world)
    assert min(entry.trans_id or 0 for entry in world.pages(SHOP, since=seen)) == cursor - 1
    await check_data(world, SHOP, "customers")
