"""Partition.recover: entries of silent workers, in bounded sweeps that reach all of them."""

from __future__ import annotations

import asyncio

import pytest

from streamsync.queue.scripts import Code, Held
from streamsync.queue.stream import Sweep
from tests.integration.queue.world import TTL_MS, World, entries


async def test_only_what_has_been_idle_for_long_enough(world: World) -> None:
    """A silent worker's entries change hands, a living one's do not."""
    [silent] = await world.lock("w1", world.job("a"))
    [living] = await world.lock("w2", world.job("b"))
    await world.make_idle(silent.entry, 20_000)
    taken, vanished = await world.partition.recover("w3", Sweep(), idle_ms=10_000, count=10)
    assert (entries(taken), vanished) == ([silent.entry], [])
    assert await world.owners() == {silent.entry: "w3", living.entry: "w2"}


async def test_a_heartbeat_keeps_an_entry(world: World) -> None:
    """A worker that beats keeps its entry, however long it has had it."""
    [held] = await world.lock("w1", world.job())
    await world.make_idle(held.entry, 20_000)
    await world.scripts.heartbeat("w1", [held], TTL_MS)
    assert await world.partition.recover("w2", Sweep(), idle_ms=10_000, count=10) == ([], [])


async def test_what_was_recovered_can_be_locked_and_finished(world: World) -> None:
    """The rescuer takes the lock over although it has not ended, and the old worker can do nothing more."""
    job = world.job()
    [old] = await world.lock("w1", job)
    await world.make_idle(old.entry, 20_000)
    [[delivery], _] = await world.partition.recover("w2", Sweep(), idle_ms=10_000, count=10)
    assert (delivery.entry, delivery.job) == (old.entry, job)
    new = Held(delivery.entry, "new", "t1")
    assert await world.scripts.lock("w2", [new], TTL_MS) == [Code.DONE]
    assert await world.scripts.heartbeat("w1", [old], TTL_MS) == [Code.LOST]
    assert await world.scripts.finish("w1", [old]) == [Code.LOST]
    assert await world.scripts.reschedule("w1", [(old, 0, job.encode())]) == [Code.LOST]
    assert await world.scripts.finish("w2", [new]) == [Code.DONE]


async def test_urgent_entries_first_and_no_more_than_asked_for(world: World) -> None:
    """The count bounds the sum over both streams; what is left is for the next sweep."""
    plain = await world.deliver("w1", *(world.job(f"t{n}") for n in range(4)))
    urgent = await world.deliver("w1", *(world.job(f"u{n}") for n in range(2)), urgent=True)
    sweep = Sweep()
    first, _ = await world.partition.recover("w2", sweep, idle_ms=0, count=3)
    assert entries(first) == [item.entry for item in (*urgent, plain[0])]
    assert await world.partition.recover("w2", Sweep(), idle_ms=0, count=0) == ([], [])


async def test_the_cursor_is_kept_so_that_every_entry_is_reached(world: World) -> None:
    """Sweeps behind many entries of living workers go on where the last one ended, and begin again."""
    living = await world.deliver("w1", *(world.job(f"t{n}") for n in range(60)))
    [silent] = await world.deliver("w2", world.job("last"))
    await world.make_idle(silent.entry, 20_000)
    sweep = Sweep()
    found = []
    for number in range(8):  # a sweep looks at ten entries per entry asked for
        taken, _ = await world.partition.recover("w3", sweep, idle_ms=10_000, count=1)
        found += [(number, entry) for entry in entries(taken)]
    assert [entry for _, entry in found] == [silent.entry]
    assert found[0][0] > 0
    assert sweep.cursors["u"] == b"0-0"
    await world.make_idle(living[0].entry, 20_000)
    for _ in range(8):
        taken, _ = await world.partition.recover("w3", sweep, idle_ms=10_000, count=1)
        found += [(0, entry) for entry in entries(taken)]
    assert found[-1] == (0, living[0].entry)


@pytest.mark.parametrize("urgent", [False, True])
async def test_entries_that_vanished_are_reported_once(world: World, urgent: bool) -> None:
    """Pending entries that Redis no longer holds are named, and leave the pending list."""
    held = await world.deliver("w1", *(world.job(f"t{n}") for n in range(3)), urgent=urgent)
    await world.raw("XDEL", world.stream_of(held[1].entry), held[1].entry[1:])
    taken, vanished = await world.partition.recover("w2", Sweep(), idle_ms=0, count=10)
    assert entries(taken) == [held[0].entry, held[2].entry]
    assert vanished == [held[1].entry]
    assert await world.owners() == {held[0].entry: "w2", held[2].entry: "w2"}
    assert (await world.partition.recover("w2", Sweep(), idle_ms=0, count=10))[1] == []


async def test_an_unreadable_body(world: World) -> None:
    """Rubbish that killed its worker is recovered too, without a job."""
    await world.raw("XADD", world.keys.stream, "*", "j", b"\xff")
    await world.partition.read("w1", 1, block_ms=0)
    [[found], _] = await world.partition.recover("w2", Sweep(), idle_ms=0, count=1)
    assert (found.body, found.job) == (b"\xff", None)


async def test_many_rescuers_share_without_overlap(world: World) -> None:
    """Workers that sweep at once take each entry once: taking it makes it young."""
    held = await world.deliver("w1", *(world.job(f"t{n}") for n in range(40)))
    for item in held:
        await world.make_idle(item.entry, 20_000)
    queues = [await world.another() for _ in range(6)]
    answers = await asyncio.gather(
        *(
            queue.partitions[0].recover(f"r{n}", Sweep(), idle_ms=10_000, count=10)
            for n, queue in enumerate(queues)
        )
    )
    taken = [entry for some, _ in answers for entry in entries(some)]
    assert sorted(taken) == sorted(item.entry for item in held)
