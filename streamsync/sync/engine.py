"""One tenant's sync: page → clean → stage → commit, entity by entity, scope by scope.

A commit holds rows, cursor and counters, so a sync that stops anywhere goes on at its last committed page; a
full read likewise, with the keys it has seen.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from streamsync.clock import Clock
from streamsync.config import Settings
from streamsync.entity import Entity
from streamsync.erp.connector import Access, Connector, find_connector
from streamsync.erp.http import ErpHttp
from streamsync.erp.permits import permit_waits_do_not_count
from streamsync.errors import StoreUnavailable, SyncError, TransientError
from streamsync.jobs import KINDS
from streamsync.log import get_logger
from streamsync.metrics import (
    DELETIONS,
    DELETIONS_WITHHELD,
    FULL_READS,
    PAGE_COMMIT_SECONDS,
    PAGES,
    ROWS,
    UNAVAILABLE,
)
from streamsync.store.commit import Claim, Committed, Finish, FullStep, Unit, commit
from streamsync.store.credentials import CredentialBox
from streamsync.store.ledger import Admitted
from streamsync.store.pool import Database
from streamsync.store.readback import living_by_scope
from streamsync.store.sessions import ErpSessions
from streamsync.store.sqlstate import FullReadLost
from streamsync.store.tenants import SyncState, Tenants
from streamsync.sync.clean import Cleaner
from streamsync.sync.plan import Plan, full_read_due, plan_read
from streamsync.sync.reading import Reader

#: From this size on cleaning leaves the event loop, so that heartbeats are not starved.
_CLEAN_IN_THREAD_ROWS: Final = 2_000

_log = get_logger("sync")


class Control(Protocol):
    """How a worker talks into a running sync. Asked at each page boundary."""

    async def checkpoint(self) -> None:
        """Raise LostLock, or return. Called before each page."""
        ...

    def stopping(self) -> bool:
        """Whether the worker is stopping: then commit what is read and hand the job back."""
        ...

    async def handed_back(self) -> None:
        """Raise HandBack after the last commit of a stopping worker."""
        ...


class SyncEngine:
    """Runs syncs; one per worker process."""

    def __init__(
        self, database: Database, http: ErpHttp, box: CredentialBox, settings: Settings, clock: Clock
    ) -> None:
        self._database = database
        self._tenants = Tenants(database)
        self._http = http
        self._box = box
        self._settings = settings
        self._clock = clock

    async def run(self, job: Admitted, control: Control) -> None:
        """Sync one tenant's kind to the end.

        Raises TransientError, PermanentError, LostLock, HandBack, and StoreUnavailable where not even the
        first question could be asked; a job that goes `lock_ttl_seconds` without a commit is transient.
        """
        try:
            async with asyncio.timeout(self._settings.lock_ttl_seconds) as deadline:
                with permit_waits_do_not_count(deadline):
                    sync = _Sync(self, job, control, deadline)
                    await sync.run()
        except TimeoutError as error:
            raise TransientError(
                "no_progress", f"no page was committed for {self._settings.lock_ttl_seconds} s"
            ) from error

    def _connector(self, job: Admitted) -> Connector:
        credential = self._box.open(job.tenant_id, job.credential)
        access = Access(
            job.tenant_id, job.base_url, job.auth_mode, credential.username, credential.password,
            job.vitrines, job.branches, job.cursor_mode, job.app_name, job.licence_type,
        )  # fmt: skip
        sessions = ErpSessions(self._database, self._box, job)
        return find_connector(job.connector)(access, self._http, sessions)


class _Sync:
    """The state of one run."""

    def __init__(
        self, engine: SyncEngine, job: Admitted, control: Control, deadline: asyncio.Timeout
    ) -> None:
        self._engine = engine
        self._job = job
        self._control = control
        self._deadline = deadline
        self._claim = Claim(job.tenant_id, job.job_id, job.fence, job.commits)
        self._connector = engine._connector(job)

    async def run(self) -> None:
        async with self._connector:
            await self._read_all()

    async def _read_all(self) -> None:
        for name in KINDS[self._job.kind]:
            entity = self._connector.entity(name)
            scopes = await self._connector.scopes(entity)
            states = await self._engine._tenants.sync_states(self._job.tenant_id, entity.name)
            for scope in scopes.names:
                plan = self._plan(entity, states.get(scope))
                try:
                    await self._read(entity, scope, plan)
                except FullReadLost:
                    # PostgreSQL crashed and emptied its unlogged table.
                    await self._read(entity, scope, Plan(0, full=True, begins=True))
            if scopes.all_there_are:
                gone = states.keys() - set(scopes.names)
                await self._vanished(entity, [s for s in sorted(gone) if self._plan(entity, states[s]).full])

    def _plan(self, entity: Entity, state: SyncState | None) -> Plan:
        engine, job = self._engine, self._job
        due = full_read_due(
            job.tenant_id, entity.name, state, engine._clock.now(),
            engine._settings.full_read_days_of(entity.name),
        )  # fmt: skip
        return plan_read(
            state, self._connector.cursor_kind(entity), job.job_id, full_wanted=job.full_read, full_due=due
        )

    async def _vanished(self, entity: Entity, scopes: Sequence[str]) -> None:
        """Storefronts or branches that the ERP no longer has: their rows are gone. They are measured together, and
        against all of the shop's rows, since each for itself is always gone as a whole."""
        if not scopes:
            return
        living = await living_by_scope(self._engine._database, self._job.tenant_id, entity)
        missing = sum(living.get(scope, 0) for scope in scopes)
        percent = self._engine._settings.deletion_threshold_percent
        within = missing * 100 <= percent * sum(living.values())
        for scope in scopes:
            unit = Cleaner(entity, scope).new_unit(0)
            unit.cursor_mode = self._connector.cursor_kind(entity)
            finish = Finish(complete=True, accept=within or self._job.accept_deletions, threshold_percent=0)
            unit.full = FullStep(begins=True, finish=finish)
            await self._commit(unit)

    async def _read(self, entity: Entity, scope: str, plan: Plan) -> None:
        """Read by plan to the end, committing on the way."""
        if plan.done:
            return
        settings, clock = self._engine._settings, self._engine._clock
        reader = Reader(self._connector, entity, scope, plan.cursor, settings.erp_page_size)
        cleaner = Cleaner(entity, scope, keep_raw=settings.keeps_raw(entity.name))
        begins = plan.begins

        def new_unit() -> Unit:
            unit = cleaner.new_unit(reader.cursor)
            unit.cursor_mode = self._connector.cursor_kind(entity)
            unit.full = FullStep(begins=begins) if plan.full else None
            return unit

        unit = new_unit()
        opened = clock.monotonic()
        while True:
            await self._control.checkpoint()
            try:
                page = await reader.next()
            except SyncError:
                if unit.pages:  # the next attempt goes on behind what this one has read
                    await self._commit(unit)
                raise
            if page is None:
                break
            if len(page.records) >= _CLEAN_IN_THREAD_ROWS:
                await asyncio.to_thread(cleaner.add, unit, page.records)
            else:
                cleaner.add(unit, page.records)
            unit.pages += 1
            unit.cursor = reader.cursor
            rows = len(unit.rows) + len(unit.rejected)
            full = (
                rows >= settings.commit_max_rows or clock.monotonic() - opened >= settings.commit_max_seconds
            )
            if reader.moved and (full or self._control.stopping()):
                await self._commit(unit)
                await self._control.handed_back()
                begins = False
                unit = new_unit()
                opened = clock.monotonic()
        if unit.full is not None:
            unit.full.finish = Finish(
                reader.complete, self._job.accept_deletions, settings.deletion_threshold_percent
            )
            FULL_READS.labels(entity=entity.name).inc()
        if unit.pages or unit.full is not None:
            await self._commit(unit)

    async def _commit(self, unit: Unit) -> None:
        """Commit, waiting for PostgreSQL as long as it takes: its absence is not the job's fault."""
        engine, entity = self._engine, unit.entity.name
        delay_seconds = 0.1
        while True:
            started = engine._clock.monotonic()
            try:
                done = await commit(engine._database, self._claim, unit)
                break
            except StoreUnavailable as error:
                UNAVAILABLE.labels(server="postgresql").inc()
                _log.warning("commit waits", job_id=self._job.job_id, reason=str(error))
                self._deadline.reschedule(
                    asyncio.get_running_loop().time() + engine._settings.lock_ttl_seconds
                )
                await asyncio.sleep(delay_seconds * random.uniform(0.5, 1.0))  # noqa: S311
                delay_seconds = min(delay_seconds * 2, 5.0)
        PAGE_COMMIT_SECONDS.labels(entity=entity).observe(engine._clock.monotonic() - started)
        PAGES.labels(entity=entity).inc(unit.pages)
        self._count(entity, unit, done)
        self._claim = replace(self._claim, commits=self._claim.commits + 1)
        self._deadline.reschedule(asyncio.get_running_loop().time() + engine._settings.lock_ttl_seconds)
        _log.debug(
            "pages committed", job_id=self._job.job_id, tenant_id=self._job.tenant_id, entity=entity,
            scope=unit.scope, page=unit.pages, rows=unit.fetched,
        )  # fmt: skip

    def _count(self, entity: str, unit: Unit, done: Committed) -> None:
        DELETIONS.labels(entity=entity).inc(done.deleted)
        if done.withheld:
            DELETIONS_WITHHELD.labels(entity=entity, reason=done.reason).inc(done.withheld)
            _log.warning(
                "deletions withheld: look at the shop, then trigger with --full --accept-deletions",
                job_id=self._job.job_id, tenant_id=self._job.tenant_id, entity=entity, scope=unit.scope,
                count=done.withheld, reason=done.reason,
            )  # fmt: skip
        rejected = len(unit.rejected)
        ROWS.labels(entity=entity, result="rejected").inc(rejected)
        if done.inserted < 0:  # its answer was lost; the ledger has the figures, this process does not
            return
        ROWS.labels(entity=entity, result="inserted").inc(done.inserted)
        ROWS.labels(entity=entity, result="updated").inc(done.updated)
        ROWS.labels(entity=entity, result="unchanged").inc(
            unit.fetched - rejected - done.inserted - done.updated
        )
