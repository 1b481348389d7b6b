"""Nights of whole shops: everything at first, then what has changed, then a full read after deletions.

Each night ends with every row of every shop compared with what the simulated ERP holds, and says what PostgreSQL
wrote for it: row versions by its own statistics, and bytes of WAL.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, LiteralString

import uvloop
from psycopg.rows import DictRow

from streamsync.clock import SystemClock
from streamsync.config import Settings, load_settings
from streamsync.erp.millennium.entities import ENTITIES, TABLES
from streamsync.jobs import KINDS
from streamsync.queue.queue import Queue
from streamsync.schedule.producer import Producer
from streamsync.simulator.data import Population
from streamsync.simulator.server import Simulator, build_app, serve
from streamsync.simulator.world import World
from streamsync.store.credentials import Credential, CredentialBox, credential_identity, generate_key
from streamsync.store.pool import Database
from streamsync.store.readback import rows_of
from streamsync.store.tenants import NewTenant, Tenants
from streamsync.store.ticks import Ticks
from streamsync.worker.run import Worker

_POLL_SECONDS = 0.05
_LONGEST_NIGHT_SECONDS = 1_800

_WORKER: Final = "loadtest worker"

#: What PostgreSQL counted so far.
_WRITTEN = """
SELECT coalesce(sum(n_tup_ins), 0)::bigint AS inserted, coalesce(sum(n_tup_upd), 0)::bigint AS updated,
       coalesce(sum(n_tup_del), 0)::bigint AS deleted, pg_current_wal_lsn() - '0/0'::pg_lsn AS wal
  FROM pg_stat_user_tables
 WHERE relname = ANY(%(tables)s::text[])
"""

_NIGHT = """
SELECT count(*) AS jobs, count(*) FILTER (WHERE state <> 'succeeded') AS failed,
       sum(rows_fetched)::bigint AS fetched, sum(rows_inserted)::bigint AS inserted,
       sum(rows_updated)::bigint AS updated, sum(rows_unchanged)::bigint AS unchanged,
       sum(rows_deleted)::bigint AS deleted, sum(deletions_withheld)::bigint AS withheld
  FROM job_run
 WHERE tick_ids && %(ticks)s::bigint[]
"""


@dataclass(frozen=True, slots=True)
class Night:
    """What one night came to."""

    name: str
    seconds: float
    ledger: DictRow
    written: dict[str, int]
    compared: int
    different: list[str]


def _changes(world: World, tenant: str) -> None:
    for entity in ENTITIES:
        world.change(tenant, entity, share=0.1)
        if entity != "branches":
            world.insert(tenant, entity, 2)
    for entity in ("customers", "products"):
        world.delete_nested(tenant, entity, share=0.02)


def _deletions(world: World, tenant: str) -> None:
    for entity in ENTITIES:
        if entity != "branches":
            world.delete(tenant, entity, share=0.05)


def _nothing(_world: World, _tenant: str) -> None:
    return


#: (name, what happens at the ERPs before it, whether everything is read)
_NIGHTS: tuple[tuple[str, Callable[[World, str], None], bool], ...] = (
    ("first, full", _nothing, True),
    ("incremental 1", _changes, False),
    ("incremental 2", _changes, False),
    ("incremental 3", _changes, False),
    ("incremental, nothing changed", _nothing, False),
    ("full, after deletions", _deletions, True),
    ("full, nothing changed", _nothing, True),
)


def run(redis_url: str, database_url: str, tenants: int, tell: Callable[[Night], None]) -> list[Night]:
    """All nights of so many shops; `tell` is called after each."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(redis_url, database_url, tenants, tell))


