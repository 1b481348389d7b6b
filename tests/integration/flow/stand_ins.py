"""What stands in for the sync and for the clock where a test is about the worker alone."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from streamsync.clock import SystemClock
from streamsync.store.ledger import Admitted
from streamsync.sync.engine import Control
from streamsync.worker.run import Worker
from tests.support import wait_until


class Counting:
    """A sync of nothing that knows which jobs were started, and how many ran at once.

    With `held`, jobs run until `release`.
    """

    def __init__(self, *, held: bool = False) -> None:
        self.started: list[Admitted] = []
        self.running = 0
        self.most = 0
        self._released = asyncio.Event()
        if not held:
            self._released.set()

    def release(self) -> None:
        """Let the jobs end, those to come too."""
        self._released.set()

    async def run(self, job: Admitted, control: Control) -> None:
        self.started.append(job)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self._released.wait()
        finally:
            self.running -= 1


class LeapingClock:
    """The machine's clock, which a test may put forward."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._leapt = 0.0

    def now(self) -> datetime:
        return self._clock.now() + timedelta(seconds=self._leapt)

    def monotonic(self) -> float:
        return self._clock.monotonic() + self._leapt

    def leap(self, seconds: float) -> None:
        """Put it forward."""
        self._leapt += seconds


async def turn(worker: Worker, clock: LeapingClock) -> None:
    """Wait until each claim loop of a worker on this clock has ended the turn that it is in.

    What it says of itself tells: it is well again when every loop has begun a turn since the leap.
    """
    clock.leap(3600)
    assert worker.why_not_alive() is not None
    await wait_until(lambda: worker.why_not_alive() is None, 20, "another turn of every claim loop")
