"""finish.lua: running → gone."""

from __future__ import annotations

import asyncio

import pytest

from streamsync.queue.scripts import Code, Held
from tests.integration.queue.world import World


@pytest.mark.parametrize("urgent", [False, True])
async def test_nothing_is_left(world: World, urgent: bool) -> None:
    """The entry is acknowledged and deleted, the tenant unlocked."""
    [held] = await world.lock("w1", world.job(), urgent=urgent)
    assert await world.scripts.finish("w1", [held]) == [Code.DONE]
    assert await world.owners() == {}
    assert await world.bodies(world.stream_of(held.entry)) == []
    assert await world.lock_value() is None


async def test_finishing_twice(world: World) -> None:
    """After a lost reply the same call says that the entry is gone, and leaves the next job alone."""
    [held] = await world.lock("w1", world.job())
    await world.scripts.finish("w1", [held])
    assert await world.scripts.finish("w1", [held]) == [Code.NOTHING]
    await world.lock("w1", world.job())
    before = await world.everything()
    assert await world.scripts.finish("w1", [held]) == [Code.LOST]
    assert await world.everything() == before


async def test_an_entry_of_another_consumer_is_left_alone(world: World) -> None:
    """XACK by a non-owner would succeed in Redis; here it changes nothing, whatever the claim."""
    [held] = await world.lock("w1", world.job())
    await world.take_over("w2", held)
    before = await world.everything()
    for claim in ("c1", "", "x"):
        assert await world.scripts.finish("w1", [Held(held.entry, claim, "t1")]) == [Code.LOST]
    assert await world.everything() == before


async def test_a_lock_of_another_is_left_alone(world: World) -> None:
    """An owner whose tenant went to another entry, or to a newer claim, is lost and changes nothing."""
    [first] = await world.lock("w1", world.job())
    await world.raw("DEL", world.keys.lock("t1"))
    [second] = await world.lock("w1", world.job())
    before = await world.everything()
    held = [first, Held(second.entry, "older", "t1")]
    assert await world.scripts.finish("w1", held) == [Code.LOST] * 2
    assert await world.everything() == before


async def test_an_expired_lock_does_not_matter(world: World) -> None:
    """An owner whose lock ended, and whose tenant is free, finishes."""
    [held] = await world.lock("w1", world.job())
    await world.raw("DEL", world.keys.lock("t1"))
    assert await world.scripts.finish("w1", [held]) == [Code.DONE]
    assert await world.owners() == {}


async def test_a_duplicate_leaves_the_holder_its_lock(world: World) -> None:
    """An entry that never held the lock (empty claim) goes without touching it."""
    job = world.job()
    [holder] = await world.lock("w1", job)
    [duplicate] = await world.deliver("w1", job)
    assert await world.scripts.finish("w1", [Held(duplicate.entry, "", "t1")]) == [Code.DONE]
    assert await world.lock_value() == f"{holder.entry}/c1"
    assert await world.owners() == {holder.entry: "w1"}


async def test_an_entry_deleted_while_pending(world: World) -> None:
    """An entry that somebody deleted is still acknowledged, and the tenant unlocked."""
    [held] = await world.lock("w1", world.job())
    await world.raw("XDEL", world.keys.stream, held.entry[1:])
    assert await world.scripts.finish("w1", [held]) == [Code.DONE]
    assert await world.owners() == {}
    assert await world.lock_value() is None


async def test_after_a_flush(world: World) -> None:
    """Without the group nothing is left to acknowledge, and with it again the entry is gone already."""
    [held] = await world.lock("w1", world.job())
    await world.raw("FLUSHDB")
    assert await world.scripts.finish("w1", [held]) == [Code.NOTHING]
    await world.partition.create_group()
    await world.scripts.heartbeat("w1", [held], 1000)
    assert await world.scripts.finish("w1", [held]) == [Code.NOTHING]
    assert await world.lock_value() is None


async def test_a_batch_answers_in_its_order(world: World) -> None:
    """Each entry of a batch has its own answer; an empty batch has none."""
    held = await world.lock("w1", *(world.job(t) for t in "abc"))
    await world.take_over("w2", held[0])
    await world.scripts.finish("w1", [held[1]])
    assert await world.scripts.finish("w1", held) == [Code.LOST, Code.NOTHING, Code.DONE]
    assert await world.scripts.finish("w1", []) == []


async def test_many_finish_the_same_entry(world: World) -> None:
    """Of all who finish an entry at once only its owner does, and only once."""
    [held] = await world.lock("w0", world.job())
    queues = [await world.another() for _ in range(8)]
    calls = [("w0", queue) for queue in queues[:4]] + [("w1", queue) for queue in queues[4:]]
    answers = await asyncio.gather(
        *(queue.partitions[0].scripts.finish(name, [held]) for name, queue in calls)
    )
    assert sorted(codes[0] for codes in answers[:4]) == [Code.NOTHING] * 3 + [Code.DONE]
    assert {codes[0] for codes in answers[4:]} <= {Code.LOST, Code.NOTHING}
