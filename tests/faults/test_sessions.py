"""Workers that die or freeze while they hold a session of an ERP with room for one."""

from __future__ import annotations

from tests.faults.invariants import check
from tests.faults.world import World, tenants
from tests.plugins.fix_processes import Process
from tests.support import wait_until

SHOP, OTHER = tenants(2)


async def _worker(world: World) -> Process:
    process = world.start_worker()
    await process.logged("worker started")
    return process


def _methods(world: World, since: int) -> list[str]:
    return [entry.method for entry in world.simulator.admin.requests(since=since)]


async def test_the_rescuer_closes_the_dead_workers_session_first(world: World) -> None:
    """SIGKILL in mid-sync: the ERP has room for one session, and still no attempt is spent and nothing waits for
    the dead one to expire."""
    await world.add_tenants(SHOP, auth_mode="session")
    world.simulator.admin.switch(auth="session", session_limit=1)
    world.simulator.admin.hold(SHOP, after_requests=3)
    await world.trigger("customers")
    victim = await _worker(world)
    await world.simulator.admin.wait_held(SHOP, timeout=30)
    rows = await world.sql("SELECT session FROM erp_session")
    assert len(rows) == 1
    assert b"{" not in bytes(rows[0]["session"])  # sealed: a session id in clear text has braces
    seen = world.last_request()
    victim.kill()
    world.simulator.admin.release()
    await _worker(world)
    await world.in_state(SHOP, "succeeded")
    await check(world)
    job = await world.job(SHOP)
    attempts = await world.attempts(job["job_id"])
    assert [(a["outcome"], a["attempt"]) for a in attempts] == [("lost", 1), ("succeeded", 1)]
    methods = _methods(world, seen)
    assert methods[:2] == ["logout", "login"]
    assert (methods[-1], methods.count("login"), methods.count("logout")) == ("logout", 1, 2)
    assert world.simulator.admin.stats()["open_sessions"] == 0
    assert await world.sql("SELECT * FROM erp_session") == []


async def test_another_tenant_of_the_user_closes_it_too(world: World) -> None:
    """The session belongs to the credential, not to the tenant: whoever uses it next closes what is left."""
    await world.add_tenants(SHOP, OTHER, user_of=SHOP, auth_mode="session")
    world.without_data = {OTHER}
    world.simulator.admin.switch(auth="session", session_limit=1)
    world.simulator.admin.hold(SHOP, after_requests=3)
    await world.trigger("customers", SHOP)
    victim = await _worker(world)
    await world.simulator.admin.wait_held(SHOP, timeout=30)
    victim.kill()
    world.simulator.admin.release()
    # The dead worker's entry is out of the way, as if its tenant had been disabled in time.
    await world.sql("UPDATE tenant SET active = false WHERE tenant_id = %(shop)s", shop=SHOP)
    seen = world.last_request()
    await world.trigger("customers", OTHER)
    await _worker(world)
    await world.in_state(OTHER, "succeeded", timeout_seconds=60)
    await world.in_state(SHOP, "cancelled", timeout_seconds=60)
    assert _methods(world, seen)[:2] == ["logout", "login"]
    assert world.simulator.admin.stats()["open_sessions"] == 0
    await check(world)


async def test_a_frozen_workers_session_is_closed_and_it_opens_no_other(world: World) -> None:
    """It wakes while its rescuer runs: it must neither log in beside it nor leave anything open."""
    await world.add_tenants(SHOP, auth_mode="session")
    world.simulator.admin.switch(auth="session", session_limit=1)
    world.simulator.admin.hold(SHOP, after_requests=3)
    await world.trigger("customers")
    sleeper = await _worker(world)
    await world.simulator.admin.wait_held(SHOP, timeout=30)
    sleeper.freeze()
    await _worker(world)
    await world.simulator.admin.wait_held(SHOP, count=2, timeout=30)
    assert world.simulator.admin.stats()["open_sessions"] == 1
    sleeper.thaw()
    await sleeper.logged("job lost to a newer claim")
    world.simulator.admin.release()
    await world.in_state(SHOP, "succeeded", timeout_seconds=60)
    await wait_until(lambda: world.simulator.admin.stats()["open_sessions"] == 0, 10, "no session open")
    await check(world)
    assert await world.sql("SELECT * FROM erp_session") == []
