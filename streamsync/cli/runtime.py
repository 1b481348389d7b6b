"""What commands that talk to the servers share: opening them, checking them, running an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import uvloop

from streamsync.config import Settings
from streamsync.errors import ConfigurationError, StreamsyncError
from streamsync.log import get_logger
from streamsync.queue.queue import Queue
from streamsync.store.migrate import check_current
from streamsync.store.pool import Database
from streamsync.store.settings import Setup

T = TypeVar("T")

_log = get_logger("start")


@dataclass(frozen=True, slots=True)
class Servers:
    """Redis and PostgreSQL, open and checked."""

    queue: Queue
    database: Database


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on uvloop. Errors of ours that a TaskGroup wrapped come out bare, for one clear message."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main())
    except BaseExceptionGroup as group:
        ours, others = group.split(StreamsyncError)
        if ours is None or others is not None:
            raise
        raise _first(ours) from group


def _first(group: ExceptionGroup[StreamsyncError]) -> StreamsyncError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


@asynccontextmanager
async def open_database(settings: Settings, *, application: str) -> AsyncIterator[Database]:
    """PostgreSQL, at this code's migrations. Raises ConfigurationError, StoreUnavailable."""
    database = Database(
        settings.require_database_url(),
        max_size=settings.database_pool_max,
        pooled=settings.staging == "transaction",
        application=application,
    )
    async with database:
        await database.probe()
        async with database.connection() as connection:
            await check_current(connection)
        yield database


@asynccontextmanager
async def open_servers(settings: Settings, *, application: str) -> AsyncIterator[Servers]:
    """Both servers. Raises ConfigurationError where the queue was set up with other partitions."""
    url = settings.require_redis_url()
    async with (
        open_database(settings, application=application) as database,
        Queue(url, settings.queue_name, settings.partitions) as queue,
    ):
        partitions = await Setup(database).partitions(settings.queue_name, settings.partitions)
        if partitions != settings.partitions:
            raise ConfigurationError(
                f"STREAMSYNC_PARTITIONS is {settings.partitions}, but the queue {settings.queue_name} was set up "
                f"with {partitions}: set it to {partitions}"
            )
        await queue.ping()
        policy = await queue.eviction_policy()
        if policy not in (None, "noeviction"):
            _log.error("Redis may evict jobs: set maxmemory-policy noeviction", reason=policy)
        yield Servers(queue, database)
