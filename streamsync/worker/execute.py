"""Runs one claimed job and turns however it ends into an outcome."""

from __future__ import annotations

import asyncio
import random
from typing import Final, Protocol

from streamsync.clock import Clock
from streamsync.config import Settings
from streamsync.errors import (
    ConfigurationError,
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
    FENCE_REFUSALS,
    JOB_DURATION_SECONDS,
    JOB_LATENESS_SECONDS,
    JOBS_COMPLETED,
    RETRIES,
)
from streamsync.store.ledger import Admitted, Ledger, Settlement
from streamsync.sync.engine import Control
from streamsync.worker.finish import Ended, Finisher
from streamsync.worker.slots import Holding, Slots, Stop

#: A job handed back because a server of ours is away is tried again after this long.
_STORE_AWAY_DELAY_MS: Final = 5_000

#: However many retries are configured, none waits longer than a day.
_LONGEST_RETRY_MS: Final = 86_400_000.0

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

    def __init__(self, ledger: Ledger, job: Admitted, stop: asyncio.Event) -> None:
        self._ledger = ledger
        self._job = job
        self._stop = stop

    async def checkpoint(self) -> None:
        """Ask the ledger whether the claim still stands. Raises LostLock or CancelRequested."""
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
        slots: Slots,
        settings: Settings,
        clock: Clock,
        group: asyncio.TaskGroup,
        stop: asyncio.Event,
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._finisher = finisher
        self._slots = slots
        self._settings = settings
        self._clock = clock
        self._group = group
        self._stop = stop

    def start(self, holding: Holding, job: Admitted) -> None:
        """Run a job in a task of its own."""
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
            self._slots.remove(holding)
            return
        JOBS_COMPLETED.labels(kind=job.kind, outcome=settlement.outcome).inc()
        if settlement.state is State.RETRYING:
            RETRIES.labels(error_class=settlement.error_class or "unknown").inc()
        log = _log.warning if settlement.state is State.FAILED else _log.info
        log(
            "job ended", job_id=job.job_id, tenant_id=job.tenant_id, kind=job.kind, attempt=job.attempt,
            outcome=settlement.outcome, duration_ms=int(seconds * 1000), error_class=settlement.error_class,
            http_status=settlement.error_status,
        )  # fmt: skip
        self._finisher.put(Ended(holding, settlement))

    async def _outcome(self, holding: Holding, job: Admitted) -> Settlement | None:
        """Run the sync; None where the job was lost and nothing may be written."""
        control = JobControl(self._ledger, job, self._stop)

        def ended(state: State, outcome: str, delay_ms: int = 0) -> Settlement:
            return Settlement(job.job_id, job.fence, state, outcome, delay_ms)

        try:
            await self._engine.run(job, control)
            return ended(State.SUCCEEDED, "succeeded")
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
            return None if holding.stop is Stop.LOST else ended(State.SCHEDULED, "handed_back")
        except Exception as error:  # noqa: BLE001 - a mistake of ours must fail its job, not the worker
            # The text of an unforeseen error may quote data; its type and place do not.
            _log.error("unforeseen error", job_id=job.job_id, reason=_place_of(error))
            unforeseen = TransientError("internal_error", f"unforeseen {_place_of(error)}")
            return self._retry_or_dead(job, unforeseen)

    def _retry_or_dead(self, job: Admitted, error: TransientError) -> Settlement:
        """Retries after base, base·factor, base·factor² … (±10 %), or what `Retry-After` asked if later."""
        settings = self._settings
        if job.attempt > settings.max_retries:
            return _failed(job, error.error_class, str(error), error.http_status)
        delay_ms = float(settings.retry_base_ms)
        for _ in range(job.attempt - 1):
            delay_ms = min(delay_ms * settings.retry_factor, _LONGEST_RETRY_MS)
        delay_ms *= random.uniform(0.9, 1.1)  # noqa: S311 - spreads, hides nothing
        delay_ms = max(delay_ms, (error.retry_after_seconds or 0) * 1000)
        return Settlement(
            job.job_id, job.fence, State.RETRYING, "retrying", int(delay_ms),
            error.error_class, error.http_status, str(error),
        )  # fmt: skip


def _failed(job: Admitted, error_class: str, message: str, status: int | None) -> Settlement:
    return Settlement(job.job_id, job.fence, State.FAILED, "failed", 0, error_class, status, message)


def _place_of(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    return f"{type(error).__name__} at {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
