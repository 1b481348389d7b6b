"""dead.lua: running → dead."""

from __future__ import annotations

import asyncio

import pytest

from streamsync.queue.scripts import Code, Held
from tests.integration.queue.world import KEEP_MS, World


@pytest.mark.parametrize("urgent", [False, True])
async def test_the_job_moves_to_the_feed(world: World, urgent: bool) -> None:
    """Entry and lock are gone; the feed says which job failed and why."""
    job = world.job()
    [held] = await world.lock("w1", job, urgent=urgent)
    assert await world.scripts.dead("w1", [(held, job.encode(), "erp_auth")], KEEP_MS) == [Code.DONE]
    [(_, fields)] = await world.raw("XRANGE", world.keys.dead, "-", "+")
    assert fields == {b"j": job.encode(), b"e": b"erp_auth"}
    assert await world.owners() == {}
    assert await world.bodies(world.stream_of(held.entry)) == []
    assert await world.lock_value() is None


async def test_the_feed_shows_a_failure_once(world: World) -> None:
    """After a lost reply the same call says that the entry is gone, and adds nothing."""
    [held] = await world.lock("w1", world.job())
    await world.scripts.dead("w1", [(held, b"x", "e")], KEEP_MS)
    assert await world.scripts.dead("w1", [(held, b"x", "e")], KEEP_MS) == [Code.NOTHING]
    assert await world.raw("XLEN", world.keys.dead) == 1


async def test_an_entry_of_another_consumer_is_left_alone(world: World) -> None:
    """A non-owner changes nothing and the feed says nothing, whatever the claim."""
    [held] = await world.lock("w1", world.job())
    await world.take_over("w2", held)
    before = await world.everything()
    for claim in ("c1", "", "x"):
        item = (Held(held.entry, claim, "t1"), b"x", "e")
        assert await world.scripts.dead("w1", [item], KEEP_MS) == [Code.LOST]
    assert await world.everything() == before


async def test_a_lock_of_another_is_left_alone(world: World) -> None:
    """An owner whose tenant went to another entry, or to a newer claim, is lost and changes nothing."""
    [first] = await world.lock("w1", world.job())
    await world.raw("DEL", world.keys.lock("t1"))
    [second] = await world.lock("w1", world.job())
    before = await world.everything()
    items = [(held, b"x", "e") for held in (first, Held(second.entry, "older", "t1"))]
    assert await world.scripts.dead("w1", items, KEEP_MS) == [Code.LOST] * 2
    assert await world.everything() == before


async def test_an_unreadable_body_is_buried_without_a_lock(world: World) -> None:
    """An entry without tenant and claim goes to the feed and touches no lock."""
    await world.raw("XADD", world.keys.stream, "*", "j", b"\xff\x00rubbish")
    [delivery] = await world.partition.read("w1", 1, block_ms=0)
    item = (Held(delivery.entry, "", ""), delivery.body, "unreadable_body")
    assert await world.scripts.dead("w1", [item], KEEP_MS) == [Code.DONE]
    assert await world.bodies(world.keys.dead) == [b"\xff\x00rubbish"]
    assert await world.owners() == {}


async def test_the_feed_is_trimmed_by_age(world: World) -> None:
    """A new failure removes what is older than the feed keeps, give or take one node of the stream."""
    now = await world.now_ms()
    for n in range(250):
        await world.raw("XADD", world.keys.dead, f"{now - KEEP_MS - 1000 + n}-0", "j", "old", "e", "x")
    await world.raw("XADD", world.keys.dead, f"{now - KEEP_MS + 60_000}-0", "j", "young", "e", "x")
    [held] = await world.lock("w1", world.job())
    await world.scripts.dead("w1", [(held, b"new", "e")], KEEP_MS)
    bodies = await world.bodies(world.keys.dead)
    assert bodies[-2:] == [b"young", b"new"]
    assert len(bodies) - 2 < 100  # Redis trims whole nodes of up to 100 entries


async def test_a_feed_kept_for_longer_than_there_is_time(world: World) -> None:
    """A feed older than the epoch trims nothing."""
    [held] = await world.lock("w1", world.job())
    assert await world.scripts.dead("w1", [(held, b"x", "e")], 10**15) == [Code.DONE]


async def test_after_a_flush(world: World) -> None:
    """Without the group nothing is left to acknowledge, and with it again neither: the feed says nothing."""
    [held] = await world.lock("w1", world.job())
    await world.raw("FLUSHDB")
    assert await world.scripts.dead("w1", [(held, b"x", "e")], KEEP_MS) == [Code.NOTHING]
    assert await world.raw("DBSIZE") == 0
    await world.partition.create_group()
    assert await world.scripts.dead("w1", [(held, b"x", "e")], KEEP_MS) == [Code.NOTHING]
    assert await world.raw("EXISTS", world.keys.dead) == 0


async def test_a_batch_answers_in_its_order(world: World) -> None:
    """Each entry of a batch has its own answer, body and reason."""
    held = await world.lock("w1", *(world.job(t) for t in "abc"))
    await world.take_over("w2", held[1])
    items = [(item, item.tenant_id.encode(), "e-" + item.tenant_id) for item in held]
    assert await world.scripts.dead("w1", items, KEEP_MS) == [Code.DONE, Code.LOST, Code.DONE]
    feed = [fields for _, fields in await world.raw("XRANGE", world.keys.dead, "-", "+")]
    assert feed == [{b"j": b"a", b"e": b"e-a"}, {b"j": b"c", b"e": b"e-c"}]


async def test_many_bury_the_same_entry(world: World) -> None:
    """However many report a failure at once, the feed shows it once."""
    [held] = await world.lock("w0", world.job())
    queues = [await world.another() for _ in range(8)]
    await asyncio.gather(
        *(queue.partitions[0].scripts.dead(f"w{n % 2}", [(held, b"x", "e")], KEEP_MS) for n, queue in
          enumerate(queues))
    )  # fmt: skip
    assert await world.bodies(world.keys.dead) == [b"x"]
