"""remove_consumer.lua: forgets consumers that own nothing."""

from __future__ import annotations

import asyncio

import pytest

from streamsync.queue.connection import GroupMissing
from streamsync.queue.keys import GROUP
from tests.integration.queue.world import World
from tests.support import wait_until


async def consumers(world: World) -> set[str]:
    """The consumers of the ordinary stream."""
    return {
        info["name"].decode() for info in await world.queue.client.xinfo_consumers(world.keys.stream, GROUP)
    }


async def create(world: World, *names: str) -> None:
    """Consumers of both streams that own nothing. (Redis 7.0 does not make one for a read that finds nothing.)"""
    for name in names:
        for stream in (world.keys.stream, world.keys.urgent):
            await world.raw("XGROUP", "CREATECONSUMER", stream, GROUP, name)


async def test_a_consumer_that_owns_nothing_goes(world: World) -> None:
    """A silent consumer without entries is removed, others stay."""
    await create(world, "w1", "w2")
    assert await world.scripts.remove_consumer(world.keys.stream, "w1", 0)
    assert await consumers(world) == {"w2"}
    assert not await world.scripts.remove_consumer(world.keys.stream, "w1", 0)


async def test_a_consumer_with_pending_entries_stays(world: World) -> None:
    """Removing it would lose its entries; once they are another's, it may go."""
    [held] = await world.deliver("w1", world.job())
    assert not await world.scripts.remove_consumer(world.keys.stream, "w1", 0)
    await world.take_over("w2", held)
    assert await world.scripts.remove_consumer(world.keys.stream, "w1", 0)
    assert await world.owners() == {held.entry: "w2"}


async def test_a_young_consumer_stays(world: World) -> None:
    """A consumer that was heard of lately stays until it has been silent for long enough."""
    await create(world, "w1")
    assert not await world.scripts.remove_consumer(world.keys.stream, "w1", 3_600_000)

    async def removed() -> bool:
        return await world.scripts.remove_consumer(world.keys.stream, "w1", 20)

    await wait_until(removed, 5, "20 ms of silence")


async def test_an_unknown_consumer(world: World) -> None:
    """A name that nobody has is no error."""
    assert not await world.scripts.remove_consumer(world.keys.stream, "nobody", 0)


@pytest.mark.parametrize("with_stream", [False, True])
async def test_without_group_the_caller_is_told(world: World, with_stream: bool) -> None:
    """A missing stream or group is GroupMissing."""
    await world.raw("FLUSHDB")
    if with_stream:
        await world.raw("XADD", world.keys.stream, "*", "j", "x")
    with pytest.raises(GroupMissing):
        await world.scripts.remove_consumer(world.keys.stream, "w1", 0)
    with pytest.raises(GroupMissing):
        await world.partition.remove_gone_consumers(gone_ms=0)


async def test_all_that_are_gone_in_both_streams(world: World) -> None:
    """The sweep removes the idle and empty ones of both streams and counts them."""
    [held] = await world.deliver("busy", world.job())
    await create(world, "a", "b")
    assert await world.partition.remove_gone_consumers(gone_ms=3_600_000) == 0
    # The busy one's name is known to the urgent stream too where a read that found nothing makes a consumer.
    known_to_urgent = len(await world.queue.client.xinfo_consumers(world.keys.urgent, GROUP))
    assert await world.partition.remove_gone_consumers(gone_ms=0) == 2 + known_to_urgent
    assert await consumers(world) == {"busy"}
    assert await world.owners() == {held.entry: "busy"}


async def test_a_consumer_that_reads_meanwhile_loses_nothing(world: World) -> None:
    """However reading and removing interleave, no delivered entry is lost."""
    jobs = [world.job(f"t{n}") for n in range(50)]
    await world.enqueue(*jobs)
    reader = (await world.another()).partitions[0]
    done = False

    async def read() -> None:
        nonlocal done
        while len(await world.owners()) < 50:
            await reader.read("w1", 1, block_ms=0)
        done = True

    async def remove() -> None:
        while not done:
            await world.scripts.remove_consumer(world.keys.stream, "w1", 0)

    await asyncio.gather(read(), remove())
    assert len(await world.owners()) == 50
