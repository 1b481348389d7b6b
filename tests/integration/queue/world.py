"""One partition on the real server, and short ways to bring it into a wanted state."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from streamsync.jobs import Job
from streamsync.queue.connection import call
from streamsync.queue.keys import GROUP, PartitionKeys
from streamsync.queue.queue import Queue
from streamsync.queue.scripts import Code, Held, Scripts
from streamsync.queue.stream import Delivery, Partition
from tests.support import wait_until

#: A time to live that no test outlasts.
TTL_MS = 60_000

#: How long the dead feed keeps an entry.
KEEP_MS = 86_400_000


@dataclass
class World:
    """A queue of one partition, and a second client's view of it."""

    queue: Queue
    url: str
    stack: AsyncExitStack
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def partition(self) -> Partition:
        """The partition under test."""
        return self.queue.partitions[0]

    @property
    def scripts(self) -> Scripts:
        """Its scripts."""
        return self.partition.scripts

    @property
    def keys(self) -> PartitionKeys:
        """Its keys."""
        return self.partition.keys

    async def another(self) -> Queue:
        """The same queue as another process sees it: with connections of its own."""
        return await self.stack.enter_async_context(Queue(self.url, self.queue.name, 1))

    async def raw(self, *arguments: Any) -> Any:
        """A plain command."""
        return await call(self.queue.client, *arguments)

    async def now_ms(self) -> int:
        """Redis' clock."""
        seconds, micros = await self.raw("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def job(self, tenant_id: str = "t1") -> Job:
        """A job that no other is equal to."""
        return Job(next(self._ids), 1, "customers", tenant_id)

    async def enqueue(self, *jobs: Job, urgent: bool = False) -> None:
        """Schedule and promote, in the order given: each job is an undelivered entry then."""
        for job in jobs:
            await self.scripts.schedule([(0, job.encode())], urgent=urgent)
            await self.scripts.promote(1)

    async def deliver(self, consumer: str, *jobs: Job, urgent: bool = False) -> list[Held]:
        """Enqueue and read: each job is pending for `consumer` then. Claims are `c1`, `c2` …"""
        await self.enqueue(*jobs, urgent=urgent)
        deliveries = await self.partition.read(consumer, len(jobs), block_ms=0)
        return [
            Held(delivery.entry, f"c{number}", job.tenant_id)
            for number, (delivery, job) in enumerate(zip(deliveries, jobs, strict=True), 1)
        ]

    async def lock(self, consumer: str, *jobs: Job, urgent: bool = False) -> list[Held]:
        """Enqueue, read and lock: each job runs on `consumer` then."""
        held = await self.deliver(consumer, *jobs, urgent=urgent)
        assert await self.scripts.lock(consumer, held, TTL_MS) == [Code.DONE] * len(held)
        return held

    async def take_over(self, consumer: str, held: Held) -> None:
        """Make an entry another consumer's, as a recovery does."""
        await self._claim(held.entry, consumer, 0)

    async def make_idle(self, entry: str, idle_ms: int) -> None:
        """Let an entry's owner have been silent for so long."""
        await self._claim(entry, (await self.owners())[entry], idle_ms)

    async def _claim(self, entry: str, consumer: str, idle_ms: int) -> None:
        stream = self.stream_of(entry)
        await self.queue.client.xclaim(stream, GROUP, consumer, 0, [entry[1:]], idle=idle_ms, justid=True)

    async def pending_of(self, stream: bytes, entry_id: str) -> list[list[Any]]:
        """[id, consumer, idle ms, deliveries] of one entry, or nothing."""
        return await self._pending(stream, entry_id, entry_id)

    async def _pending(self, stream: bytes, first: str, last: str) -> list[list[Any]]:
        reply = self.queue.client.xpending_range(stream, GROUP, first, last, 100_000)
        return [list(item.values()) for item in await reply]

    def stream_of(self, entry: str) -> bytes:
        """The stream that an entry's name speaks of."""
        return self.keys.urgent if entry.startswith("u") else self.keys.stream

    async def lock_value(self, tenant_id: str = "t1") -> str | None:
        """What the tenant's lock says."""
        value = await self.raw("GET", self.keys.lock(tenant_id))
        return None if value is None else value.decode()

    async def delayed(self) -> dict[bytes, float]:
        """The delayed set."""
        return dict(_pairs(await self.raw("ZRANGE", self.keys.delayed, 0, -1, "WITHSCORES")))

    async def tokens(self) -> int:
        """Wake tokens there are."""
        return int(await self.raw("LLEN", self.keys.wake))

    async def bodies(self, stream: bytes) -> list[bytes]:
        """Bodies of a stream's entries, oldest first."""
        return [fields[b"j"] for _, fields in await self.raw("XRANGE", stream, "-", "+")]

    async def owners(self) -> dict[str, str]:
        """Entry → consumer, of all that is pending."""
        found = {}
        for letter, stream in (("u", self.keys.urgent), ("s", self.keys.stream)):
            if not await self.raw("EXISTS", stream) or not await self.raw("XINFO", "GROUPS", stream):
                continue
            for entry_id, owner, *_ in await self._pending(stream, "-", "+"):
                found[letter + entry_id.decode()] = owner.decode()
        return found

    async def blocked(self) -> None:
        """Wait until some client waits in a blocking command."""

        async def waiting() -> bool:
            return int((await self.queue.client.info("clients"))["blocked_clients"]) > 0

        await wait_until(waiting, 5, "a client to block")

    async def everything(self) -> dict[str, Any]:
        """All there is in the database but for times: equal before and after a call that touches nothing."""
        found: dict[str, Any] = {"owners": await self.owners()}
        for key in sorted(await self.raw("KEYS", "*")):
            kind = await self.raw("TYPE", key)
            read = {
                b"string": ("GET", key),
                b"list": ("LRANGE", key, 0, -1),
                b"zset": ("ZRANGE", key, 0, -1, "WITHSCORES"),
                b"stream": ("XRANGE", key, "-", "+"),
            }[kind]
            found[key.decode()] = await self.raw(*read)
        return found


def _pairs(answer: Sequence[Any]) -> list[tuple[bytes, float]]:
    if answer and isinstance(answer[0], bytes):
        answer = list(zip(answer[::2], answer[1::2], strict=True))
    return [(bytes(member), float(score)) for member, score in answer]


@pytest.fixture
async def world(redis_url: str) -> AsyncIterator[World]:
    """An empty queue whose consumer group exists."""
    async with AsyncExitStack() as stack:
        queue = await stack.enter_async_context(Queue(redis_url, "test", 1))
        await queue.partitions[0].create_group()
        yield World(queue, redis_url, stack)


def entries(deliveries: Sequence[Delivery]) -> list[str]:
    """Names of delivered entries."""
    return [delivery.entry for delivery in deliveries]