async def _run(redis_url: str, database_url: str, count: int, tell: Callable[[Night], None]) -> list[Night]:
    key = generate_key()
    settings = load_settings(
        {
            "REDIS_URL": redis_url,
            "DATABASE_URL": database_url,
            "STREAMSYNC_CREDENTIAL_KEYS": key,
            "STREAMSYNC_ERP_ALLOW_PRIVATE": "true",
            "STREAMSYNC_FULL_READ_DAYS": "0",
            "ERP_SYNC_CONCURRENCY": "16",
            "ERP_SYNC_DELAY_CUSTOMERS_MS_MAX": "0",
            "ERP_SYNC_DELAY_PRODUCTS_MS_MAX": "0",
            "ERP_SYNC_PAGE_SIZE": "200",
        }
    ).settings
    population = Population(
        seed=1, customers_per_tenant=200, products_per_tenant=40, shared_trans_id_rate=0.05
    )
    shops = list(population.tenants(count))
    async with (
        serve(build_app(population)) as simulator,
        Database(database_url, max_size=settings.database_pool_max) as database,
        Queue(redis_url, settings.queue_name, settings.partitions) as queue,
    ):
        await _register(database, CredentialBox([key]), simulator, shops)
        nights = []
        for name, happens, full in _NIGHTS:
            for shop in shops:
                happens(simulator.admin.world, shop)
            nights.append(await _night(settings, queue, database, simulator, shops, name, full=full))
            tell(nights[-1])
        return nights


async def _register(database: Database, box: CredentialBox, simulator: Simulator, shops: list[str]) -> None:
    rows = []
    for shop in shops:
        url = simulator.base_url(shop)
        sealed = box.seal(shop, Credential(shop, simulator.population.password_of(shop)))
        rows.append(NewTenant(shop, shop, url, sealed, credential_id=credential_identity(url, shop)))
    await Tenants(database).put(rows, replace=False)


async def _night(
    settings: Settings,
    queue: Queue,
    database: Database,
    simulator: Simulator,
    shops: list[str],
    name: str,
    *,
    full: bool,
) -> Night:
    before = await _written(database)
    started = time.perf_counter()
    ticks = Ticks(database, "loadtest")
    ids = [await ticks.add_manual_tick(kind, tenant_ids=None, urgent=False, full_read=full) for kind in KINDS]
    for tick_id in ids:
        await Producer(ticks, queue, settings).run(tick_id)
    await _work(settings, queue, database)
    seconds = time.perf_counter() - started
    after = await _written(database)
    (ledger,) = await database.fetch(_NIGHT, {"ticks": ids})
    compared, different = await _compare(database, simulator, shops)
    written = {what: after[what] - before[what] for what in after}
    return Night(name, seconds, ledger, written, compared, different)


async def _work(settings: Settings, queue: Queue, database: Database) -> None:
    """One worker until no job is open, with connections of its own: a session tells the statistics what it wrote
    when it ends, and else in its own good time."""
    url = settings.require_database_url()
    async with Database(url, max_size=settings.database_pool_max, application=_WORKER) as own:
        worker = Worker(settings, queue, own, SystemClock())
        running = asyncio.create_task(worker.run())
        try:
            await _none(database, "SELECT 1 FROM job_run WHERE state IN ('scheduled', 'running', 'retrying')")
        finally:
            worker.stop()
            await running
    await _none(database, f"SELECT 1 FROM pg_stat_activity WHERE application_name = '{_WORKER}'")


async def _none(database: Database, query: LiteralString) -> None:
    """Wait until a query finds nothing."""
    async with asyncio.timeout(_LONGEST_NIGHT_SECONDS):
        while await database.fetch(query):  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(_POLL_SECONDS)


async def _written(database: Database) -> dict[str, int]:
    (row,) = await database.fetch(_WRITTEN, {"tables": list(TABLES)})
    return {name: int(value) for name, value in row.items()}


async def _compare(database: Database, simulator: Simulator, shops: list[str]) -> tuple[int, list[str]]:
    compared, different = 0, []
    for shop in shops:
        for name, table in TABLES.items():
            truth = list(simulator.admin.truth(shop, name))
            rows = await rows_of(database, shop, table, tuple(truth[0]) if truth else table.key)
            compared += len(rows)
            if rows != truth:
                different.append(f"{shop}: {name}")
    return compared, different
