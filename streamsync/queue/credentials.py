"""The lock per ERP credential: one job at a time uses a user of an ERP, whichever tenants share it.

It is taken while the tenant lock is held and never waited for: a job that finds it busy goes back.
"""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis

from streamsync.queue.keys import credential_key
from streamsync.queue.scripts import (
    Code,
    CredentialHeld,
    lock_credentials,
    release_credentials,
    renew_credentials,
)


class CredentialLocks:
    """The credential locks of a queue. All partitions share them, and one hash tag."""

    def __init__(self, client: Redis, queue: str) -> None:
        self._client = client
        self._queue = queue

    def _keys(self, held: Sequence[CredentialHeld]) -> list[bytes]:
        return [credential_key(self._queue, item.credential_id) for item in held]

    async def take(self, held: Sequence[CredentialHeld], ttl_ms: int) -> list[bool]:
        """Which of these got their credential; the others found it in use. Raises QueueUnavailable."""
        if not held:
            return []
        codes = await lock_credentials(self._client, self._keys(held), held, ttl_ms)
        return [code is Code.DONE for code in codes]

    async def renew(self, held: Sequence[CredentialHeld], ttl_ms: int) -> list[Code]:
        """One beat: DONE, TAKEN_AGAIN or LOST per credential. Raises QueueUnavailable."""
        if not held:
            return []
        return await renew_credentials(self._client, self._keys(held), held, ttl_ms)

    async def release(self, held: Sequence[CredentialHeld]) -> list[Code]:
        """Give back: DONE, NOTHING (gone already) or LOST (another's) per credential. Raises QueueUnavailable."""
        if not held:
            return []
        return await release_credentials(self._client, self._keys(held), held)
