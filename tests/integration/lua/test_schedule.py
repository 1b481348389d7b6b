"""schedule.lua: ledger → delayed."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.queue.world import World


async def test_adds_what_is_absent_and_counts_it(world: World) -> None:
    """New bodies are added with their due time; those that are there are not counted again."""
    first, second = world.job().encode(), world.job().encode()
    assert await world.scripts.schedule([(1000, first)]) == 1
    assert await world.scripts.schedule([(1000, first), (2000, second)]) == 1
    assert await world.delayed() == {first: 1000, second: 2000}


async def test_nothing_to_schedule_does_nothing(world: World) -> None:
    """An empty page neither fails nor wakes anybody."""
    assert await world.scripts.schedule([]) == 0
    assert await world.tokens() == 0


@pytest.mark.parametrize("due_ms", [500, 1000, 5000])
async def test_nx_keeps_the_due_time(world: World, due_ms: int) -> None:
    """A job that waits keeps its due time, whether the new one is earlier or later."""
    body = world.job().encode()
    await world.scripts.schedule([(1000, body)])
    assert await world.scripts.schedule([(due_ms, body)]) == 0
    assert await world.delayed() == {body: 1000}


@pytest.mark.parametrize(("due_ms", "then"), [(500, 500), (1000, 1000), (5000, 1000)])
async def test_lt_moves_forward_and_never_back(world: World, due_ms: int, then: int) -> None:
    """`move_forward` takes the earlier of the two due times, and counts no addition."""
    body = world.job().encode()
    await world.scripts.schedule([(1000, body)])
    assert await world.scripts.schedule([(due_ms, body)], move_forward=True) == 0
    assert await world.delayed() == {body: then}


async def test_lt_adds_what_is_absent(world: World) -> None:
    """`move_forward` adds a job that is not there."""
    body = world.job().encode()
    assert await world.scripts.schedule([(1000, body)], move_forward=True) == 1
    assert await world.delayed() == {body: 1000}


async def test_urgent_jobs_get_a_negative_score(world: World) -> None:
    """An urgent job's score is the time by Redis' clock minus 10^14; the due time given is ignored."""
    body = world.job().encode()
    before = await world.now_ms()
    await world.scripts.schedule([(4_000_000_000_000, body)], urgent=True)
    after = await world.now_ms()
    assert before <= (await world.delayed())[body] + 10**14 <= after


async def test_a_waiting_job_becomes_urgent(world: World) -> None:
    """`urgent` with `move_forward` makes a job urgent that waits for tonight."""
    body = world.job().encode()
    await world.scripts.schedule([(await world.now_ms() + 3_600_000, body)])
    assert await world.scripts.schedule([(0, body)], urgent=True, move_forward=True) == 0
    assert (await world.delayed())[body] < 0


async def test_scores_keep_every_digit(world: World) -> None:
    """Times of this century are stored to the millisecond."""
    body = world.job().encode()
    await world.scripts.schedule([(4_102_444_799_999, body)])
    assert await world.delayed() == {body: 4_102_444_799_999}


async def test_a_token_only_for_a_new_earliest_job(world: World) -> None:
    """The promoter is woken by the first job and by each earlier one, not by later or equal ones."""
    scripts = world.scripts
    seen = []
    for due_ms in (5000, 6000, 5000, 4000):
        await scripts.schedule([(due_ms, world.job().encode())])
        seen.append(await world.tokens())
        await world.raw("DEL", world.keys.wake)
    await scripts.schedule([(9, world.job().encode())], urgent=True)
    seen.append(await world.tokens())
    assert seen == [1, 0, 0, 1, 1]


async def test_at_most_one_token(world: World) -> None:
    """However many earlier jobs come in, one token waits."""
    for due_ms in (5000, 4000, 3000):
        await world.scripts.schedule([(due_ms, world.job().encode())])
    assert await world.tokens() == 1


@pytest.mark.parametrize("forward", [False, True])
async def test_no_token_where_nothing_became_earlier(world: World, forward: bool) -> None:
    """A job that keeps its place wakes nobody, whatever due time was asked for."""
    body = world.job().encode()
    await world.scripts.schedule([(5000, body)])
    await world.raw("DEL", world.keys.wake)
    await world.scripts.schedule([(6000 if forward else 1000, body)], move_forward=forward)
    assert await world.delayed() == {body: 5000}
    assert await world.tokens() == 0


async def test_a_job_moved_to_the_front_wakes(world: World) -> None:
    """Moving a waiting job to the front is news for the promoter."""
    body = world.job().encode()
    await world.scripts.schedule([(5000, world.job().encode()), (6000, body)])
    await world.raw("DEL", world.keys.wake)
    await world.scripts.schedule([(1000, body)], move_forward=True)
    assert await world.tokens() == 1


async def test_many_producers_add_each_job_once(world: World) -> None:
    """Producers that schedule the same page at once add each job once between them."""
    page = [(1000 + n, world.job(f"t{n}").encode()) for n in range(100)]
    queues = [await world.another() for _ in range(8)]
    added = await asyncio.gather(
        *(queue.partitions[0].scripts.schedule(page[n % 3 :]) for n, queue in enumerate(queues * 3))
    )
    assert sum(added) == 100
    assert await world.delayed() == {body: due_ms for due_ms, body in page}
    assert await world.tokens() == 1
