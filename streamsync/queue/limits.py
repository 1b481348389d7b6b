"""Limits over all workers: an exact sliding window in Redis, off unless a maximum is set."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from streamsync.queue.connection import call
from streamsync.queue.keys import limit_keys
from streamsync.queue.scripts import refill_permits, take_permits

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

    async def take(self, wanted: int) -> Grant:
        """Up to `wanted` permits, at once, perhaps none."""
        wanted = min(wanted, self._maximum)
        ids = [secrets.token_hex(6) for _ in range(wanted)]
        while True:
            granted, wait_ms, known = await take_permits(
                self._client, self._keys, maximum=self._maximum, window_ms=self._window_ms,
                ids=ids, ask=self._recall is not None,
            )  # fmt: skip
            if known or self._recall is None:
                return Grant(tuple(ids[:granted]), wait_ms)
            permits = await self._recall(self._window_ms)
            await refill_permits(self._client, self._keys, window_ms=self._window_ms, permits=permits)

    async def take_one(self) -> float:
        """Wait until a permit is there and take it; returns the seconds waited."""
        waited = 0.0
        while True:
            grant = await self.take(1)
            if grant.ids:
                return waited
            seconds = grant.wait_ms / 1000
            await asyncio.sleep(seconds)
            waited += seconds

    async def give_back(self, ids: Sequence[str]) -> None:
        """Return permits that were not used."""
        if ids:
            await call(self._client, "ZREM", self._keys[0], *ids)
