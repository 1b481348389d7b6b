"""The heartbeat: one script call per beat and partition for all of a worker's jobs, one for their credentials.

It runs until the last job has been acknowledged, longer than any other loop of the worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from streamsync.errors import QueueUnavailable
from streamsync.log import get_logger
from streamsync.metrics import CREDENTIALS_LOST, LOCKS_LOST, UNAVAILABLE
from streamsync.queue.credentials import CredentialLocks
from streamsync.queue.scripts import Code
from streamsync.queue.stream import Partition
from streamsync.worker.slots import Slots, Stop

_log = get_logger("worker.heartbeat")


class Heartbeat:
    """Renews locks and idle times of everything held, three times per time to live."""

    def __init__(
        self,
        partitions: Sequence[Partition],
        credentials: CredentialLocks,
        slots: Slots,
        consumer: str,
        ttl_ms: int,
    ) -> None:
        self._partitions = partitions
        self._credentials = credentials
        self._slots = slots
        self._consumer = consumer
        self._ttl_ms = ttl_ms

    async def run(self) -> None:
        """Beat until cancelled. A beat that Redis did not answer is tried again at the next: the fence in
        PostgreSQL decides about the data, not the lock."""
        while True:
            await asyncio.sleep(self._ttl_ms / 3000)
            try:
                await self.run_once()
            except QueueUnavailable as error:
                UNAVAILABLE.labels(server="redis").inc()
                _log.warning("heartbeat failed", reason=str(error))

    async def run_once(self) -> None:
        """One beat. A job whose entry, lock or credential belongs to another is stopped at once."""
        for partition in self._partitions:
            async with self._slots.beat:
                holdings = [holding for holding in self._slots.of(partition) if holding.beating]
                if not holdings:
                    continue
                codes = await partition.scripts.heartbeat(
                    self._consumer, [holding.held for holding in holdings], self._ttl_ms
                )
            for holding, code in zip(holdings, codes, strict=True):
                if code is Code.LOST and holding.task is not None and holding.stop is None:
                    LOCKS_LOST.inc()
                    _log.warning(
                        "lock lost: stopping the job",
                        job_id=holding.job.job_id,
                        tenant_id=holding.job.tenant_id,
                    )
                    holding.lose()
                elif code is Code.TAKEN_AGAIN and holding.task is not None:
                    _log.info("lock taken again: Redis had forgotten it", job_id=holding.job.job_id)
        await self._renew_credentials()

    async def _renew_credentials(self) -> None:
        async with self._slots.beat:
            held = [
                (holding, holding.credential)
                for holding in self._slots.holdings.values()
                if holding.beating and holding.credential is not None and holding.stop is not Stop.LOST
            ]
            codes = await self._credentials.renew([credential for _, credential in held], self._ttl_ms)
        for (holding, _), code in zip(held, codes, strict=True):
            if code is Code.LOST and holding.task is not None and holding.stop is None:
                CREDENTIALS_LOST.inc()
                _log.warning(
                    "credential lost: handing the job back",
                    job_id=holding.job.job_id,
                    tenant_id=holding.job.tenant_id,
                )
                holding.lose(Stop.CREDENTIAL)
            elif code is Code.TAKEN_AGAIN and holding.task is not None:
                _log.info("credential taken again: Redis had forgotten it", job_id=holding.job.job_id)
