"""reschedule.lua: running → delayed."""

from __future__ import annotations

import asyncio

import pytest

from streamsync.queue.scripts import Code, Held
from tests.integration.queue.world import World


@pytest.mark.parametrize("urgent", [False, True])
async def test_a_retry_moves_the_job(world: World, urgent: bool) -> None:
    """Entry and lock are gone, and the new body waits for its delay by Redis' clock."""
    [held] = await world.lock("w1", world.job(), urgent=urgent)
    before = await world.now_ms()
    assert await world.scripts.reschedule("w1", [(held, 60_000, b"1 2 customers t1")]) == [Code.DONE]
    after = await world.now_ms()
    [(body, due_ms)] = (await world.delayed()).items()
    assert body == b"1 2 customers t1"
    # Half a millisecond marks an urgent one, so that it goes to the urgent stream again.
    assert due_ms % 1 == (0.5 if urgent else 0)
    assert before + 60_000 <= due_ms // 1 <= after + 60_000
    assert await world.bodies(world.stream_of(held.entry)) == []
    assert await world.owners() == {}
    assert await world.lock_value() is None


async def test_a_job_handed_back_can_run_at_once(world: World) -> None:
    """A delay of 0 makes the job due now."""
    job = world.job()
    [held] = await world.lock("w1", job)
    await world.scripts.reschedule("w1", [(held, 0, job.encode())])
    await world.scripts.promote(1)
    assert [d.job for d in await world.partition.read("w2", 1, block_ms=0)] == [job]


async def test_a_busy_job_leaves_the_holder_its_lock(world: World) -> None:
    """An entry that never held the lock (empty claim) goes back without touching it."""
    [holder] = await world.lock("w1", world.job())
    job = world.job()
    [busy] = await world.deliver("w2", job)
    given_back = Held(busy.entry, "", "t1")
    assert await world.scripts.reschedule("w2", [(given_back, 1000, job.encode())]) == [Code.DONE]
    assert await world.lock_value() == f"{holder.entry}/c1"
    assert list(await world.delayed()) == [job.encode()]
    assert await world.owners() == {holder.entry: "w1"}


async def test_an_entry_of_another_consumer_is_left_alone(world: World) -> None:
    """A woken worker that hands back what another owns by now changes nothing, whatever its claim."""
    job = world.job()
    [old] = await world.lock("w1", job)
    await world.take_over("w2", old)
    before = await world.everything()
    for claim in ("c1", "", "x"):
        held = Held(old.entry, claim, "t1")
        assert await world.scripts.reschedule("w1", [(held, 0, job.encode())]) == [Code.LOST]
    assert await world.everything() == before


async def test_a_lock_of_another_is_left_alone(world: World) -> None:
    """An owner whose tenant went to another entry, or to a newer claim, is lost and changes nothing."""
    job = world.job()
    [first] = await world.lock("w1", job)
    await world.raw("DEL", world.keys.lock("t1"))
    [second] = await world.lock("w1", world.job())
    before = await world.everything()
    wrong_claim = Held(second.entry, "older", "t1")
    for held in (first, wrong_claim):
        assert await world.scripts.reschedule("w1", [(held, 0, job.encode())]) == [Code.LOST]
    assert await world.everything() == before


async def test_an_expired_lock_does_not_matter(world: World) -> None:
    """An owner whose lock ended, and whose tenant is free, may still hand its job back."""
    job = world.job()
    [held] = await world.lock("w1", job)
    await world.raw("DEL", world.keys.lock("t1"))
    assert await world.scripts.reschedule("w1", [(held, 0, job.encode())]) == [Code.DONE]
    assert await world.owners() == {}


@pytest.mark.parametrize("group_is_back", [False, True])
async def test_after_a_flush_the_job_is_queued_once(world: World, group_is_back: bool) -> None:
    """When Redis forgot everything, the job is put back all the same; asked again, it is there once."""
    job = world.job()
    [held] = await world.lock("w1", job)
    await world.raw("FLUSHDB")
    if group_is_back:
        await world.partition.create_group()
    for _ in range(2):
        assert await world.scripts.reschedule("w1", [(held, 0, job.encode())]) == [Code.DONE]
    await world.partition.create_group()
    await world.scripts.promote(10)
    assert await world.bodies(world.keys.stream) == [job.encode()]
    assert await world.delayed() == {}


async def test_a_body_that_waits_already_keeps_its_due_time(world: World) -> None:
    """What the reconciler has put back meanwhile stays where it is."""
    job = world.job()
    [held] = await world.lock("w1", job)
    await world.scripts.schedule([(5000, job.encode())])
    assert await world.scripts.reschedule("w1", [(held, 0, job.encode())]) == [Code.DONE]
    assert await world.delayed() == {job.encode(): 5000}


async def test_a_token_only_for_a_new_earliest_job(world: World) -> None:
    """The promoter is woken by a job that became the earliest, once, and by no other."""
    job, later = world.job("a"), world.job("b")
    held, second, third = await world.lock("w1", job, later, world.job("c"))
    assert await world.tokens() == 1  # of scheduling
    await world.raw("DEL", world.keys.wake)
    await world.scripts.reschedule("w1", [(held, 5000, job.encode())])
    assert await world.tokens() == 1
    await world.scripts.reschedule("w1", [(second, 0, later.encode())])
    assert await world.tokens() == 1
    await world.raw("DEL", world.keys.wake)
    await world.scripts.reschedule("w1", [(third, 9000, b"3 2 customers c")])
    assert await world.tokens() == 0


async def test_no_token_where_nothing_became_earlier(world: World) -> None:
    """A body that waits already, and keeps its due time, wakes nobody."""
    job = world.job()
    [held] = await world.lock("w1", job)
    await world.scripts.schedule([(await world.now_ms() + 60_000, job.encode())])
    await world.raw("DEL", world.keys.wake)
    await world.scripts.reschedule("w1", [(held, 0, job.encode())])
    assert await world.tokens() == 0


async def test_a_batch_answers_in_its_order(world: World) -> None:
    """Each entry of a batch has its own answer and its own body."""
    jobs = [world.job(t) for t in "abc"]
    held = await world.lock("w1", *jobs)
    await world.take_over("w2", held[1])
    items = [(item, 1000, job.encode()) for item, job in zip(held, jobs, strict=True)]
    assert await world.scripts.reschedule("w1", items) == [Code.DONE, Code.LOST, Code.DONE]
    assert set(await world.delayed()) == {jobs[0].encode(), jobs[2].encode()}
    assert [await world.lock_value(t) for t in "abc"] == [None, f"{held[1].entry}/c2", None]


async def test_many_hand_the_same_entry_back(world: World) -> None:
    """However many workers hand an entry back at once, the job waits once and nothing runs."""
    job = world.job()
    [held] = await world.lock("w0", job)
    queues = [await world.another() for _ in range(8)]
    answers = await asyncio.gather(
        *(
            queue.partitions[0].scripts.reschedule(f"w{n}", [(held, 0, job.encode())])
            for n, queue in enumerate(queues)
        )
    )
    assert answers[0] == [Code.DONE]
    assert list(await world.delayed()) == [job.encode()]
    assert await world.owners() == {}
