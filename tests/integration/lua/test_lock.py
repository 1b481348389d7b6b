"""lock.lua: one holder per tenant."""

from __future__ import annotations

import asyncio

import pytest

from streamsync.queue.connection import GroupMissing
from streamsync.queue.keys import GROUP
from streamsync.queue.scripts import Code, Held
from tests.integration.queue.world import TTL_MS, World
from tests.support import wait_until


async def test_locks_a_free_tenant(world: World) -> None:
    """The lock says which entry and claim hold the tenant, and ends by itself."""
    [held] = await world.deliver("w1", world.job())
    assert await world.scripts.lock("w1", [held], TTL_MS) == [Code.DONE]
    assert await world.lock_value() == f"{held.entry}/c1"
    assert TTL_MS - 5000 < await world.raw("PTTL", world.keys.lock("t1")) <= TTL_MS


async def test_busy_while_another_entry_holds_the_tenant(world: World) -> None:
    """Another entry finds the tenant busy, for its own consumer too, and changes nothing."""
    [first] = await world.lock("w1", world.job())
    [mine] = await world.deliver("w1", world.job())
    [other] = await world.deliver("w2", world.job(), urgent=True)
    before = await world.everything()
    assert await world.scripts.lock("w1", [mine], TTL_MS) == [Code.NOTHING]
    assert await world.scripts.lock("w2", [other], TTL_MS) == [Code.NOTHING]
    assert await world.everything() == before
    assert await world.lock_value() == f"{first.entry}/c1"


async def test_another_entry_of_the_same_job_is_busy(world: World) -> None:
    """A duplicate of the running job does not take its lock over."""
    job = world.job()
    await world.lock("w1", job)
    [duplicate] = await world.deliver("w2", job)
    assert await world.scripts.lock("w2", [duplicate], TTL_MS) == [Code.NOTHING]


async def test_an_entry_of_another_consumer_is_lost(world: World) -> None:
    """Who does not own the entry gets no lock, free or not."""
    [held] = await world.deliver("w1", world.job())
    assert await world.scripts.lock("w2", [held], TTL_MS) == [Code.LOST]
    assert await world.lock_value() is None
    await world.scripts.lock("w1", [held], TTL_MS)
    assert await world.scripts.lock("w2", [held], TTL_MS) == [Code.LOST]
    assert await world.lock_value() == f"{held.entry}/c1"


async def test_entries_that_are_not_pending_are_lost(world: World) -> None:
    """Neither an undelivered entry, nor a finished one, nor one that never was, can lock."""
    await world.enqueue(world.job())
    [[undelivered, _]] = await world.raw("XRANGE", world.keys.stream, "-", "+")
    [finished] = await world.lock("w1", world.job("t2"), urgent=True)
    await world.scripts.finish("w1", [finished])
    held = [Held("s" + undelivered.decode(), "c", "t1"), finished, Held("s9-9", "c", "t3")]
    assert await world.scripts.lock("w1", held, TTL_MS) == [Code.LOST] * 3
    assert await world.raw("KEYS", "*lock:*") == []


async def test_the_owner_of_the_same_entry_takes_over(world: World) -> None:
    """Who took the entry over, or reads it again, locks with a new claim at once."""
    [held] = await world.lock("w1", world.job())
    await world.take_over("w2", held)
    again = Held(held.entry, "new", "t1")
    assert await world.scripts.lock("w1", [again], TTL_MS) == [Code.LOST]
    assert await world.scripts.lock("w2", [again], TTL_MS) == [Code.DONE]
    assert await world.lock_value() == f"{held.entry}/new"
    assert await world.scripts.lock("w2", [Held(held.entry, "newer", "t1")], TTL_MS) == [Code.DONE]
    assert await world.lock_value() == f"{held.entry}/newer"


