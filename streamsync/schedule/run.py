"""The scheduler: records ticks when they are due, carries open ones out. Any number may run.

Which of several records a slot is decided by a unique index; who carries a tick out, by its lease; that no
page is written twice, by the tick's position.
"""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Final

from streamsync.clock import Clock
from streamsync.config import Settings
from streamsync.errors import QueueUnavailable, StoreUnavailable
from streamsync.jobs import KINDS
from streamsync.log import get_logger
from streamsync.metrics import TICKS, UNAVAILABLE
from streamsync.queue.queue import Queue
from streamsync.schedule.cron import ticks_between
from streamsync.schedule.producer import Producer
from streamsync.store.pool import Database
from streamsync.store.ticks import Schedule, Ticks

#: How often due ticks and open ones are looked for: also the delay of a tick made by another program.
POLL_SECONDS: Final = 1.0

#: Most missed slots recorded one by one, for a schedule of every minute after a month's outage.
MAX_MISSED: Final = 1_000

#: A scheduler whose loop has not turned for this long is not alive; a tick of 100,000 tenants takes less.
SILENT_SECONDS: Final = 300.0

_log = get_logger("scheduler")


class Scheduler:
    """Runs cron schedules until stopped."""

    def __init__(
        self, settings: Settings, queue: Queue, database: Database, clock: Clock, *, name: str
    ) -> None:
        self.name = name
        self.last_pass_monotonic = clock.monotonic()
        self._settings = settings
        self._ticks = Ticks(database, name)
        self._producer = Producer(self._ticks, queue, settings, alive=self._turned)
        self._clock = clock
        self._stop = asyncio.Event()

    def _turned(self) -> None:
        self.last_pass_monotonic = self._clock.monotonic()

    def stop(self) -> None:
        """Stop after the page that is being written."""
        self._stop.set()

    def why_not_alive(self) -> str | None:
        """None while the loop turns."""
        silent = self._clock.monotonic() - self.last_pass_monotonic
        return f"no pass has ended for {silent:.0f} s" if silent > SILENT_SECONDS else None

    async def run(self) -> None:
        """Loop until stopped; survives both servers going away."""
        _log.info("scheduler started", worker=self.name)
        work = asyncio.ensure_future(self._loop())
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            while not work.done():
                # Until it is heard: the pool's waits use `wait_for`, which in Python 3.11 may lose it.
                work.cancel()
                await asyncio.wait({work}, timeout=1)
        if not work.cancelled() and (error := work.exception()) is not None:
            raise error
        _log.info("scheduler stopped", worker=self.name)

    async def _loop(self) -> None:
        known = False
        while True:
            try:
                if not known:
                    await self._put_schedules()
                    known = True
                await self.run_once()
            except (StoreUnavailable, QueueUnavailable) as error:
                UNAVAILABLE.labels(
                    server="postgresql" if isinstance(error, StoreUnavailable) else "redis"
                ).inc()
                _log.warning("scheduling waits", reason=str(error))
            self._turned()
            await asyncio.sleep(POLL_SECONDS * random.uniform(0.8, 1.0))  # noqa: S311 - spreads schedulers

    async def _put_schedules(self) -> None:
        for kind in KINDS:
            await self._ticks.put_schedule(kind, self._settings.cron(kind), self._settings.timezone)

    async def run_once(self) -> int:
        """Record due ticks, carry all open ones out; returns how many were carried out."""
        for schedule in await self._ticks.schedules():
            await self._record_due(schedule)
        done = 0
        while (tick_id := await self._ticks.lease_open_tick()) is not None:
            if await self._producer.run(tick_id) is None:
                break
            done += 1
        return done

    async def _record_due(self, schedule: Schedule) -> None:
        """Since the last recorded tick: the latest is run if it is young enough, the others were missed."""
        now = self._clock.now()
        due = list(ticks_between(schedule.cron, schedule.timezone, schedule.last_tick, now))
        if not due:
            return
        young = now - due[-1] <= timedelta(hours=self._settings.catch_up_hours)
        missed = due[:-1] if young else due
        for moment in missed[-MAX_MISSED:]:
            if await self._ticks.add_cron_tick(schedule.kind, moment, missed=True):
                TICKS.labels(kind=schedule.kind, result="missed").inc()
                _log.error("tick missed", kind=schedule.kind, scheduled_for=moment.isoformat())
        if young and await self._ticks.add_cron_tick(schedule.kind, due[-1], missed=False):
            TICKS.labels(kind=schedule.kind, result="recorded").inc()
