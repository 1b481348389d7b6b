"""A database and a queue, producers and schedulers on them, and a clock that tests move."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest_asyncio

from streamsync.config import Settings
from streamsync.queue.keys import PartitionKeys
from streamsync.queue.queue import Queue
from streamsync.schedule.producer import Producer
from streamsync.schedule.run import Scheduler
from streamsync.store.pool import Database
from streamsync.store.ticks import Ticks
from tests.integration.store.helpers import add_shops


class MovedClock:
    """A clock that stands still until it is moved. It begins now: schedules owe nothing to the past."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    def move(self, **by: float) -> None:
        """Forward by a timedelta's arguments."""
        self.moment += timedelta(**by)


@dataclass
class World:
    """Two servers and a clock."""

    database: Database
    queue: Queue
    clock: MovedClock = field(default_factory=MovedClock)

    def settings(self, **more: Any) -> Settings:
        """UTC, so that a day is a day; and a day of catching up, so that each kind ticks once in it."""
        return Settings(**{"timezone": "UTC", "catch_up_hours": 24, **more})

    def producer(self, name: str, **settings: Any) -> Producer:
        """A producer with a lease of its own."""
        return Producer(Ticks(self.database, name), self.queue, self.settings(**settings))

    def scheduler(self, name: str, **settings: Any) -> Scheduler:
        """A scheduler on the moved clock."""
        return Scheduler(self.settings(**settings), self.queue, self.database, self.clock, name=name)

    async def shops(self, count: int) -> None:
        """Active tenants, and one that is not."""
        await add_shops(self.database, *(f"s{number:04d}" for number in range(count)))
        await add_shops(self.database, "s-off", active=False)

    async def tick(self, kind: str = "customers") -> int:
        """An open tick that nobody has leased."""
        ticks = Ticks(self.database, "maker")
        tick_id = await ticks.add_manual_tick(kind, tenant_ids=None, urgent=False, full_read=False)
        await self.database.fetch("UPDATE schedule_tick SET lease_until = NULL, lease_owner = NULL")
        return tick_id

    async def jobs(self) -> list[tuple[str, int]]:
        """(tenant, jobs) of the ledger."""
        rows = await self.database.fetch("SELECT tenant_id, count(*) AS n FROM job_run GROUP BY 1 ORDER BY 1")
        return [(row["tenant_id"], row["n"]) for row in rows]

    async def delayed(self) -> int:
        """Jobs in Redis's delayed sets."""
        return int(await self.queue.client.zcard(PartitionKeys("erp-sync", 0).delayed))

    async def slots(self) -> list[dict[str, Any]]:
        """The ticks recorded by schedule, in order."""
        return await self.database.fetch(
            "SELECT kind, scheduled_for, missed, tenants, done_at IS NOT NULL AS done FROM schedule_tick"
            " WHERE trigger = 'schedule' ORDER BY kind, scheduled_for"
        )


@pytest_asyncio.fixture
async def world(database_url: str, redis_url: str) -> AsyncIterator[World]:
    """Both servers, open."""
    async with Database(database_url) as database, Queue(redis_url, "erp-sync", 1) as queue:
        yield World(database, queue)
