"""The slots of a worker and the jobs that hold them. State only; the loops around it act on it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from streamsync.jobs import Job
from streamsync.queue.scripts import CredentialHeld, Held
from streamsync.queue.stream import Partition


class Stop(Enum):
    """Why a running job's task was told to stop at once."""

    LOST = "lost"
    CREDENTIAL = "credential"  #: another job uses its ERP user: Redis had forgotten who did
    SHUTDOWN = "shutdown"


@dataclass(slots=True, eq=False)
class Holding:
    """A delivered entry that this worker holds, from the lock until its outcome has been acknowledged."""

    partition: Partition
    held: Held
    job: Job
    body: bytes
    task: asyncio.Task[None] | None = None
    stop: Stop | None = None
    #: From the lock until its end is told to Redis: while the heartbeat keeps lock and entry.
    beating: bool = False
    #: The user of an ERP that this job, and no other, may use now.
    credential: CredentialHeld | None = None

    def lose(self, why: Stop = Stop.LOST) -> None:
        """Stop at once. LOST: a newer claim exists, write nothing; CREDENTIAL: hand the job back."""
        self.stop = why
        if self.task is not None:
            self.task.cancel()


@dataclass(slots=True)
class Slots:
    """At most `size` entries at a time."""

    size: int
    holdings: dict[tuple[bytes, str], Holding] = field(default_factory=dict)
    _freed: asyncio.Event = field(default_factory=asyncio.Event)

    #: Held while a beat is under way: a beat that arrived after its entry's end would lock the tenant again.
    beat: asyncio.Lock = field(default_factory=asyncio.Lock)
    _reserved: int = 0

    @property
    def free(self) -> int:
        return max(self.size - len(self.holdings) - self._reserved, 0)

    @contextmanager
    def reserve(self, count: int) -> Iterator[None]:
        """Keep slots for what is about to be read, so that two claim loops cannot fill the same ones."""
        self._reserved += count
        try:
            yield
        finally:
            self._reserved -= count
            self._freed.set()

    async def silence(self, holdings: Iterable[Holding]) -> None:
        """End the heartbeat of these, and wait for a beat that is under way."""
        for holding in holdings:
            holding.beating = False
        async with self.beat:
            pass

    def holds(self, partition: Partition, entry: str) -> bool:
        """Whether this worker is already dealing with that entry."""
        return (partition.keys.stream, entry) in self.holdings

    def add(self, holding: Holding) -> None:
        """Take a slot."""
        self.holdings[(holding.partition.keys.stream, holding.held.entry)] = holding

    def remove(self, holding: Holding) -> None:
        """Free a slot."""
        self.holdings.pop((holding.partition.keys.stream, holding.held.entry), None)
        self._freed.set()

    def of(self, partition: Partition) -> list[Holding]:
        """What is held of one partition."""
        return [holding for holding in self.holdings.values() if holding.partition is partition]

    async def wait_free(self) -> None:
        """Wait until a slot is free."""
        while self.free <= 0:
            self._freed.clear()
            await self._freed.wait()

    async def wait_empty(self) -> None:
        """Wait until nothing is held."""
        while self.holdings:
            self._freed.clear()
            await self._freed.wait()
