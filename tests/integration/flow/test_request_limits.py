"""Limits on ERP requests over whole syncs: concurrent ones, their retries, several workers, two hosts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamsync.simulator.journal import Entry
from tests.faults.world import World, tenants
from tests.plugins.fix_processes import MakeWorld

SHOPS = tenants(6)
#: The second name of this machine is, for the limits, another host. Most shops are at the first: the limit over all
#: hosts alone would let them have all its permits.
HERE, ELSEWHERE = SHOPS[:5], SHOPS[5:]

_WINDOW_MS = 1000
_HOST_MAX, _MAX = 3, 4
#: From a permit to the request's arrival there may be a new connection and a loaded machine, and the limit is on
#: permits: those are checked to the millisecond in `lua/test_limit_all.py`. Without limits a span takes a tenth of it.
_TOLERANCE_SECONDS = 0.6


async def _world(make_world: MakeWorld, **settings: Any) -> World:
    world = await make_world(retry_base_ms=50, max_retries=20, **settings)
    await world.add_tenants(*SHOPS)
    await world.sql(
        "UPDATE tenant SET base_url = replace(base_url, '127.0.0.1', 'localhost') WHERE tenant_id = ANY(%(ids)s)",
        ids=ELSEWHERE,
    )
    world.simulator.admin.fault("500", rate=0.15)
    world.simulator.admin.fault("reset", rate=0.05)
    return world


def _shortest_span(requests: Sequence[Entry], maximum: int) -> float:
    """Seconds in which `maximum` + 1 requests came."""
    times = sorted(entry.started_monotonic for entry in requests)
    assert len(times) > maximum
    return min(late - early for early, late in zip(times, times[maximum:], strict=False))


async def test_no_window_holds_more_than_its_limit(make_world: MakeWorld) -> None:
    """Neither over all hosts nor for one, whatever is retried; two workers share the windows."""
    world = await _world(
        make_world,
        erp_page_size=15,
        limiter_max=_MAX,
        limiter_duration_ms=_WINDOW_MS,
        limiter_host_max=_HOST_MAX,
        limiter_host_duration_ms=_WINDOW_MS,
    )
    await world.trigger("customers")
    async with world.worker(name="one"), world.worker(name="two"):
        await world.all_final()
    jobs = await world.jobs()
    assert {job["state"] for job in jobs} == {"succeeded"}
    assert any(job["attempt"] > 1 for job in jobs), "nothing was retried: the test shows less than it says"
    requests = world.simulator.admin.requests()
    least = _WINDOW_MS / 1000 - _TOLERANCE_SECONDS
    assert _shortest_span(requests, _MAX) > least
    for shops in (HERE, ELSEWHERE):
        assert _shortest_span([r for r in requests if r.tenant in shops], _HOST_MAX) > least


async def test_without_limits_the_same_syncs_are_faster(make_world: MakeWorld) -> None:
    """The test above measures the limits, and not how slow everything is."""
    world = await _world(make_world)
    await world.trigger("customers")
    async with world.worker(name="one"), world.worker(name="two"):
        await world.all_final()
    assert _shortest_span(world.simulator.admin.requests(), _MAX) < _WINDOW_MS / 1000 - _TOLERANCE_SECONDS


async def test_a_busy_host_does_not_hold_up_others(make_world: MakeWorld) -> None:
    """One host that may hardly be asked leaves the slots' permits of the limit over all hosts to another."""
    world = await _world(
        make_world,
        limiter_max=1000,
        limiter_duration_ms=100,
        limiter_host_max=30,
        limiter_host_duration_ms=600_000,
    )
    world.simulator.admin.clear_faults()
    now_ms = int((await world.redis.time())[0]) * 1000
    await world.redis.set("streamsync:{erp-sync}:limit:requests:since", 0)
    await world.redis.set("streamsync:{erp-sync}:limit:requests:localhost:since", 0)
    await world.redis.set("streamsync:{erp-sync}:limit:requests:127.0.0.1:since", now_ms + 600_000)
    await world.trigger("customers")
    async with world.worker(concurrency=6, shutdown_grace_seconds=0):
        for shop in ELSEWHERE:
            await world.in_state(shop, "succeeded")
        assert {(await world.job(shop))["state"] for shop in HERE} == {"running"}
        assert {entry.tenant for entry in world.simulator.admin.requests()} == set(ELSEWHERE)
    # A worker that stops cancels the waits and hands the jobs back, no attempt spent.
    assert {(job["state"], job["attempt"]) for job in [await world.job(s) for s in HERE]} == {
        ("scheduled", 1)
    }


async def test_waiting_for_permits_is_progress(make_world: MakeWorld) -> None:
    """A sync that waits longer than a sync may go without a commit is not one that is stuck."""
    world = await _world(
        make_world, limiter_host_max=1, limiter_host_duration_ms=1500, lock_ttl_seconds=1, erp_page_size=60
    )
    world.simulator.admin.clear_faults()
    await world.trigger("customers", SHOPS[0], ELSEWHERE[0])
    async with world.worker():
        await world.all_final()
    assert {(job["state"], job["attempt"]) for job in await world.jobs()} == {("succeeded", 1)}
    times = [entry.started_monotonic for entry in world.simulator.admin.requests(SHOPS[0])]
    assert len(times) >= 2
    assert max(times) - min(times) > 1.2
