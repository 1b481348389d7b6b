"""Limits over all workers: an exact sliding window in Redis, off unless a maximum is set.

Those on requests, of which several hold at once, are in `request_limits.py`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from streamsync.queue.connection import call
from streamsync.queue.keys import limit_keys
from streamsync.queue.scripts import refill_permits, take_permits

#: Questions under way at once, per limit and process.
_ASKING: Final = 16

#: Tells what the ledger knows of a forgotten window: (permit id, age in ms) of each start in it.
Recall = Callable[[int], Awaitable[Sequence[tuple[str, int]]]]


@dataclass(frozen=True, slots=True)
class Grant:
    """Permits taken. `wait_ms` is the time until the next one where fewer than asked were given."""

    ids: tuple[str, ...]
    wait_ms: int


class Limit:
    """At most `maximum` permits in any window of `window_ms`, under any number of workers.

    Without `recall`, a window that Redis forgot counts as spent; with it, the ledger fills it in again.
    """

    def __init__(
        self,
        client: Redis,
        queue: str,
        name: str,
        *,
        maximum: int,
        window_ms: int,
        recall: Recall | None = None,
    ) -> None:
        self._client = client
        self._keys = limit_keys(queue, name)
        self._maximum = maximum
        self._window_ms = window_ms
        self._recall = recall
        # Hundreds of syncs may ask at once; each question takes a connection.
        self._asking = asyncio.Semaphore(_ASKING)

    async def take(self, wanted: int) -> Grant:
        """Up to `wanted` permits, at once, perhaps none."""
        wanted = min(wanted, self._maximum)
        ids = [secrets.token_hex(6) for _ in range(wanted)]
        while True:
            async with self._asking:
                granted, wait_ms, known = await take_permits(
                    self._client, self._keys, maximum=self._maximum, window_ms=self._window_ms,
                    ids=ids, ask=self._recall is not None,
                )  # fmt: skip
            if known or self._recall is None:
                return Grant(tuple(ids[:granted]), wait_ms)
            permits = await self._recall(self._window_ms)
            await refill_permits(self._client, self._keys, window_ms=self._window_ms, permits=permits)

    async def give_back(self, ids: Sequence[str]) -> None:
        """Return permits that were not used."""
        if ids:
            await call(self._client, "ZREM", self._keys[0], *ids)
