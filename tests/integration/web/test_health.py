"""What a worker says of itself while a server is away: it lives, and it is not ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from streamsync.embedded import PostgresServer, RedisServer
from streamsync.jobs import Job
from streamsync.web.health import Health
from streamsync.worker.run import Worker
from tests.faults.world import World, tenants
from tests.integration.flow.stand_ins import Counting, LeapingClock
from tests.plugins.fix_processes import MakeWorld
from tests.plugins.fix_proxy import Direction, MakeProxy, Verdict
from tests.support import wait_until

(SHOP,) = tenants(1)

#: Far beyond the silence after which a worker is taken for dead.
LONG_SECONDS = 3600


class _Pages:
    """A worker's pages, as a probe sees them."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def ask(self, page: str) -> tuple[int, Any]:
        """Status and reason."""
        answer = await self._client.get(f"/{page}")
        assert answer.json()["ok"] == (answer.status_code == 200)
        return answer.status_code, answer.json()["why"]

    async def says(self, page: str, status: int) -> Any:
        """Wait for a status; the reason."""

        async def look() -> tuple[int, Any] | None:
            said = await self.ask(page)
            return said if said[0] == status else None

        said = await wait_until(look, 30, f"{status} of {page}")
        assert said is not None
        return said[1]

    async def times_away(self, server: str) -> float:
        """How often something found that server away."""
        name = f'streamsync_unavailable_total{{server="{server}"}} '
        text = (await self._client.get("/metrics")).text
        return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))


@asynccontextmanager
async def _pages(world: World, worker: Worker) -> AsyncIterator[_Pages]:
    app = Health(world.queue, world.database, worker.why_not_alive).app()
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
        yield _Pages(client)


async def _job(world: World) -> Job:
    """A job that the ledger has and Redis has not."""
    await world.add_tenants(SHOP)
    await world.trigger("customers")
    await world.redis.delete(world.keys.delayed)
    return Job((await world.job(SHOP))["job_id"], 1, "customers", SHOP)


@pytest.mark.parametrize("server", ["redis", "postgresql"])
async def test_a_long_outage_of_a_server_makes_a_worker_unready_and_not_dead(
    make_world: MakeWorld,
    redis_server: RedisServer,
    migrated_postgres_server: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
    server: str,
) -> None:
    """/healthz stays 200, so that nobody restarts what only has to wait; /readyz is 503 and names the server.
    With PostgreSQL away the loop waits at the gate, with a job in its hands, for as long as it takes."""
    monkeypatch.setattr("streamsync.store.pool.ACQUIRE_TIMEOUT_SECONDS", 0.3)
    world = await make_world(redis_url=redis_server.url, database_url=migrated_postgres_server.url)
    job, engine, clock = await _job(world), Counting(), LeapingClock()
    stop: Callable[[], None] = redis_server.stop if server == "redis" else migrated_postgres_server.stop
    restart = redis_server.restart if server == "redis" else migrated_postgres_server.restart
    async with world.worker(engine=engine, clock=clock) as worker, _pages(world, worker) as pages:
        assert await pages.says("readyz", 200) == []
        before = await pages.times_away(server)
        await asyncio.to_thread(stop)
        if server == "postgresql":
            await world.add_entry(job.encode())

        async def noticed() -> bool:
            return await pages.times_away(server) > before

        await wait_until(noticed, 30, f"the worker noticed that {server} is away")
        assert await pages.ask("healthz") == (200, None)
        clock.leap(LONG_SECONDS)
        assert await pages.says("healthz", 200) is None
        status, (why,) = await pages.ask("readyz")
        assert (status, why.partition(" ")[0].casefold()) == (503, server)
        assert await pages.ask("healthz") == (200, None)

        await asyncio.to_thread(restart)
        await pages.says("readyz", 200)
        if server == "redis":
            await world.queue.schedule([(0, job)])
        done = await world.in_state(SHOP, "succeeded")
        assert done["attempt"] == 1
        assert await pages.ask("healthz") == (200, None)


async def test_a_loop_that_no_longer_turns_is_told(world: World, make_proxy: MakeProxy) -> None:
    """A claim whose answer never comes, for longer than any time limit: /healthz is 503 and says so,
    although both servers are well; when the loop turns again it is 200."""
    asked, answer = asyncio.Event(), asyncio.Event()

    async def decide(direction: Direction, chunk: bytes) -> Verdict:
        if direction is Direction.REQUEST and b"INSERT INTO job_attempt" in chunk:
            asked.set()
            await answer.wait()
        return Verdict.PASS

    proxy = await make_proxy(str(world.fields["database_url"]), decide=decide)
    job, engine, clock = await _job(world), Counting(), LeapingClock()
    await world.queue.schedule([(0, job)])
    async with (
        world.worker(engine=engine, clock=clock, database_url=proxy.url) as worker,
        _pages(world, worker) as pages,
    ):
        await asyncio.wait_for(asked.wait(), 20)
        assert await pages.ask("healthz") == (200, None)
        clock.leap(LONG_SECONDS)
        status, why = await pages.ask("healthz")
        assert status == 503
        assert why.startswith("no loop has turned for ")
        assert await pages.ask("readyz") == (200, [])
        answer.set()
        assert await pages.says("healthz", 200) is None
        await world.in_state(SHOP, "succeeded")
