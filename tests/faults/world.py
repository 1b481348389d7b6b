"""A queue, a database, a simulated ERP and workers: what a test of the whole flow does with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, LiteralString

from psycopg.rows import DictRow
from redis.asyncio import Redis

from streamsync.clock import Clock, SystemClock
from streamsync.config import Settings
from streamsync.queue.connection import connect
from streamsync.queue.keys import GROUP, PartitionKeys
from streamsync.queue.queue import Queue
from streamsync.schedule.producer import Produced, Producer
from streamsync.simulator.data import Population
from streamsync.simulator.journal import Entry
from streamsync.simulator.server import Simulator
from streamsync.store.credentials import Credential, CredentialBox, credential_identity, generate_key
from streamsync.store.ledger import Ledger
from streamsync.store.pool import Database
from streamsync.store.tenants import NewTenant, Tenants
from streamsync.store.ticks import Ticks
from streamsync.worker.execute import Engine
from streamsync.worker.run import Worker
from tests.support import ERP_IS_HERE, wait_until

if TYPE_CHECKING:
    from tests.plugins.fix_processes import Process

#: Many small pages, each a commit of its own; short waits; a silence long enough for a loaded machine.
DEFAULTS: Final[Mapping[str, object]] = {
    "claim_idle_ms": 1500,
    "concurrency": 4,
    "busy_delay_ms": 150,
    "retry_base_ms": 100,
    "erp_page_size": 10,
    "commit_max_rows": 1,
    "delay_customers_ms_max": 0,
    "delay_products_ms_max": 0,
    "erp_read_timeout_seconds": 30.0,
    "log_level": "debug",
}

FINAL: Final = ("succeeded", "failed", "cancelled")


class World:
    """What a test of the whole flow does. Workers run in this process, or in ones of their own."""

    def __init__(
        self,
        redis_url: str,
        database_url: str,
        simulator: Simulator,
        settings: Mapping[str, object],
        *,
        start: Callable[[Sequence[str], Mapping[str, object]], Process],
    ) -> None:
        self.fields: dict[str, object] = {
            "redis_url": redis_url,
            "database_url": database_url,
            "credential_keys": generate_key(),
            **ERP_IS_HERE,
            **DEFAULTS,
            **settings,
        }
        self.simulator = simulator
        self.keys = PartitionKeys("erp-sync", 0)
        self.redis: Redis = connect(redis_url)
        self.database = Database(database_url, max_size=4, application="test")
        self.ledger = Ledger(self.database)
        self.queue = Queue(redis_url, "erp-sync", self.settings().partitions)
        #: Tenants whose data are not the simulator's truth, because their jobs were meant to fail.
        self.without_data: set[str] = set()
        self._start = start
        self._stack = AsyncExitStack()

    @property
    def population(self) -> Population:
        return self.simulator.population

    def settings(self, **changes: object) -> Settings:
        """The settings, with changes, as the product wants them."""
        return Settings(**{**self.fields, **changes})  # type: ignore[arg-type]

    async def open(self) -> None:
        await self._stack.enter_async_context(self.database)
        await self._stack.enter_async_context(self.queue)

    async def close(self) -> None:
        await self._stack.aclose()
        await self.redis.aclose()

    # --- tenants and jobs

    async def add_tenants(
        self,
        *tenant_ids: str,
        password: str | None = None,
        active: bool = True,
        auth_mode: str = "basic",
        user_of: str | None = None,
    ) -> None:
        """Register tenants of the simulator. `password` replaces the right one; with `user_of` they share that
        tenant's ERP user, and with it its data."""
        box = CredentialBox(self.settings().require_credential_keys())
        tenants = []
        for tenant_id in tenant_ids:
            user = user_of or tenant_id
            url = self.simulator.base_url(user)
            sealed = box.seal(tenant_id, Credential(user, password or self.population.password_of(user)))
            tenant = NewTenant(tenant_id, tenant_id, url, sealed, auth_mode=auth_mode, active=active)
            tenants.append(replace(tenant, credential_id=credential_identity(url, user)))
        await Tenants(self.database).put(tenants, replace=True)

    async def trigger(self, kind: str, *tenant_ids: str, now: bool = False, full: bool = False) -> Produced:
        """What `streamsync trigger` does."""
        ticks = Ticks(self.database, "test")
        tick_id = await ticks.add_manual_tick(kind, tenant_ids=tenant_ids or None, urgent=now, full_read=full)
        produced = await Producer(ticks, self.queue, self.settings()).run(tick_id)
        assert produced is not None
        return produced

    async def job(self, tenant_id: str, kind: str = "customers") -> DictRow:
        """The latest job of a tenant and kind."""
        rows = await self.sql(
            "SELECT * FROM job_run WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s"
            " ORDER BY job_id DESC LIMIT 1",
            tenant_id=tenant_id,
            kind=kind,
        )
        return rows[0]

    async def jobs(self, *states: str) -> list[DictRow]:
        """All jobs, or those in these states."""
        return await self.sql(
            "SELECT * FROM job_run WHERE %(states)s::text[] = '{}' OR state = ANY(%(states)s) ORDER BY job_id",
            states=list(states),
        )

    async def attempts(self, job_id: int) -> list[DictRow]:
        """The attempts of a job, oldest first."""
        return await self.sql(
            "SELECT * FROM job_attempt WHERE job_id = %(job_id)s ORDER BY fence", job_id=job_id
        )

    async def in_state(
        self, tenant_id: str, state: str, kind: str = "customers", *, timeout_seconds: float = 30
    ) -> DictRow:
        """Wait until a tenant's latest job is in a state; the job."""

        async def look() -> DictRow | None:
            row = await self.job(tenant_id, kind)
            return row if row["state"] == state else None

        found = await wait_until(look, timeout_seconds, f"{kind} of {tenant_id} {state}")
        assert found is not None
        return found

    async def all_final(self, *, timeout_seconds: float = 60) -> None:
        """Wait until every job has ended."""

        async def none_open() -> bool:
            rows = await self.sql(
                "SELECT count(*) AS open FROM job_run WHERE state <> ALL(%(final)s)", final=list(FINAL)
            )
            return bool(rows[0]["open"] == 0)

        await wait_until(none_open, timeout_seconds, "the end of every job")

    async def sql(self, query: LiteralString, **parameters: object) -> list[DictRow]:
        """Rows of one statement."""
        return await self.database.fetch(query, parameters or None)

    # --- workers and the ERP

    @asynccontextmanager
    async def worker(
        self,
        *,
        name: str | None = None,
        engine: Engine | None = None,
        clock: Clock | None = None,
        **changes: object,
    ) -> AsyncIterator[Worker]:
        """A worker in this process, stopped in order at the end of the block. `engine` replaces the sync."""
        settings = self.settings(**changes)
        async with (
            Queue(settings.require_redis_url(), "erp-sync", settings.partitions) as queue,
            Database(settings.require_database_url(), max_size=settings.database_pool_max) as database,
        ):
            worker = Worker(settings, queue, database, clock or SystemClock(), name=name, engine=engine)
            task = asyncio.create_task(worker.run(), name="worker")
            try:
                yield worker
                assert not task.done(), f"the worker ended: {task!r}"
            finally:
                worker.stop()
                await task

    def start_worker(self, **changes: object) -> Process:
        """A worker process."""
        return self._start(("worker",), {**self.fields, **changes})

    def start_scheduler(self, **changes: object) -> Process:
        """A scheduler process."""
        return self._start(("scheduler",), {**self.fields, **changes})

    def start(self, *arguments: str, **changes: object) -> Process:
        """Any other command as a process."""
        return self._start(arguments, {**self.fields, **changes})

    def pages(self, tenant_id: str, *, since: int = 0) -> list[Entry]:
        """The page requests of a tenant that the ERP has seen, oldest first."""
        paged = ("clientes.lista", "produtos.listavitrine")
        return [
            entry for entry in self.simulator.admin.requests(tenant_id, since=since) if entry.method in paged
        ]

    def last_request(self) -> int:
        """The number of the ERP's latest request."""
        return max((entry.number for entry in self.simulator.admin.requests()), default=0)

    async def cursor(self, tenant_id: str, entity: str = "customers") -> int:
        """How far an entity has been committed."""
        rows = await self.sql(
            "SELECT cursor FROM sync_state WHERE tenant_id = %(tenant_id)s AND entity = %(entity)s",
            tenant_id=tenant_id,
            entity=entity,
        )
        return max((int(row["cursor"]) for row in rows), default=0)

    # --- Redis

    async def delayed_bodies(self) -> list[bytes]:
        """What waits in the delayed set."""
        bodies: Any = await self.redis.zrange(self.keys.delayed, 0, -1)
        return list(bodies)

    async def dead_feed(self) -> list[tuple[bytes, str]]:
        """(body, error class) of the dead feed."""
        entries: Any = await self.redis.xrange(self.keys.dead)
        return [(fields[b"j"], fields[b"e"].decode()) for _, fields in entries]

    async def add_entry(self, body: bytes, *, urgent: bool = False) -> str:
        """Put an entry into a stream by hand; its name."""
        stream = self.keys.urgent if urgent else self.keys.stream
        added: Any = await self.redis.xadd(stream, {b"j": body})
        return f"{'u' if urgent else 's'}{added.decode()}"

    async def pending(self) -> int:
        """Entries delivered and not acknowledged, in both streams."""
        count = 0
        for stream in (self.keys.stream, self.keys.urgent):
            answer: Any = await self.redis.execute_command("XPENDING", stream, GROUP)  # type: ignore[no-untyped-call]
            count += int(answer["pending"] if isinstance(answer, dict) else answer[0])
        return count


def tenants(count: int) -> list[str]:
    """The ids of `count` tenants."""
    return list(Population.tenants(count))
