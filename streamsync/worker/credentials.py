"""Who may use which user of an ERP: taken for a batch of admitted jobs, given back for a batch of ended ones."""

from __future__ import annotations

from collections.abc import Sequence

from streamsync.errors import QueueUnavailable
from streamsync.log import get_logger
from streamsync.metrics import UNAVAILABLE
from streamsync.queue.queue import Queue
from streamsync.queue.scripts import CredentialHeld
from streamsync.store.ledger import Admitted
from streamsync.store.refusals import WRONG_PASSWORD
from streamsync.worker.slots import Holding

_log = get_logger("worker.credentials")


class Credentials:
    """The credentials that a worker's jobs use."""

    def __init__(self, queue: Queue, ttl_ms: int) -> None:
        self._locks = queue.credentials
        self._ttl_ms = ttl_ms

    async def take(self, admitted: Sequence[tuple[Holding, Admitted]]) -> None:
        """Note in each holding the credential that it got. One without must not ask its ERP anything.

        While Redis is away nobody gets any: those jobs go back without having been tried.
        """
        wanted = [(holding, _held(holding, job)) for holding, job in admitted if not job.credential_refused]
        try:
            got = await self._locks.take([held for _, held in wanted], self._ttl_ms)
        except QueueUnavailable as error:
            UNAVAILABLE.labels(server="redis").inc()
            _log.warning("no credential could be taken", reason=str(error), count=len(wanted))
            return
        for (holding, held), taken in zip(wanted, got, strict=True):
            holding.credential = held if taken else None

    async def release(self, ended: Sequence[tuple[Holding, str | None]]) -> None:
        """Give back what these (holding, error class) held; call it when no beat can renew it any more.

        One that the ERP refused is left to expire: a job that was admitted just before the ledger's mark would
        otherwise take it and try the password once more.
        """
        held = [h.credential for h, why in ended if h.credential is not None and why != WRONG_PASSWORD]
        try:
            await self._locks.release(held)
        except QueueUnavailable as error:
            UNAVAILABLE.labels(server="redis").inc()
            _log.warning("credentials left to expire", reason=str(error), count=len(held))


def _held(holding: Holding, job: Admitted) -> CredentialHeld:
    return CredentialHeld(job.credential_id, holding.partition.keys.partition, holding.held.entry, job.fence)
