"""Outcomes, in batches: first the ledger's commit, then the script that acknowledges. Never the other way.

An outcome that cannot be recorded because PostgreSQL is away waits here, its lock kept by the heartbeat. One
that was recorded but not acknowledged is redelivered and absorbed by the gate.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from streamsync.errors import QueueUnavailable, StoreUnavailable
from streamsync.jobs import Job, State
from streamsync.log import get_logger
from streamsync.metrics import DEAD, FENCE_REFUSALS, UNAVAILABLE
from streamsync.queue.stream import Partition
from streamsync.store.ledger import Ledger, Settlement
from streamsync.worker.credentials import Credentials
from streamsync.worker.slots import Holding, Slots

#: Outcomes recorded by one statement.
BATCH: Final = 64

#: How long the dead feed keeps an entry.
DEAD_KEEP_MS: Final = 24 * 3600 * 1000

_log = get_logger("worker.finish")


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that ended, and how. Without a settlement it was lost: nothing is recorded or acknowledged."""

    holding: Holding
    settlement: Settlement


class Finisher:
    """Records and acknowledges outcomes; one per worker."""

    def __init__(
        self,
        ledger: Ledger,
        slots: Slots,
        credentials: Credentials,
        consumer: str,
        on_unsure: Callable[[Partition], None],
    ) -> None:
        self._ledger = ledger
        self._credentials = credentials
        self._slots = slots
        self._consumer = consumer
        self._on_unsure = on_unsure
        self._queue: asyncio.Queue[Ended] = asyncio.Queue()

    async def abandon(self, holding: Holding) -> None:
        """A job was lost to a newer claim: nothing is recorded, only its credential is given back."""
        await self._slots.silence([holding])
        await self._credentials.release([(holding, None)])
        self._slots.remove(holding)

    def put(self, ended: Ended) -> None:
        """Hand an outcome over; the slot stays taken until it has been acknowledged."""
        self._queue.put_nowait(ended)

    async def run(self) -> None:
        """Loop until cancelled. Whatever has queued up meanwhile is one batch (group commit)."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self.run_once(batch)

    async def run_once(self, batch: Sequence[Ended]) -> None:
        """Record a batch, then acknowledge what was recorded, then free the slots."""
        recorded = await self._record(batch)
        kept = [ended for ended in batch if ended.settlement.job_id in recorded]
        await self._slots.silence([ended.holding for ended in batch])
        # Before the acknowledgement: a job that goes back at once must not find its own credential in use.
        await self._credentials.release([(ended.holding, ended.settlement.error_class) for ended in batch])
        for ended in batch:
            if ended.settlement.job_id not in recorded:
                FENCE_REFUSALS.inc()
                self._on_unsure(ended.holding.partition)
                _log.warning(
                    "outcome refused: a newer claim exists",
                    job_id=ended.settlement.job_id, tenant_id=ended.holding.job.tenant_id,
                    fence=ended.settlement.fence,
                )  # fmt: skip
        for partition in {ended.holding.partition for ended in kept}:
            mine = [ended for ended in kept if ended.holding.partition is partition]
            try:
                await self._acknowledge(partition, mine, recorded)
            except QueueUnavailable as error:
                UNAVAILABLE.labels(server="redis").inc()
                self._on_unsure(partition)
                _log.warning("not acknowledged; will be redelivered", reason=str(error), count=len(mine))
        for ended in batch:
            self._slots.remove(ended.holding)

    async def _record(self, batch: Sequence[Ended]) -> dict[int, int]:
        delay_seconds = 0.1
        while True:
            try:
                return await self._ledger.settle([ended.settlement for ended in batch])
            except StoreUnavailable as error:
                UNAVAILABLE.labels(server="postgresql").inc()
                _log.warning("outcomes wait", reason=str(error), count=len(batch))
                await asyncio.sleep(delay_seconds * random.uniform(0.5, 1.0))  # noqa: S311
                delay_seconds = min(delay_seconds * 2, 5.0)

    async def _acknowledge(
        self, partition: Partition, batch: Sequence[Ended], attempts: dict[int, int]
    ) -> None:
        done = [ended for ended in batch if ended.settlement.state in (State.SUCCEEDED, State.CANCELLED)]
        dead = [ended for ended in batch if ended.settlement.state is State.FAILED]
        again = [ended for ended in batch if ended.settlement.state.is_waiting]
        if again:  # first, because only this one must also happen where Redis has forgotten the entry
            await partition.scripts.reschedule(
                self._consumer,
                [
                    (e.holding.held, e.settlement.delay_ms, _next(e.holding.job, attempts).encode())
                    for e in again
                ],
            )
        if done:
            await partition.scripts.finish(self._consumer, [ended.holding.held for ended in done])
        if dead:
            for ended in dead:
                DEAD.labels(error_class=ended.settlement.error_class or "unknown").inc()
            await partition.scripts.dead(
                self._consumer,
                [(e.holding.held, e.holding.body, e.settlement.error_class or "unknown") for e in dead],
                DEAD_KEEP_MS,
            )


def _next(job: Job, attempts: dict[int, int]) -> Job:
    return replace(job, attempt=attempts[job.job_id])
