"""One worker process: builds the parts, owns the tasks, and stops them in order.

Order of stopping: claiming (at once) → running jobs (at a page boundary, cancelled after the grace) →
outcomes recorded and acknowledged → promotion and heartbeat last.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
from collections.abc import Iterable
from typing import Final

from streamsync.clock import Clock
from streamsync.config import Settings
from streamsync.erp.http import ErpHttp
from streamsync.erp.permits import TakePermit
from streamsync.errors import QueueUnavailable
from streamsync.log import get_logger
from streamsync.metrics import SLOTS
from streamsync.queue.limits import Limit
from streamsync.queue.queue import Queue
from streamsync.queue.request_limits import Rate, RequestLimits
from streamsync.store.credentials import CredentialBox
from streamsync.store.ledger import Ledger
from streamsync.store.pool import Database
from streamsync.store.refusals import Refusals
from streamsync.sync.engine import SyncEngine
from streamsync.worker.claim import Claimer
from streamsync.worker.credentials import Credentials
from streamsync.worker.execute import Engine, Executor
from streamsync.worker.finish import Finisher
from streamsync.worker.heartbeat import Heartbeat
from streamsync.worker.promote import Promoter
from streamsync.worker.recovery import Recovery
from streamsync.worker.slots import Slots, Stop

#: After the grace: how long a cancelled job may take to end, and how often it is told.
_CANCEL_SECONDS: Final = 2.0
_CANCEL_TRIES: Final = 5

#: A worker whose claim loops have not turned for this long is not alive.
_SILENT_SECONDS: Final = 60.0

_log = get_logger("worker")


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel until it is heard: the pool's waits use `wait_for`, which in Python 3.11 may lose a cancellation."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=1)


def worker_name() -> str:
    """Host, process and boot id: a name that no other worker has had or will have."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