async def test_an_entry_whose_name_begins_alike_is_another(world: World) -> None:
    """`s7-1` does not pass for `s7-10`, nor `u7-1` for `s7-1`."""
    for stream, entry_id in (("s", "7-1"), ("s", "7-10"), ("u", "7-1")):
        await world.raw("XADD", world.stream_of(stream), entry_id, "j", "1 1 customers t1")
    assert len(await world.partition.read("w1", 10, block_ms=0)) == 3
    assert await world.scripts.lock("w1", [Held("s7-10", "c", "t1")], TTL_MS) == [Code.DONE]
    held = [Held("s7-1", "c", "t1"), Held("u7-1", "c", "t1")]
    assert await world.scripts.lock("w1", held, TTL_MS) == [Code.NOTHING] * 2
    assert await world.lock_value() == "s7-10/c"


async def test_an_expired_lock_is_free(world: World) -> None:
    """A lock that was not renewed ends, and the next entry gets the tenant."""
    [first, second] = await world.deliver("w1", world.job(), world.job())
    assert await world.scripts.lock("w1", [first], 20) == [Code.DONE]

    async def got() -> bool:
        return await world.scripts.lock("w1", [second], TTL_MS) == [Code.DONE]

    await wait_until(got, 5, "the lock to end")
    assert await world.lock_value() == f"{second.entry}/c2"


async def test_a_batch_answers_in_its_order(world: World) -> None:
    """Each entry of a batch has its own answer; two of one tenant do not both get it."""
    running, *batch = await world.deliver(
        "w1", world.job("a"), world.job("a"), world.job("b"), world.job("b"), world.job("c")
    )
    await world.scripts.lock("w1", [running], TTL_MS)
    foreign = Held("s1-1", "c", "d")
    assert await world.scripts.lock("w1", [foreign, *batch], TTL_MS) == [
        Code.LOST, Code.NOTHING, Code.DONE, Code.NOTHING, Code.DONE,
    ]  # fmt: skip


async def test_an_empty_batch(world: World) -> None:
    """Nothing asked, nothing answered."""
    assert await world.scripts.lock("w1", [], TTL_MS) == []


async def test_an_entry_deleted_while_pending_still_locks(world: World) -> None:
    """The pending list decides who owns an entry, not whether its text is still there."""
    [held] = await world.deliver("w1", world.job())
    await world.raw("XDEL", world.keys.stream, held.entry[1:])
    assert await world.scripts.lock("w1", [held], TTL_MS) == [Code.DONE]


async def test_without_group_the_caller_is_told(world: World) -> None:
    """A missing group is GroupMissing, whether the stream is there or not, and no lock is taken."""
    [held] = await world.deliver("w1", world.job())
    await world.raw("XGROUP", "DESTROY", world.keys.stream, GROUP)
    with pytest.raises(GroupMissing):
        await world.scripts.lock("w1", [held], TTL_MS)
    await world.raw("FLUSHDB")
    with pytest.raises(GroupMissing):
        await world.scripts.lock("w1", [held], TTL_MS)
    assert await world.raw("DBSIZE") == 0


async def test_one_winner_per_tenant(world: World) -> None:
    """Of many workers that lock the same tenants at once, each tenant has exactly one winner."""
    workers = {f"w{n}": await world.another() for n in range(8)}
    held = {name: await world.deliver(name, *(world.job(f"t{t}") for t in range(10))) for name in workers}
    answers = dict(
        zip(
            workers,
            await asyncio.gather(
                *(
                    queue.partitions[0].scripts.lock(name, held[name], TTL_MS)
                    for name, queue in workers.items()
                )
            ),
            strict=True,
        )
    )
    for tenant in range(10):
        winners = [name for name in workers if answers[name][tenant] is Code.DONE]
        assert len(winners) == 1
        winner = held[winners[0]][tenant]
        assert await world.lock_value(f"t{tenant}") == f"{winner.entry}/{winner.claim}"
    assert {code for codes in answers.values() for code in codes} == {Code.DONE, Code.NOTHING}
