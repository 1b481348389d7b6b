"""Loads `lua/` and calls it: one typed method per script, so that a caller cannot swap two arguments."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from streamsync.queue.connection import call
from streamsync.queue.keys import GROUP, PartitionKeys
from streamsync.resources import lua_dir


class Code(IntEnum):
    """What a script did with an entry."""

    LOST = -1  #: not ours any more; nothing was touched
    NOTHING = 0  #: busy (lock), or gone already (finish, dead)
    DONE = 1
    TAKEN_AGAIN = 2  #: heartbeat found no lock and took it again: Redis forgot


@dataclass(frozen=True, slots=True)
class Held:
    """An entry as its worker holds it. `claim` is empty where the tenant lock was never taken."""

    entry: str
    claim: str
    tenant_id: str


@dataclass(frozen=True, slots=True)
class CredentialHeld:
    """A credential as its job holds it. The fence names the claim: each claim of a tenant raises it."""

    credential_id: str
    partition: int
    entry: str
    fence: int

    @property
    def owner(self) -> str:
        """The entry, by a name that no other partition has."""
        return f"{self.partition}:{self.entry}"


@cache
def _source(name: str) -> tuple[str, str]:
    text = (lua_dir() / f"{name}.lua").read_text(encoding="utf-8")
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


async def _eval(client: Redis, name: str, keys: Sequence[bytes], args: Sequence[Any]) -> Any:
    """EVALSHA, and EVAL where the server does not know the script (restart, failover, SCRIPT FLUSH)."""
    text, sha = _source(name)
    try:
        return await call(client, "EVALSHA", sha, len(keys), *keys, *args)
    except NoScriptError:
        return await call(client, "EVAL", text, len(keys), *keys, *args)


@dataclass(frozen=True, slots=True)
class Scripts:
    """The scripts on one partition."""

    client: Redis
    keys: PartitionKeys

    def _locks(self, held: Sequence[Held]) -> list[bytes]:
        return [self.keys.lock(item.tenant_id) for item in held]

    async def schedule(
        self, jobs: Sequence[tuple[int, bytes]], *, urgent: bool = False, move_forward: bool = False
    ) -> int:
        """Add (due ms, body) pairs that are not there yet; returns how many were added."""
        args = [value for pair in jobs for value in pair]
        mode = "LT" if move_forward else "NX"
        keys = (self.keys.delayed, self.keys.wake)
        return int(await _eval(self.client, "schedule", keys, [mode, int(urgent), *args]))

    async def promote(self, limit: int) -> tuple[int, int]:
        """Move at most `limit` due jobs; returns (moved, ms until the next is due; -1: none waits)."""
        keys = (self.keys.delayed, self.keys.stream, self.keys.urgent)
        moved, wait_ms = await _eval(self.client, "promote", keys, [limit])
        return int(moved), int(wait_ms)

    async def lock(self, consumer: str, held: Sequence[Held], ttl_ms: int) -> list[Code]:
        """Take the tenant locks: DONE, NOTHING (busy) or LOST per entry."""
        keys = (self.keys.stream, self.keys.urgent, *self._locks(held))
        args = [value for item in held for value in (item.entry, item.claim)]
        return _codes(await _eval(self.client, "lock", keys, [GROUP, consumer, ttl_ms, *args]))

    async def heartbeat(self, consumer: str, held: Sequence[Held], ttl_ms: int) -> list[Code]:
        """Renew locks and reset idle times: DONE, TAKEN_AGAIN or LOST per entry."""
        keys = (self.keys.stream, self.keys.urgent, *self._locks(held))
        args = [value for item in held for value in (item.entry, item.claim)]
        return _codes(await _eval(self.client, "heartbeat", keys, [GROUP, consumer, ttl_ms, *args]))

    async def finish(self, consumer: str, held: Sequence[Held]) -> list[Code]:
        """Acknowledge, delete and unlock: DONE, NOTHING (gone already) or LOST per entry."""
        keys = (self.keys.stream, self.keys.urgent, *self._locks(held))
        args = [value for item in held for value in (item.entry, item.claim)]
        return _codes(await _eval(self.client, "finish", keys, [GROUP, consumer, *args]))

    async def reschedule(self, consumer: str, jobs: Sequence[tuple[Held, int, bytes]]) -> list[Code]:
        """Put (entry, delay ms, body) back into the delayed set: DONE or LOST per entry."""
        locks = self._locks([held for held, _, _ in jobs])
        keys = (self.keys.delayed, self.keys.wake, self.keys.stream, self.keys.urgent, *locks)
        args = [value for held, delay, body in jobs for value in (held.entry, held.claim, delay, body)]
        return _codes(await _eval(self.client, "reschedule", keys, [GROUP, consumer, *args]))

    async def dead(self, consumer: str, jobs: Sequence[tuple[Held, bytes, str]], keep_ms: int) -> list[Code]:
        """Move (entry, body, error class) to the dead feed: DONE, NOTHING (gone already) or LOST per entry."""
        locks = self._locks([held for held, _, _ in jobs])
        keys = (self.keys.stream, self.keys.urgent, self.keys.dead, *locks)
        args = [value for held, body, why in jobs for value in (held.entry, held.claim, body, why)]
        return _codes(await _eval(self.client, "dead", keys, [GROUP, consumer, keep_ms, *args]))

    async def remove_consumer(self, stream: bytes, consumer: str, gone_ms: int) -> bool:
        """Remove a consumer that has been silent for `gone_ms` and owns nothing."""
        return bool(await _eval(self.client, "remove_consumer", (stream,), [GROUP, consumer, gone_ms]))


async def take_permits(
    client: Redis, keys: tuple[bytes, bytes], *, maximum: int, window_ms: int, ids: Sequence[str], ask: bool
) -> tuple[int, int, bool]:
    """Take permits of a sliding window; returns (granted, ms until the next, known)."""
    unknown = "ask" if ask else "spent"
    granted, wait_ms, known = await _eval(client, "limit", keys, [maximum, window_ms, unknown, *ids])
    return int(granted), int(wait_ms), bool(known)


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window: its keys, and how many permits any window of that length may hold."""

    keys: tuple[bytes, bytes]
    maximum: int
    window_ms: int


