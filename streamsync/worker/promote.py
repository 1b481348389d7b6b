"""Delayed → stream, woken at the due time. Any number of workers may promote: the script makes it safe."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from streamsync.errors import QueueUnavailable
from streamsync.log import get_logger
from streamsync.metrics import UNAVAILABLE
from streamsync.queue.stream import Partition

#: Jobs moved by one call of the script: Redis does nothing else meanwhile.
STEP: Final = 500

#: A lost wake-up must not matter: nobody sleeps longer than this.
LONGEST_SLEEP_SECONDS: Final = 1.0

_log = get_logger("worker.promote")


class Promoter:
    """Promotes one partition."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition

    async def run(self) -> None:
        """Loop until cancelled."""
        while True:
            try:
                wait_seconds = await self.run_once()
                if wait_seconds > 0:
                    await self._partition.wait_for_wake(wait_seconds)
            except QueueUnavailable as error:
                UNAVAILABLE.labels(server="redis").inc()
                _log.warning("promotion waits", reason=str(error))
                await asyncio.sleep(random.uniform(0.2, 1.0))  # noqa: S311 - spreads reconnections

    async def run_once(self) -> float:
        """Move what is due; returns the seconds to sleep until the next is."""
        moved, wait_ms = await self._partition.scripts.promote(STEP)
        if moved == STEP or wait_ms == 0:
            return 0.0
        if wait_ms < 0:
            return LONGEST_SLEEP_SECONDS
        return min(wait_ms / 1000, LONGEST_SLEEP_SECONDS)
