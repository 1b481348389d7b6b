"""Runs one claimed job and turns however it ends into an outcome."""

from __future__ import annotations

import asyncio
import random
from typing import Final, Protocol

from streamsync.clock import Clock
from streamsync.config import Settings
from streamsync.errors import (
    ConfigurationError,
    Deferred,
    HandBack,
    LostLock,
    PermanentError,
    QueueUnavailable,
    StoreUnavailable,
    TransientError,
)
from streamsync.jobs import State
from streamsync.log import get_logger
from streamsync.metrics import (
    CREDENTIALS_BUSY,
    DEFERRALS,
    FENCE_REFUSALS,
    JOB_DURATION_SECONDS,
    JOB_LATENESS_SECONDS,
    JOBS_COMPLETED,
    RETRIES,
    UNAVAILABLE,
)
from streamsync.store.ledger import Admitted, Ledger, Settlement
from streamsync.store.refusals import WRONG_PASSWORD, Refusals
from streamsync.sync.engine import Control
from streamsync.worker.delays import deferral_ms, put_off_ms, retry_ms
from streamsync.worker.finish import Ended, Finisher
from streamsync.worker.slots import Holding, Slots, Stop

#: A job handed back because a server of ours is away is tried again after this long.
_STORE_AWAY_DELAY_MS: Final = 5_000

_log = get_logger("worker.job")


class Engine(Protocol):
    """What runs a job: `sync.engine.SyncEngine`, or the load harness's that has nothing to sync."""

    async def run(self, job: Admitted, control: Control) -> None:
        """Run to the end, or raise one of the errors of `streamsync.errors`."""
        ...


class CancelRequested(Exception):
    """Somebody asked that this job be cancelled; seen at a page boundary."""


class JobControl:
    """The engine's view of the worker: asked at each page boundary."""

    def __init__(self, ledger: Ledger, holding: Holding, job: Admitted, stop: asyncio.Event) -> None:
        self._ledger = ledger
        self._holding = holding
        self._job = job
        self._stop = stop

    async def checkpoint(self) -> None:
        """Ask the ledger whether the claim still stands. Raises LostLock, CancelRequested or HandBack."""
        # A job that was told to stop may not have heard it: Python 3.11 can lose a cancellation in the pool.
        if self._holding.stop is Stop.LOST:
            raise LostLock("a newer claim of this tenant exists")
        if self._holding.stop is not None:
            raise HandBack("this job was told to stop")
        try:
            cancel = await self._ledger.claim_stands(self._job.job_id, self._job.fence)
        except StoreUnavailable:
            return  # the commit will wait for PostgreSQL; nothing is known to have changed
        if cancel is None:
            raise LostLock("a newer claim of this tenant exists")
        if cancel:
            raise CancelRequested

    def stopping(self) -> bool:
        """Whether the worker is stopping."""
        return self._stop.is_set()

    async def handed_back(self) -> None:
        """Raise HandBack if the worker is stopping; called right after a commit."""
        if self._stop.is_set():
            raise HandBack("the worker is stopping")


