"""Depths are counted, not estimated; and the queue as a whole is the sum of its partitions."""

from __future__ import annotations

import pytest

from streamsync.embedded import RedisServer
from streamsync.jobs import Job, partition_of
from streamsync.queue.queue import Queue
from streamsync.queue.stream import Depths
from tests.integration.queue.world import KEEP_MS, World


async def test_each_place_is_counted(world: World) -> None:
    """Depths follow a job through all its places."""
    seen = [await world.partition.depths()]
    future = await world.now_ms() + 60_000
    await world.scripts.schedule([(future, world.job("d").encode())])
    seen.append(await world.partition.depths())
    await world.enqueue(world.job("a"), world.job("b"), world.job("c"))
    await world.enqueue(world.job("u"), urgent=True)
    seen.append(await world.partition.depths())
    held = await world.lock("w", world.job("e"), urgent=True)
    seen.append(await world.partition.depths())
    await world.partition.read("w", 2, block_ms=0)
    seen.append(await world.partition.depths())
    await world.scripts.dead("w", [(held[0], b"x", "e")], KEEP_MS)
    seen.append(await world.partition.depths())
    assert seen == [
        Depths(0, 0, 0, 0),
        Depths(1, 0, 0, 0),
        Depths(1, 4, 0, 0),
        Depths(1, 4, 1, 0),
        Depths(1, 2, 3, 0),
        Depths(1, 2, 2, 1),
    ]


async def test_jobs_go_to_their_tenants_partition(redis_url: str) -> None:
    """A page for many tenants is spread over the partitions, each job once; depths are the sum."""
    jobs = [Job(n, 1, "customers", f"t{n}") for n in range(1, 101)]
    async with Queue(redis_url, "test", 4) as queue:
        for partition in queue.partitions:
            await partition.create_group()
        assert await queue.schedule([(1000 + n, job) for n, job in enumerate(jobs)]) == 100
        assert await queue.schedule([(1, job) for job in jobs], move_forward=True) == 0
        assert await queue.schedule([]) == 0
        for number, partition in enumerate(queue.partitions):
            mine = [job for job in jobs if partition_of(job.tenant_id, 4) == number]
            assert all(queue.partition(job.tenant_id) is partition for job in mine)
            assert await partition.scripts.promote(1000) == (len(mine), -1)
            found = await partition.read("w", 1000, block_ms=0)
            assert {d.job for d in found} == set(mine)
        assert await queue.depths() == Depths(0, 0, 100, 0)


async def test_queues_of_other_names_share_nothing(redis_url: str, world: World) -> None:
    """Two queues on one server do not see each other's jobs."""
    await world.enqueue(world.job())
    async with Queue(redis_url, "other", 1) as other:
        assert await other.partitions[0].create_group()
        assert await other.depths() == Depths(0, 0, 0, 0)


@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lru"])
async def test_the_eviction_policy(redis_server: RedisServer, policy: str) -> None:
    """The server's policy is told as it is."""
    async with Queue(redis_server.url, "test", 1) as queue:
        await queue.client.config_set("maxmemory-policy", policy)
        assert await queue.eviction_policy() == policy