class Worker:
    """Claims and runs jobs until told to stop."""

    def __init__(
        self,
        settings: Settings,
        queue: Queue,
        database: Database,
        clock: Clock,
        *,
        name: str | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.name = name or worker_name()
        self.slots = Slots(settings.concurrency)
        self._settings = settings
        self._queue = queue
        self._database = database
        self._clock = clock
        self._engine = engine
        self._stop = asyncio.Event()
        self._claimers: list[Claimer] = []

    def stop(self) -> None:
        """Stop claiming, let running pages commit, hand the rest back. A second call is quicker."""
        _log.info("worker stopping", worker=self.name, running=len(self.slots.holdings))
        if self._stop.is_set():
            self._cancel_jobs()
        self._stop.set()

    def stop_on_signals(self) -> None:
        """SIGTERM and SIGINT stop the worker."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)

    def why_not_alive(self) -> str | None:
        """None while the loops turn. A silent Redis or PostgreSQL does not make a worker dead."""
        silent = self._clock.monotonic() - min(
            (c.last_turn for c in self._claimers), default=self._clock.monotonic()
        )
        return f"no loop has turned for {silent:.0f} s" if silent > _SILENT_SECONDS else None

    async def run(self) -> None:
        """Run until stopped. Raises ConfigurationError where the start is impossible."""
        settings, ledger = self._settings, Ledger(self._database)
        box = CredentialBox(settings.require_credential_keys())
        async with ErpHttp(settings, take_permit=self._request_permit()) as http:
            engine = self._engine or SyncEngine(self._database, http, box, settings, self._clock)
            claimers = self._claimers

            def unsure(_partition: object) -> None:
                for claimer in claimers:
                    claimer.unsure()

            credentials = Credentials(self._queue, settings.claim_idle_ms)
            finisher = Finisher(ledger, self.slots, credentials, self.name, unsure)
            async with asyncio.TaskGroup() as group:
                executor = Executor(
                    engine, ledger, finisher, Refusals(self._database, box), self.slots, settings,
                    self._clock, group, self._stop,
                )  # fmt: skip
                for partition in self._queue.partitions:
                    claimers.append(
                        Claimer(
                            self._queue, partition, ledger, self.slots, executor.start,
                            consumer=self.name,
                            lock_ttl_ms=settings.claim_idle_ms,
                            busy_delay_ms=settings.busy_delay_ms,
                            max_deliveries=settings.max_deliveries,
                            job_starts=self._job_starts(ledger),
                            clock=self._clock,
                            recovery=Recovery(self._clock, settings.claim_idle_ms),
                            credentials=credentials,
                            stop=self._stop,
                        )
                    )  # fmt: skip
                heartbeat = Heartbeat(
                    self._queue.partitions, self._queue.credentials, self.slots, self.name,
                    settings.claim_idle_ms,
                )  # fmt: skip
                background = [
                    group.create_task(heartbeat.run(), name="heartbeat"),
                    group.create_task(finisher.run(), name="finisher"),
                    *(group.create_task(Promoter(p).run(), name="promoter") for p in self._queue.partitions),
                ]
                await self._create_groups()
                claiming = [group.create_task(claimer.run(), name="claimer") for claimer in claimers]
                _log.info("worker started", worker=self.name, count=settings.concurrency)
                self._export_slots()
                await asyncio.wait(claiming)
                await self._drain()
                await _end(background)
        await self._deregister()
        _log.info("worker stopped", worker=self.name)

    async def _create_groups(self) -> None:
        """A first start makes the consumer groups; later on a missing one means that Redis forgot."""
        try:
            for partition in self._queue.partitions:
                await partition.create_group()
        except QueueUnavailable as error:
            _log.warning("the consumer group cannot be made yet", reason=str(error))

    async def _drain(self) -> None:
        """Wait for running jobs to reach a page boundary, then cancel what is left."""
        try:
            async with asyncio.timeout(self._settings.shutdown_grace_seconds):
                await self.slots.wait_empty()
            return
        except TimeoutError:
            _log.warning("grace is over: stopping jobs in mid-page", count=len(self.slots.holdings))
        for _ in range(_CANCEL_TRIES):
            # Again and again: the pool's waits use `wait_for`, which in Python 3.11 may lose a cancellation.
            self._cancel_jobs()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CANCEL_SECONDS):
                    await self.slots.wait_empty()
            if not self.slots.holdings:
                return
        _log.error("jobs left for recovery", count=len(self.slots.holdings))

    def _cancel_jobs(self) -> None:
        for holding in list(self.slots.holdings.values()):
            if holding.task is not None and not holding.task.done():
                holding.stop = holding.stop or Stop.SHUTDOWN
                holding.task.cancel()

    async def _deregister(self) -> None:
        """Remove this consumer where it owns nothing; what it still owns is recovered by others first."""
        try:
            for partition in self._queue.partitions:
                for stream in (partition.keys.stream, partition.keys.urgent):
                    await partition.scripts.remove_consumer(stream, self.name, 0)
        except QueueUnavailable as error:
            _log.warning("consumer not removed", reason=str(error))

    def _export_slots(self) -> None:
        SLOTS.labels(state="busy").set_function(lambda: len(self.slots.holdings))
        SLOTS.labels(state="free").set_function(lambda: self.slots.size - len(self.slots.holdings))

    def _job_starts(self, ledger: Ledger) -> Limit | None:
        if not self._settings.job_starts_max:
            return None
        return Limit(
            self._queue.client, self._queue.name, "job-starts",
            maximum=self._settings.job_starts_max,
            window_ms=self._settings.job_starts_duration_ms,
            recall=ledger.recent_starts,
        )  # fmt: skip

    def _request_permit(self) -> TakePermit | None:
        settings = self._settings
        overall = Rate(settings.limiter_max, settings.limiter_duration_ms)
        per_host = Rate(settings.limiter_host_max, settings.limiter_host_duration_ms)
        if not overall.maximum and not per_host.maximum:
            return None
        limits = RequestLimits(
            self._queue.client, self._queue.name,
            overall=overall if overall.maximum else None,
            per_host=per_host if per_host.maximum else None,
        )  # fmt: skip
        return limits.take
