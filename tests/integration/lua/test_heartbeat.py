"""heartbeat.lua: renews locks, resets idle times, and takes nothing that is another's."""

from __future__ import annotations

import asyncio

import pytest

from streamsync.queue.keys import GROUP
from streamsync.queue.scripts import Code, Held
from tests.integration.queue.world import TTL_MS, World


@pytest.mark.parametrize("urgent", [False, True])
async def test_renews_the_lock_and_resets_the_idle_time(world: World, urgent: bool) -> None:
    """A beat prolongs the lock and makes the entry fresh, without counting as a delivery."""
    [held] = await world.lock("w1", world.job(), urgent=urgent)
    await world.raw("PEXPIRE", world.keys.lock("t1"), 5_000)
    await world.make_idle(held.entry, 50_000)
    assert await world.scripts.heartbeat("w1", [held], TTL_MS) == [Code.DONE]
    assert await world.raw("PTTL", world.keys.lock("t1")) > TTL_MS - 5_000
    [[_, owner, idle_ms, deliveries]] = await world.pending_of(world.stream_of(held.entry), held.entry[1:])
    assert (owner, deliveries) == (b"w1", 1)
    assert idle_ms < 5_000


async def test_a_lock_that_expired_is_taken_again(world: World) -> None:
    """An owner whose lock ended, and whose tenant nobody took, has it again."""
    [held] = await world.lock("w1", world.job())
    await world.raw("DEL", world.keys.lock("t1"))
    assert await world.scripts.heartbeat("w1", [held], TTL_MS) == [Code.TAKEN_AGAIN]
    assert await world.lock_value() == f"{held.entry}/c1"
    assert await world.raw("PTTL", world.keys.lock("t1")) > 0
    assert await world.scripts.heartbeat("w1", [held], TTL_MS) == [Code.DONE]


@pytest.mark.parametrize("group_is_back", [False, True])
async def test_after_a_flush_the_lock_is_taken_again(world: World, group_is_back: bool) -> None:
    """When Redis forgot everything, the running job takes its tenant again, with or without group."""
    [held] = await world.lock("w1", world.job())
    await world.raw("FLUSHDB")
    if group_is_back:
        await world.partition.create_group()
    assert await world.scripts.heartbeat("w1", [held], TTL_MS) == [Code.TAKEN_AGAIN]
    assert await world.lock_value() == f"{held.entry}/c1"
    assert await world.scripts.heartbeat("w1", [held], TTL_MS) == [Code.DONE]
    assert await world.owners() == {}


async def test_after_a_flush_the_first_to_lock_has_the_tenant(world: World) -> None:
    """If another entry has locked the tenant since, the old holder has lost it."""
    [old] = await world.lock("w1", world.job())
    await world.raw("FLUSHDB")
    await world.partition.create_group()
    [new] = await world.lock("w2", world.job())
    before = await world.everything()
    assert await world.scripts.heartbeat("w1", [old], TTL_MS) == [Code.LOST]
    assert await world.everything() == before
    assert await world.scripts.heartbeat("w2", [new], TTL_MS) == [Code.DONE]


async def test_a_woken_worker_cannot_take_its_entry_back(world: World) -> None:
    """Once another consumer owns the entry, a beat of the old one is lost: before and after the new lock,
    and with no lock at all."""
    [old] = await world.lock("w1", world.job())
    await world.take_over("w2", old)
    new = Held(old.entry, "new", "t1")
    before = await world.everything()
    assert await world.scripts.heartbeat("w1", [old], TTL_MS) == [Code.LOST]
    assert await world.everything() == before
    await world.scripts.lock("w2", [new], TTL_MS)
    before = await world.everything()
    assert await world.scripts.heartbeat("w1", [old], TTL_MS) == [Code.LOST]
    assert await world.everything() == before
    await world.raw("DEL", world.keys.lock("t1"))
    assert await world.scripts.heartbeat("w1", [old], TTL_MS) == [Code.LOST]
    assert await world.lock_value() is None
    assert await world.owners() == {old.entry: "w2"}


async def test_the_claim_decides_between_two_tasks_of_one_consumer(world: World) -> None:
    """An older claim of the same entry and consumer is lost once a newer one holds the lock."""
    [old] = await world.lock("w1", world.job())
    new = Held(old.entry, "new", "t1")
    await world.scripts.lock("w1", [new], TTL_MS)
    before = await world.everything()
    assert await world.scripts.heartbeat("w1", [old], TTL_MS) == [Code.LOST]
    assert await world.everything() == before
    assert await world.scripts.heartbeat("w1", [new], TTL_MS) == [Code.DONE]


async def test_a_beat_does_not_lock_what_another_entry_holds(world: World) -> None:
    """An owner whose tenant went to another entry is lost, and its entry grows idle."""
    [first] = await world.lock("w1", world.job())
    await world.raw("DEL", world.keys.lock("t1"))
    [second] = await world.lock("w2", world.job())
    await world.make_idle(first.entry, 50_000)
    assert await world.scripts.heartbeat("w1", [first], TTL_MS) == [Code.LOST]
    assert await world.lock_value() == f"{second.entry}/c1"
    [[_, _, idle_ms, _]] = await world.pending_of(world.keys.stream, first.entry[1:])
    assert idle_ms >= 50_000


async def test_one_beat_for_all_jobs(world: World) -> None:
    """Each entry of a beat has its own answer, whichever stream it is in."""
    [plain] = await world.lock("w1", world.job("a"))
    [urgent] = await world.lock("w1", world.job("b"), urgent=True)
    [taken] = await world.lock("w1", world.job("c"))
    await world.take_over("w2", taken)
    [unlocked] = await world.lock("w1", world.job("d"))
    await world.raw("DEL", world.keys.lock("d"))
    assert await world.scripts.heartbeat("w1", [plain, taken, urgent, unlocked], TTL_MS) == [
        Code.DONE, Code.LOST, Code.DONE, Code.TAKEN_AGAIN,
    ]  # fmt: skip


async def test_one_stream_missing_is_no_error_for_the_other(world: World) -> None:
    """While only the urgent stream's group is missing, both kinds of entries are renewed."""
    [plain] = await world.lock("w1", world.job("a"))
    [urgent] = await world.lock("w1", world.job("b"), urgent=True)
    await world.raw("XGROUP", "DESTROY", world.keys.urgent, GROUP)
    assert await world.scripts.heartbeat("w1", [plain, urgent], TTL_MS) == [Code.DONE] * 2


async def test_an_entry_deleted_while_pending_keeps_its_lock(world: World) -> None:
    """A running job whose entry somebody deleted goes on under its lock until its end."""
    [held] = await world.lock("w1", world.job())
    await world.raw("XDEL", world.keys.stream, held.entry[1:])
    for _ in range(2):
        assert await world.scripts.heartbeat("w1", [held], TTL_MS) == [Code.DONE]
    assert await world.lock_value() == f"{held.entry}/c1"
    assert await world.scripts.finish("w1", [held]) == [Code.NOTHING]
    assert await world.lock_value() is None


async def test_many_old_owners_and_one_new_one(world: World) -> None:
    """However many beat at once for one entry, only its owner's beat counts."""
    [held] = await world.lock("w0", world.job())
    queues = [await world.another() for _ in range(8)]
    answers = await asyncio.gather(
        *(queue.partitions[0].scripts.heartbeat(f"w{n % 8}", [held], TTL_MS) for n, queue in
          enumerate(queues * 4))
    )  # fmt: skip
    assert [codes[0] for codes in answers] == ([Code.DONE] + [Code.LOST] * 7) * 4
    assert await world.owners() == {held.entry: "w0"}
