"""Partition.read: urgent first, never more than there is room for."""

from __future__ import annotations

import asyncio
import time

import pytest

from streamsync.queue.stream import BLOCK_MS, BLOCK_ONE_SLOT_MS
from tests.integration.queue.world import World, entries


async def test_urgent_entries_come_first(world: World) -> None:
    """Urgent entries are read before older ordinary ones, each stream in its order."""
    plain = [world.job(f"t{n}") for n in range(3)]
    urgent = [world.job(f"u{n}") for n in range(2)]
    await world.enqueue(*plain)
    await world.enqueue(*urgent, urgent=True)
    deliveries = await world.partition.read("w", 10)
    assert [d.job for d in deliveries] == urgent + plain
    assert [d.entry[0] for d in deliveries] == list("uusss")
    assert [d.body for d in deliveries] == [job.encode() for job in urgent + plain]
    assert await world.owners() == dict.fromkeys(entries(deliveries), "w")


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
async def test_never_more_than_asked_for(world: World, count: int) -> None:
    """With entries in both streams, COUNT bounds the sum, and the rest stays undelivered."""
    await world.enqueue(*(world.job(f"t{n}") for n in range(5)))
    await world.enqueue(*(world.job(f"u{n}") for n in range(2)), urgent=True)
    deliveries = await world.partition.read("w", count)
    assert [d.entry[0] for d in deliveries] == list("uusssss")[:count]
    assert (await world.partition.depths()).waiting == 7 - count


@pytest.mark.parametrize("count", [2, 3, 5])
async def test_a_blocking_read_takes_no_more_than_asked_for(world: World, count: int) -> None:
    """Entries that come into both streams while a read waits are not more than there is room for."""
    reader = asyncio.create_task(world.partition.read("w", count))
    await world.blocked()
    pipe = world.queue.client.pipeline(transaction=True)
    for n in range(10):
        for stream in (world.keys.stream, world.keys.urgent):
            pipe.xadd(stream, {"j": f"{n + 1} 1 customers t{n}"})
    await pipe.execute()
    deliveries = await reader
    assert 1 <= len(deliveries) <= count
    assert len(await world.owners()) == len(deliveries)


@pytest.mark.parametrize("urgent", [False, True])
async def test_a_waiting_read_is_woken(world: World, urgent: bool) -> None:
    """With two slots free, an entry of either stream ends the wait."""
    reader = asyncio.create_task(world.partition.read("w", 2))
    await world.blocked()
    job = world.job()
    await world.enqueue(job, urgent=urgent)
    async with asyncio.timeout(BLOCK_MS / 1000 - 0.5):
        assert [d.job for d in await reader] == [job]


async def test_one_free_slot_waits_for_ordinary_entries(world: World) -> None:
    """With one slot free, an ordinary entry ends the wait; an urgent one is read by the next call."""
    reader = asyncio.create_task(world.partition.read("w", 1))
    await world.blocked()
    urgent, plain = world.job("u"), world.job("s")
    await world.enqueue(urgent, urgent=True)
    await world.enqueue(plain)
    assert [d.job for d in await reader] == [plain]
    assert [d.job for d in await world.partition.read("w", 1)] == [urgent]


async def test_one_free_slot_waits_for_less_long(world: World) -> None:
    """With one slot free the wait is bounded, so that an urgent entry is seen in time."""
    start = time.monotonic()
    assert await world.partition.read("w", 1, block_ms=60_000) == []
    assert BLOCK_ONE_SLOT_MS / 1000 - 0.1 < time.monotonic() - start < BLOCK_ONE_SLOT_MS / 1000 + 1


@pytest.mark.parametrize(("count", "block_ms"), [(1, 0), (2, 0), (1, 20), (2, 20)])
async def test_nothing_to_read(world: World, count: int, block_ms: int) -> None:
    """An empty queue gives nothing, at once or after the wait."""
    assert await world.partition.read("w", count, block_ms=block_ms) == []


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"1 1 customers", b"0 1 customers t1", b"1 1 customers ../etc", b"x" * 5000]
)
async def test_an_unreadable_body_is_delivered_without_a_job(world: World, body: bytes) -> None:
    """Rubbish is delivered as it is, with no job, and does not stop the jobs behind it."""
    await world.raw("XADD", world.keys.stream, "*", "j", body)
    job = world.job()
    await world.enqueue(job)
    rubbish, good = await world.partition.read("w", 2)
    assert (rubbish.body, rubbish.job, good.job) == (body, None, job)


async def test_an_entry_with_other_fields(world: World) -> None:
    """An entry that has no body at all is unreadable; further fields do no harm."""
    await world.raw("XADD", world.keys.stream, "*", "what", "ever")
    await world.raw("XADD", world.keys.stream, "*", "a", "1", "j", "7 1 products t9", "z", "2")
    nothing, good = await world.partition.read("w", 2)
    assert (nothing.body, nothing.job) == (b"", None)
    assert good.body == b"7 1 products t9"


async def test_each_entry_has_one_reader(world: World) -> None:
    """Many workers that read at once share the entries without overlap."""
    jobs = [world.job(f"t{n}") for n in range(60)]
    await world.enqueue(*jobs[:30])
    await world.enqueue(*jobs[30:], urgent=True)
    queues = [await world.another() for _ in range(6)]
    found = await asyncio.gather(
        *(queue.partitions[0].read(f"w{n}", 12, block_ms=0) for n, queue in enumerate(queues))
    )
    assert sorted(d.job.job_id for some in found for d in some if d.job) == [job.job_id for job in jobs]


async def test_creating_the_group_again_changes_nothing(world: World) -> None:
    """create_group says whether anything was missing, and forgets nothing that is delivered."""
    [held] = await world.deliver("w", world.job())
    before = await world.everything()
    assert not await world.partition.create_group()
    assert await world.everything() == before
    await world.raw("DEL", world.keys.urgent)
    assert await world.partition.create_group()
    assert await world.owners() == {held.entry: "w"}


async def test_many_create_the_group_at_once(redis_url: str, world: World) -> None:
    """Workers that start together make the group once between them, and none fails."""
    await world.raw("FLUSHDB")
    queues = [await world.another() for _ in range(6)]
    created = await asyncio.gather(*(queue.partitions[0].create_group() for queue in queues))
    assert any(created)
    assert await world.partition.read("w", 1, block_ms=0) == []


async def test_a_group_made_again_starts_from_the_beginning(world: World) -> None:
    """Entries that were added before the group was made again are delivered."""
    jobs = [world.job("a"), world.job("b")]
    await world.raw("FLUSHDB")
    await world.enqueue(jobs[0])
    await world.enqueue(jobs[1], urgent=True)
    await world.partition.create_group()
    assert {d.job for d in await world.partition.read("w", 5)} == set(jobs)
