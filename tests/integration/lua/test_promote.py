"""promote.lua: delayed → stream."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ResponseError

from streamsync.embedded import RedisServer
from streamsync.errors import QueueUnavailable
from streamsync.queue.queue import Queue
from tests.integration.queue.world import World
from tests.support import wait_until


async def test_moves_what_is_due_and_says_when_to_come_back(world: World) -> None:
    """Due jobs leave in the order of their due times; the rest stays and its head gives the wait."""
    now = await world.now_ms()
    late, early, future = (world.job().encode() for _ in range(3))
    await world.scripts.schedule([(now - 1, late), (now - 2, early), (now + 60_000, future)])
    moved, wait_ms = await world.scripts.promote(10)
    assert moved == 2
    assert 50_000 < wait_ms <= 60_000
    assert await world.bodies(world.keys.stream) == [early, late]
    assert list(await world.delayed()) == [future]


async def test_an_empty_set(world: World) -> None:
    """Nothing moved, nothing to wait for."""
    assert await world.scripts.promote(10) == (0, -1)


async def test_the_last_job(world: World) -> None:
    """After the last due job nothing is left to wait for."""
    await world.scripts.schedule([(0, world.job().encode())])
    assert await world.scripts.promote(10) == (1, -1)


async def test_an_urgent_job_that_had_to_wait_is_urgent_still(world: World) -> None:
    """Put back for a busy tenant, it comes by the urgent stream again, not behind the backlog."""
    [held] = await world.lock("w1", world.job(), urgent=True)
    body = world.job().encode()
    await world.scripts.reschedule("w1", [(held, 0, body)])
    asked = await world.now_ms()
    while await world.now_ms() <= asked:
        pass
    await world.scripts.promote(10)
    assert await world.bodies(world.keys.urgent) == [body]


async def test_older_urgent_jobs_go_first(world: World) -> None:
    """Two urgent jobs leave in the order in which they were asked for."""
    first, second = world.job().encode(), world.job().encode()
    await world.scripts.schedule([(0, first)], urgent=True)
    asked = await world.now_ms()
    while await world.now_ms() == asked:
        pass
    await world.scripts.schedule([(0, second)], urgent=True)
    await world.scripts.promote(10)
    assert await world.bodies(world.keys.urgent) == [first, second]


async def test_urgent_jobs_go_to_their_own_stream_and_first(world: World) -> None:
    """Urgent jobs leave before older ordinary ones, into the urgent stream."""
    ordinary, urgent = world.job().encode(), world.job().encode()
    await world.scripts.schedule([(1, ordinary)])
    await world.scripts.schedule([(0, urgent)], urgent=True)
    assert await world.scripts.promote(1) == (1, 0)
    assert await world.bodies(world.keys.urgent) == [urgent]
    assert await world.bodies(world.keys.stream) == []


async def test_a_job_is_promoted_when_its_time_has_come(world: World) -> None:
    """A job due in a moment stays until then by Redis' clock, and leaves afterwards."""
    due_ms = await world.now_ms() + 50
    await world.scripts.schedule([(due_ms, world.job().encode())])

    async def moved() -> int:
        return (await world.scripts.promote(1))[0]

    await wait_until(moved, 5, "the job to be promoted")
    assert await world.now_ms() >= due_ms


async def test_ten_thousand_due_at_once_leave_in_bounded_steps(world: World) -> None:
    """A step moves no more than its limit, in order, and says that more is due until all are gone."""
    jobs = [(n + 1, world.job(f"t{n}").encode()) for n in range(10_000)]
    for start in range(0, len(jobs), 1000):
        await world.scripts.schedule(jobs[start : start + 1000])
    steps = [await world.scripts.promote(500) for _ in range(21)]
    assert steps == [(500, 0)] * 19 + [(500, -1), (0, -1)]
    assert await world.bodies(world.keys.stream) == [body for _, body in jobs]


async def test_many_promoters_move_each_job_once(world: World) -> None:
    """Workers that promote at once put each job into the stream exactly once."""
    jobs = [(n + 1, world.job(f"t{n}").encode()) for n in range(1000)]
    await world.scripts.schedule(jobs)
    queues = [await world.another() for _ in range(8)]
    steps = await asyncio.gather(*(queue.partitions[0].scripts.promote(30) for queue in queues * 6))
    assert sum(moved for moved, _ in steps) == 1000
    assert sorted(await world.bodies(world.keys.stream)) == sorted(body for _, body in jobs)


async def test_a_group_that_is_missing_does_not_stop_promotion(world: World) -> None:
    """Jobs promoted into a stream without group are seen by the group that is made afterwards."""
    await world.raw("FLUSHDB")
    job = world.job()
    await world.enqueue(job)
    assert await world.partition.create_group()
    assert [d.job for d in await world.partition.read("w", 5, block_ms=0)] == [job]


async def test_an_error_half_way_leaves_each_job_in_one_place(world: World) -> None:
    """Where the second job cannot be added, the first has moved and the second still waits."""
    urgent, ordinary = world.job().encode(), world.job().encode()
    await world.scripts.schedule([(0, urgent)], urgent=True)
    await world.scripts.schedule([(1, ordinary)])
    await world.raw("DEL", world.keys.stream)
    await world.raw("SET", world.keys.stream, "not a stream")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await world.scripts.promote(10)
    assert await world.bodies(world.keys.urgent) == [urgent]
    assert list(await world.delayed()) == [ordinary]


async def test_out_of_memory_loses_nothing(redis_server: RedisServer) -> None:
    """A server without memory promotes nothing and says so; with memory again it promotes all."""
    async with Queue(redis_server.url, "test", 1) as queue:
        scripts = queue.partitions[0].scripts
        await scripts.schedule([(n, b"%d 1 customers t1" % n) for n in range(1, 11)])
        await queue.client.config_set("maxmemory", 1)
        with pytest.raises(QueueUnavailable):
            await scripts.promote(10)
        await queue.client.config_set("maxmemory", 0)
        assert await scripts.promote(10) == (10, -1)
