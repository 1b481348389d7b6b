"""Jobs that do nothing: what locks, fence, ledger and acknowledgement cost.

The jobs are real ones: produced by a tick, claimed through the gate, settled in the ledger, acknowledged. Only
the connector is the harness's own, and finds every tenant's ERP empty.
"""

from __future__ import annotations

import asyncio
import resource
import time

import uvloop

from loadtest.result import Result
from streamsync.clock import SystemClock
from streamsync.config import Settings, load_settings
from streamsync.queue.queue import Queue
from streamsync.schedule.producer import Producer
from streamsync.store.credentials import Credential, CredentialBox, generate_key
from streamsync.store.ledger import Admitted
from streamsync.store.pool import Database
from streamsync.store.report import Report
from streamsync.store.tenants import NewTenant, Tenants
from streamsync.store.ticks import Ticks
from streamsync.sync.engine import Control
from streamsync.worker.run import Worker

_BATCH = 1_000
_POLL_SECONDS = 0.02


def run(redis_url: str, database_url: str, jobs: int, rounds: int, concurrency: int) -> Result:
    """Enqueue and process `jobs` jobs, `rounds` times."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(redis_url, database_url, jobs, rounds, concurrency))


async def _run(redis_url: str, database_url: str, jobs: int, rounds: int, concurrency: int) -> Result:
    key = generate_key()
    settings = load_settings(
        {
            "REDIS_URL": redis_url,
            "DATABASE_URL": database_url,
            "STREAMSYNC_CREDENTIAL_KEYS": key,
            "ERP_SYNC_CONCURRENCY": str(concurrency),
            "ERP_SYNC_DELAY_CUSTOMERS_MS_MAX": "0",
        }
    ).settings
    result = Result({"jobs": jobs, "rounds": rounds, "concurrency": concurrency})
    async with (
        Database(database_url, max_size=settings.database_pool_max) as database,
        Queue(redis_url, settings.queue_name, settings.partitions) as queue,
    ):
        await _add_tenants(database, CredentialBox([key]), jobs)
        for _ in range(rounds):
            await _round(settings, queue, database, jobs, result)
    return result


async def _add_tenants(database: Database, box: CredentialBox, count: int) -> None:
    tenants = Tenants(database)
    for start in range(0, count, _BATCH):
        page = [f"shop-{number:06d}" for number in range(start, min(start + _BATCH, count))]
        await tenants.put([_tenant(box, tenant_id) for tenant_id in page], replace=False)


def _tenant(box: CredentialBox, tenant_id: str) -> NewTenant:
    sealed = box.seal(tenant_id, Credential("none", "none"))
    return NewTenant(tenant_id, tenant_id, "http://127.0.0.1:9", sealed)


async def _round(settings: Settings, queue: Queue, database: Database, jobs: int, result: Result) -> None:
    ticks = Ticks(database, "loadtest")
    report = Report(database)
    before = (await report.overview()).states.get("succeeded", 0)
    tick_id = await ticks.add_manual_tick("customers", tenant_ids=None, urgent=False, full_read=False)
    started = time.perf_counter()
    await Producer(ticks, queue, settings).run(tick_id)
    result.add("enqueue/s", jobs / (time.perf_counter() - started))

    worker = Worker(settings, queue, database, SystemClock(), engine=_NothingToSync())
    cpu = _cpu_seconds()
    started = time.perf_counter()
    running = asyncio.create_task(worker.run())
    while (await report.overview()).states.get("succeeded", 0) - before < jobs:
        if running.done():
            await running
        await asyncio.sleep(_POLL_SECONDS)
    result.add("process/s", jobs / (time.perf_counter() - started))
    result.add("client CPU s per 10,000 jobs", (_cpu_seconds() - cpu) * 10_000 / jobs)
    worker.stop()
    await running


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class _NothingToSync:
    """A sync engine whose tenants have nothing new."""

    async def run(self, job: Admitted, control: Control) -> None:
        """Nothing to read, nothing to write."""