class Executor:
    """Starts jobs as tasks of the worker's TaskGroup."""

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        finisher: Finisher,
        refusals: Refusals,
        slots: Slots,
        settings: Settings,
        clock: Clock,
        group: asyncio.TaskGroup,
        stop: asyncio.Event,
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._finisher = finisher
        self._refusals = refusals
        self._slots = slots
        self._settings = settings
        self._clock = clock
        self._group = group
        self._stop = stop

    def start(self, holding: Holding, job: Admitted) -> None:
        """Run a job in a task of its own; or end it here, where its ERP must not be asked now."""
        if job.credential_refused:
            self._end(holding, job, _refused(job), 0.0)
            return
        if holding.credential is None:
            CREDENTIALS_BUSY.inc()
            _log.debug("credential in use", job_id=job.job_id, tenant_id=job.tenant_id, count=job.put_offs)
            self._finisher.put(Ended(holding, self._put_off(job)))
            return
        JOB_LATENESS_SECONDS.labels(kind=job.kind).observe(max(job.late_seconds, 0.0))
        holding.task = self._group.create_task(self._run(holding, job), name=f"job {job.job_id}")
        # A task that is cancelled before its first step never runs `_run`.
        holding.task.add_done_callback(lambda task: self._slots.remove(holding) if task.cancelled() else None)

    async def _run(self, holding: Holding, job: Admitted) -> None:
        started = self._clock.monotonic()
        settlement = await self._outcome(holding, job)
        seconds = self._clock.monotonic() - started
        JOB_DURATION_SECONDS.labels(kind=job.kind).observe(seconds)
        if settlement is None:
            FENCE_REFUSALS.inc()
            JOBS_COMPLETED.labels(kind=job.kind, outcome="lost").inc()
            _log.warning(
                "job lost to a newer claim", job_id=job.job_id, tenant_id=job.tenant_id, fence=job.fence
            )
            await self._finisher.abandon(holding)
            return
        self._end(holding, job, settlement, seconds)

    def _end(self, holding: Holding, job: Admitted, settlement: Settlement, seconds: float) -> None:
        JOBS_COMPLETED.labels(kind=job.kind, outcome=settlement.outcome).inc()
        if settlement.state is State.RETRYING:
            RETRIES.labels(error_class=settlement.error_class or "unknown").inc()
        if settlement.outcome == "deferred":
            DEFERRALS.labels(error_class=settlement.error_class or "unknown").inc()
        log = _log.warning if settlement.state is State.FAILED else _log.info
        log(
            "job ended", job_id=job.job_id, tenant_id=job.tenant_id, kind=job.kind, attempt=job.attempt,
            outcome=settlement.outcome, duration_ms=int(seconds * 1000), error_class=settlement.error_class,
            http_status=settlement.error_status, delay_ms=settlement.delay_ms,
        )  # fmt: skip
        self._finisher.put(Ended(holding, settlement))

    async def _outcome(self, holding: Holding, job: Admitted) -> Settlement | None:
        """Run the sync; None where the job was lost and nothing may be written."""
        control = JobControl(self._ledger, holding, job, self._stop)

        def ended(state: State, outcome: str, delay_ms: int = 0) -> Settlement:
            return Settlement(job.job_id, job.fence, state, outcome, delay_ms)

        try:
            return await self._sync(job, control) or ended(State.SUCCEEDED, "succeeded")
        except LostLock:
            return None
        except HandBack:
            return ended(State.SCHEDULED, "handed_back")
        except (StoreUnavailable, QueueUnavailable):
            return ended(State.SCHEDULED, "handed_back", _STORE_AWAY_DELAY_MS)
        except CancelRequested:
            return Settlement(
                job.job_id, job.fence, State.CANCELLED, "cancelled", 0,
                "cancel_requested", None, "cancelled on request",
            )  # fmt: skip
        except TransientError as error:
            return self._retry_or_dead(job, error)
        except PermanentError as error:
            return _failed(job, error.error_class, str(error), error.http_status)
        except ConfigurationError as error:
            return _failed(job, "configuration", str(error), None)
        except asyncio.CancelledError:
            if holding.stop is None:
                raise
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            if holding.stop is Stop.CREDENTIAL:
                return ended(State.SCHEDULED, "handed_back", self._settings.busy_delay_ms)
            return None if holding.stop is Stop.LOST else ended(State.SCHEDULED, "handed_back")
        except Exception as error:  # noqa: BLE001 - a mistake of ours must fail its job, not the worker
            # The text of an unforeseen error may quote data; its type and place do not.
            _log.error("unforeseen error", job_id=job.job_id, reason=_place_of(error))
            unforeseen = TransientError("internal_error", f"unforeseen {_place_of(error)}")
            return self._retry_or_dead(job, unforeseen)

    async def _sync(self, job: Admitted, control: JobControl) -> Settlement | None:
        """Run the engine; what some of its errors ask for is done here, where a cancellation is still heard."""
        try:
            await self._engine.run(job, control)
        except Deferred as error:
            return await self._deferred(job, error)
        except PermanentError as error:
            if error.error_class == WRONG_PASSWORD:
                await self._mark(job)
            raise
        return None

    def _retry_or_dead(self, job: Admitted, error: TransientError) -> Settlement:
        if job.attempt > self._settings.max_retries:
            return _failed(job, error.error_class, str(error), error.http_status)
        delay_ms = retry_ms(self._settings, job.attempt, error.retry_after_seconds)
        return Settlement(
            job.job_id, job.fence, State.RETRYING, "retrying", delay_ms,
            error.error_class, error.http_status, str(error),
        )  # fmt: skip

    async def _mark(self, job: Admitted) -> None:
        """Before anybody else may use the ERP's user: nobody asks again with what was refused."""
        delay_seconds = 0.1
        while True:
            try:
                count = await self._refusals.mark(job)
                break
            except StoreUnavailable as error:
                UNAVAILABLE.labels(server="postgresql").inc()
                _log.warning("the mark of a refused credential waits", reason=str(error))
                await asyncio.sleep(delay_seconds * random.uniform(0.5, 1.0))  # noqa: S311
                delay_seconds = min(delay_seconds * 2, 5.0)
        _log.error(
            "the ERP refused user or password: it is not asked again before an operator sets a new one",
            tenant_id=job.tenant_id, tenants=count,
        )  # fmt: skip

    async def _deferred(self, job: Admitted, error: Deferred) -> Settlement:
        """Back to `scheduled`, no attempt spent; failed once it has waited for as long as it may."""
        try:
            # The ledger knows best: what this attempt committed has ended the wait before it.
            deferrals, waited_seconds = await self._ledger.deferred_so_far(job.job_id)
        except StoreUnavailable:
            deferrals, waited_seconds = 0, 0.0
        delay_ms = deferral_ms(self._settings, deferrals, waited_seconds, error.retry_after_seconds)
        if delay_ms is None:
            message = f"{error}; for {waited_seconds / 3600:.1f} h, asked {deferrals + 1} times"
            return _failed(job, error.error_class, message, error.http_status)
        return Settlement(
            job.job_id, job.fence, State.SCHEDULED, "deferred", delay_ms,
            error.error_class, error.http_status, str(error),
        )  # fmt: skip

    def _put_off(self, job: Admitted) -> Settlement:
        return Settlement(
            job.job_id, job.fence, State.SCHEDULED, "put_off", put_off_ms(self._settings, job.put_offs),
            "credential_busy", None, "another job uses this user of the ERP",
        )  # fmt: skip


def _failed(job: Admitted, error_class: str, message: str, status: int | None) -> Settlement:
    return Settlement(job.job_id, job.fence, State.FAILED, "failed", 0, error_class, status, message)


def _refused(job: Admitted) -> Settlement:
    return _failed(
        job, "erp_credential_refused",
        "the ERP refused user or password before, and was not asked again: give the right ones with "
        f"`streamsync tenants set-credential {job.tenant_id}`, or, if they are right now, say so with "
        f"`streamsync tenants clear-refusal {job.tenant_id}`",
        None,
    )  # fmt: skip


def _place_of(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    return f"{type(error).__name__} at {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