async def take_from_all(client: Redis, windows: Sequence[Window], permit: str) -> tuple[bool, int, int]:
    """Take one permit of every window or none; returns (taken, ms until the slowest has room, its place from 1)."""
    keys = [key for window in windows for key in window.keys]
    args = [value for window in windows for value in (window.maximum, window.window_ms)]
    taken, wait_ms, place = await _eval(client, "limit_all", keys, [permit, *args])
    return bool(taken), int(wait_ms), int(place)


async def refill_permits(
    client: Redis, keys: tuple[bytes, bytes], *, window_ms: int, permits: Sequence[tuple[str, int]]
) -> bool:
    """Tell a forgotten window of (id, age ms) permits; False if another worker was first."""
    args = [value for pair in permits for value in pair]
    return bool(await _eval(client, "limit_refill", keys, [window_ms, *args]))


async def lock_credentials(
    client: Redis, keys: Sequence[bytes], held: Sequence[CredentialHeld], ttl_ms: int
) -> list[Code]:
    """Take credentials: DONE or NOTHING (busy) per job."""
    args = [value for item in held for value in (item.owner, item.fence)]
    return _codes(await _eval(client, "credential_lock", keys, [ttl_ms, *args]))


async def renew_credentials(
    client: Redis, keys: Sequence[bytes], held: Sequence[CredentialHeld], ttl_ms: int
) -> list[Code]:
    """Renew credentials: DONE, TAKEN_AGAIN or LOST per job."""
    args = [value for item in held for value in (item.owner, item.fence)]
    return _codes(await _eval(client, "credential_renew", keys, [ttl_ms, *args]))


async def release_credentials(
    client: Redis, keys: Sequence[bytes], held: Sequence[CredentialHeld]
) -> list[Code]:
    """Give credentials back: DONE, NOTHING (gone already) or LOST (another's) per job."""
    args = [value for item in held for value in (item.owner, item.fence)]
    return _codes(await _eval(client, "credential_release", keys, args))


def _codes(answer: Sequence[Any]) -> list[Code]:
    return [Code(int(value)) for value in answer]
