"""The queue as a whole: its partitions, and which of them a tenant belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType

from streamsync.jobs import Job, partition_of
from streamsync.queue.connection import call, connect
from streamsync.queue.credentials import CredentialLocks
from streamsync.queue.keys import PartitionKeys
from streamsync.queue.stream import Depths, Partition


class Queue:
    """All of Redis that streamsync uses. Open it with `async with Queue(url, name, partitions)`."""

    def __init__(self, url: str, name: str, partitions: int) -> None:
        self.name = name
        self.client = connect(url)
        self.credentials = CredentialLocks(self.client, name)
        # A blocking read and a wait for a wake-up per partition, each on a connection of its own.
        self._reader = connect(url, max_connections=2 * partitions + 16)
        self.partitions: Sequence[Partition] = [
            Partition(self.client, self._reader, PartitionKeys(name, number)) for number in range(partitions)
        ]

    async def __aenter__(self) -> Queue:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.aclose()
        await self._reader.aclose()

    def partition(self, tenant_id: str) -> Partition:
        """The partition that a tenant belongs to."""
        return self.partitions[partition_of(tenant_id, len(self.partitions))]

    async def schedule(
        self, jobs: Iterable[tuple[int, Job]], *, urgent: bool = False, move_forward: bool = False
    ) -> int:
        """Put (due ms of the epoch, job) pairs into the delayed sets, one call per partition concerned.

        A job that is there already stays as it is, or, with `move_forward`, gets the earlier due time.
        Returns how many were added.
        """
        by_partition: dict[int, list[tuple[int, bytes]]] = {}
        for due_ms, job in jobs:
            number = partition_of(job.tenant_id, len(self.partitions))
            by_partition.setdefault(number, []).append((due_ms, job.encode()))
        added = 0
        for number, pairs in by_partition.items():
            scripts = self.partitions[number].scripts
            added += await scripts.schedule(pairs, urgent=urgent, move_forward=move_forward)
        return added

    async def depths(self) -> Depths:
        """The sum over all partitions."""
        parts = [await partition.depths() for partition in self.partitions]
        return Depths(
            sum(part.delayed for part in parts),
            sum(part.waiting for part in parts),
            sum(part.pending for part in parts),
            sum(part.dead for part in parts),
        )

    async def key_names(self) -> list[str]:
        """All keys of this queue, by SCAN: for checks after a run, not for a busy server."""
        names: set[str] = set()
        cursor = b"0"
        while True:
            cursor, page = await call(
                self.client, "SCAN", cursor, "MATCH", f"streamsync:{{{self.name}*", "COUNT", 1000
            )
            names.update(bytes(name).decode() for name in page)
            if int(cursor) == 0:
                return sorted(names)

    async def ping(self) -> None:
        """Raise QueueUnavailable unless Redis answers."""
        await call(self.client, "PING")

    async def eviction_policy(self) -> str | None:
        """The server's `maxmemory-policy`, None where the server hides it."""
        answer = await call(self.client, "INFO", "memory")
        policy = answer.get("maxmemory_policy") if isinstance(answer, dict) else None
        return str(policy) if policy is not None else None
