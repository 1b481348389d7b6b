"""Carries a tick out: pages the active tenants, writes the ledger, tells Redis.

Per page one transaction (jobs and the tick's position) and one round trip to Redis. A producer that dies in
between is continued: what the ledger holds beyond `dispatched_tenant_id` is told to Redis again, which adds
only what it does not have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from streamsync.config import Settings
from streamsync.errors import QueueUnavailable
from streamsync.log import get_logger
from streamsync.metrics import TICK_TENANTS, TICKS
from streamsync.queue.queue import Queue
from streamsync.schedule.jitter import offset_ms
from streamsync.store.ticks import PositionMoved, Tick, Ticks, Written

#: Tenants per page.
PAGE: Final = 100

_log = get_logger("producer")


@dataclass(frozen=True, slots=True)
class Produced:
    """What a tick came to."""

    tenants: int
    created: int
    coalesced: int


class Producer:
    """Runs ticks. `alive` is called after each page and while Redis is away."""

    def __init__(
        self,
        ticks: Ticks,
        queue: Queue,
        settings: Settings,
        *,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._ticks = ticks
        self._queue = queue
        self._settings = settings
        self._alive = alive

    async def run(self, tick_id: int) -> Produced | None:
        """Carry one tick out, from where it stands. None if another producer has taken it on.

        Raises StoreUnavailable; the tick stays open and is taken up again when its lease is over. While
        Redis is away the tick waits: what is written is not lost.
        """
        tick = await self._ticks.get(tick_id)
        if tick.done_at is not None:
            return None
        try:
            produced = await self._run(tick)
        except PositionMoved:
            _log.info("tick taken on by another producer", tick_id=tick_id, kind=tick.kind)
            return None
        TICKS.labels(kind=tick.kind, result="done").inc()
        _log.info(
            "tick done", tick_id=tick_id, kind=tick.kind, tenants=produced.tenants,
            jobs=produced.created, coalesced=produced.coalesced,
        )  # fmt: skip
        return produced

    async def _run(self, tick: Tick) -> Produced:
        await self._dispatch(tick, await self._ticks.undispatched(tick))
        position = tick.last_tenant_id
        tenants = created = 0
        while page := await self._ticks.page_tenants(tick, position, PAGE):
            due = [(tenant_id, self._due_at(tick, tenant_id)) for tenant_id in page]
            written = await self._ticks.write_page(tick, after=position, dispatched=position, due=due)
            await self._dispatch(tick, written)
            position = page[-1]
            tenants += len(page)
            new = sum(item.created for item in written)
            created += new
            TICK_TENANTS.labels(kind=tick.kind, result="created").inc(new)
            TICK_TENANTS.labels(kind=tick.kind, result="coalesced").inc(len(page) - new)
            self._alive()
            if len(page) < PAGE:
                break
        await self._ticks.finish(tick.tick_id)
        return Produced(tenants, created, tenants - created)

    def _due_at(self, tick: Tick, tenant_id: str) -> datetime:
        if tick.urgent:
            return tick.scheduled_for
        settings = self._settings
        offset = offset_ms(
            tick.kind, tenant_id,
            window_ms=settings.delay_window_ms(tick.kind),
            step_ms=settings.delay_step_ms(tick.kind),
            salt=settings.jitter_salt,
        )  # fmt: skip
        return tick.scheduled_for + timedelta(milliseconds=offset)

    async def _dispatch(self, tick: Tick, written: list[Written]) -> None:
        """Tell Redis. A job that waited already is there, and moves only where the tick is urgent."""
        jobs = [
            (int(item.due_at.timestamp() * 1000), item.job) for item in written if item.created or tick.urgent
        ]
        delay_seconds = 0.1
        while jobs:
            try:
                await self._queue.schedule(jobs, urgent=tick.urgent, move_forward=tick.urgent)
                return
            except QueueUnavailable as error:
                self._alive()
                _log.warning("dispatch waits", tick_id=tick.tick_id, kind=tick.kind, reason=str(error))
                await asyncio.sleep(delay_seconds)
                delay_seconds = min(delay_seconds * 2, 5.0)
