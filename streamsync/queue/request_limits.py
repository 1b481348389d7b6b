"""The limits on ERP requests: over all hosts, and for each host, under any number of workers."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from streamsync.errors import QueueUnavailable
from streamsync.metrics import LIMIT_WAIT_SECONDS
from streamsync.queue.keys import limit_keys
from streamsync.queue.scripts import Window, take_from_all

#: Questions under way at once in one process: hundreds of syncs may ask, and each takes a connection.
_ASKING: Final = 16

#: Between two questions while Redis is away.
_REDIS_AWAY_WAIT_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `maximum` requests in any window of `window_ms`."""

    maximum: int
    window_ms: int


class RequestLimits:
    """Permits for single requests, each of both limits at once.

    Taken one after the other, a permit would grow old while the other limit is waited for: a busy host would
    eat permits that other hosts could use, and requests released together would be more than a window allows.
    A window that Redis forgot counts as spent; so does that of a host never asked before.
    """

    def __init__(self, client: Redis, queue: str, *, overall: Rate | None, per_host: Rate | None) -> None:
        self._client = client
        self._queue = queue
        self._rates = [
            (name, rate) for name, rate in (("requests", overall), ("host_requests", per_host)) if rate
        ]
        self._asking = asyncio.Semaphore(_ASKING)

    async def take(self, host: str) -> None:
        """Wait until one request to this host may be sent. Waits for Redis, too, as long as it takes: while it
        is away nobody knows how much of a window is spent. Time waited is counted by the limit that caused it."""
        windows = [
            Window(
                limit_keys(self._queue, f"requests:{host}" if name == "host_requests" else name),
                rate.maximum,
                rate.window_ms,
            )
            for name, rate in self._rates
        ]
        clock = asyncio.get_running_loop().time
        permit = secrets.token_hex(6)
        while windows:
            began = clock()
            try:
                async with self._asking:
                    taken, wait_ms, place = await take_from_all(self._client, windows, permit)
            except QueueUnavailable:
                taken, wait_ms, place = False, int(_REDIS_AWAY_WAIT_SECONDS * 1000), 0
            if taken:
                return
            try:
                await asyncio.sleep(wait_ms / 1000)
            finally:
                cause = self._rates[place - 1][0] if place else "redis_away"
                LIMIT_WAIT_SECONDS.labels(limit=cause).inc(clock() - began)
