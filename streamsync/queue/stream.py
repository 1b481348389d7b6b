"""One partition of the queue as a worker sees it: reads, recovers, and what the scripts offer.

Blocking reads have a client of their own (`reader`), so that cancelling one cannot disturb a command of
the control client. After any failed or cancelled read the caller must `read_own()` before `read()`: a lost
reply leaves entries in the pending list that nobody saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from redis.asyncio import Redis

from streamsync.jobs import Job, UnreadableBody
from streamsync.queue.connection import COMMAND_TIMEOUT_SECONDS, call, command, run
from streamsync.queue.keys import GROUP, PartitionKeys
from streamsync.queue.scripts import Scripts

#: Well below the time limit of `run`, so that an idle read is never mistaken for a dead connection.
BLOCK_MS: Final = 2_000

#: While one slot is free only the stream can be waited for; urgent jobs are then seen this late at most.
BLOCK_ONE_SLOT_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """An entry delivered to this worker. `job` is None where the body could not be read."""

    entry: str
    body: bytes
    job: Job | None


@dataclass(slots=True)
class Sweep:
    """Where the XAUTOCLAIM sweep of each stream stands; it must survive between sweeps."""

    cursors: dict[str, bytes] = field(default_factory=lambda: {"s": b"0-0", "u": b"0-0"})


@dataclass(frozen=True, slots=True)
class Depths:
    """How many jobs are where. `waiting` is exact, because finished entries are deleted."""

    delayed: int
    waiting: int
    pending: int
    dead: int


class Partition:
    """One partition of the queue."""

    def __init__(self, client: Redis, reader: Redis, keys: PartitionKeys) -> None:
        self._client = client
        self._reader = reader
        self.keys = keys
        self.scripts = Scripts(client, keys)

    async def create_group(self) -> bool:
        """Make streams and group where they are missing, from the beginning; True if any was missing."""
        created = False
        for stream in (self.keys.stream, self.keys.urgent):
            try:
                await call(self._client, "XGROUP", "CREATE", stream, GROUP, "0", "MKSTREAM")
                created = True
            except Exception as error:
                if "BUSYGROUP" not in str(error):
                    raise
        return created

    async def read(self, consumer: str, count: int, *, block_ms: int = BLOCK_MS) -> list[Delivery]:
        """Up to `count` new entries, urgent ones first; waits up to `block_ms` when there are none.

        COUNT counts per stream, so the two are read one after the other, and a blocking read on both
        asks for half of the room in each.
        """
        entries = await self._read(consumer, count, 0, {"u": b">"})
        if len(entries) < count:
            entries += await self._read(consumer, count - len(entries), 0, {"s": b">"})
        if entries or block_ms <= 0:
            return entries
        if count >= 2:
            return await self._read(consumer, count // 2, block_ms, {"u": b">", "s": b">"})
        return await self._read(consumer, 1, min(block_ms, BLOCK_ONE_SLOT_MS), {"s": b">"})

    async def read_own(self, consumer: str) -> list[Delivery]:
        """Everything pending for this consumer, delivered before: what a lost reply may have hidden."""
        found: list[Delivery] = []
        for letter in ("u", "s"):
            after = b"0"
            while page := await self._read_page(consumer, 100, 0, {letter: after}):
                found += _deliveries(letter, [entry for _, entry in page])
                after = bytes(page[-1][1][0])
        return found

    async def _read(self, consumer: str, count: int, block_ms: int, ids: dict[str, bytes]) -> list[Delivery]:
        page = await self._read_page(consumer, count, block_ms, ids)
        return [delivery for letter, entry in page for delivery in _deliveries(letter, [entry])]

    async def _read_page(
        self, consumer: str, count: int, block_ms: int, ids: dict[str, bytes]
    ) -> list[tuple[str, Any]]:
        """XREADGROUP's entries as the client gives them, each with the letter of its stream."""
        streams = [self._stream(letter) for letter in ids]
        arguments: list[Any] = ["XREADGROUP", "GROUP", GROUP, consumer, "COUNT", count]
        if block_ms > 0:
            arguments += ["BLOCK", block_ms]
        arguments += ["STREAMS", *streams, *ids.values()]
        answer = await run(
            command(self._reader, *arguments),
            timeout_seconds=COMMAND_TIMEOUT_SECONDS + block_ms / 1000,
        )
        letters = dict(zip(streams, ids, strict=True))
        return [(letters[stream], entry) for stream, entries in _stream_items(answer) for entry in entries]

    async def recover(
        self, consumer: str, sweep: Sweep, *, idle_ms: int, count: int
    ) -> tuple[list[Delivery], list[str]]:
        """Take over entries whose worker has been silent for `idle_ms`.

        Returns what was taken, and the entries that Redis no longer holds although they were pending: the
        ledger must be asked about those.
        """
        taken: list[Delivery] = []
        vanished: list[str] = []
        for letter in ("u", "s"):
            room = count - len(taken)
            if room <= 0:
                break
            answer = await call(
                self._client, "XAUTOCLAIM", self._stream(letter), GROUP, consumer, idle_ms,
                sweep.cursors[letter], "COUNT", room,
            )  # fmt: skip
            cursor, entries = _autoclaim_page(answer)
            sweep.cursors[letter] = cursor
            taken += _deliveries(letter, entries)
            vanished += [letter + entry.decode() for entry in (answer[2] if len(answer) > 2 else [])]
        return taken, vanished

    async def wait_for_wake(self, timeout_seconds: float) -> None:
        """Sleep until a token says that an earlier due time has come in, or the time is up."""
        await run(
            command(self._reader, "BLPOP", self.keys.wake, f"{max(timeout_seconds, 0.01):.3f}"),
            timeout_seconds=COMMAND_TIMEOUT_SECONDS + timeout_seconds,
        )

    async def wait_for_entries(self, timeout_ms: int) -> bool:
        """Wait, claiming nothing, until an undelivered entry is there. For workers under a limit."""
        if await self._undelivered() > 0:
            return True
        answer = await run(
            command(
                self._reader,
                "XREAD", "COUNT", 1, "BLOCK", timeout_ms, "STREAMS",
                self.keys.stream, self.keys.urgent, "$", "$",
            ),
            timeout_seconds=COMMAND_TIMEOUT_SECONDS + timeout_ms / 1000,
        )  # fmt: skip
        return bool(answer)

    async def _undelivered(self) -> int:
        return (await self.depths()).waiting

    async def depths(self) -> Depths:
        """Count what waits, runs and died. Exact: XLEN minus pending, not the group's lag."""
        pipe = self._client.pipeline(transaction=True)
        pipe.execute_command("ZCARD", self.keys.delayed)
        for stream in (self.keys.stream, self.keys.urgent):
            pipe.execute_command("XLEN", stream)
            pipe.execute_command("XPENDING", stream, GROUP)
        pipe.execute_command("XLEN", self.keys.dead)
        delayed, length, pending, urgent_length, urgent_pending, dead = await run(pipe.execute())
        running = _pending_count(pending) + _pending_count(urgent_pending)
        return Depths(int(delayed), int(length) + int(urgent_length) - running, running, int(dead))

    async def remove_gone_consumers(self, *, gone_ms: int) -> int:
        """Remove consumers that own nothing and have been silent for `gone_ms`; returns their number."""
        removed = 0
        for stream in (self.keys.stream, self.keys.urgent):
            for info in await call(self._client, "XINFO", "CONSUMERS", stream, GROUP):
                name = _field(info, b"name").decode()
                if int(_field(info, b"pending")) == 0 and int(_field(info, b"idle")) >= gone_ms:
                    removed += await self.scripts.remove_consumer(stream, name, gone_ms)
        return removed

    def _stream(self, letter: str) -> bytes:
        return self.keys.urgent if letter == "u" else self.keys.stream


def _stream_items(answer: Any) -> list[tuple[bytes, Any]]:
    """XREADGROUP's answer as (stream, entries) pairs; redis-py turns it into a dict on some protocols."""
    if not answer:
        return []
    return list(answer.items()) if isinstance(answer, dict) else [(item[0], item[1]) for item in answer]


def _autoclaim_page(answer: Any) -> tuple[bytes, Any]:
    return bytes(answer[0]), answer[1]


def _deliveries(letter: str, entries: Any) -> list[Delivery]:
    found = []
    for entry_id, fields in entries:
        if not fields:  # deleted while pending: Redis lists the id alone, redis-py makes that an empty dict
            continue
        pairs = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
        body = bytes(pairs.get(b"j", b""))
        try:
            job: Job | None = Job.decode(body)
        except UnreadableBody:
            job = None
        found.append(Delivery(letter + bytes(entry_id).decode(), body, job))
    return found


def _pending_count(answer: Any) -> int:
    return int(answer["pending"] if isinstance(answer, dict) else answer[0])


def _field(info: Sequence[Any] | dict[Any, Any], name: bytes) -> Any:
    if isinstance(info, dict):
        return info.get(name, info.get(name.decode()))
    return info[list(info).index(name) + 1]
