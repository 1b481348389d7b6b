"""What a sweep for dead workers' entries looks at."""

from __future__ import annotations

from streamsync.clock import SystemClock
from streamsync.jobs import Job
from streamsync.queue.keys import GROUP
from streamsync.worker.recovery import Recovery
from tests.faults.world import World


async def test_one_free_slot_finds_the_dead_behind_many_living(world: World) -> None:
    """XAUTOCLAIM looks at ten entries per one asked for: one sweep must still see all that is pending, or the
    dead one is found not after its silence but after as many sweeps as there are tens of running jobs."""
    (partition,) = world.queue.partitions
    await partition.create_group()
    for number in range(1, 402):
        await world.add_entry(Job(number, 1, "customers", f"shop-{number}").encode())
    living = await partition.read("living", 400)
    (dead,) = await partition.read("dead", 1)
    await world.redis.xclaim(world.keys.stream, GROUP, "dead", 0, [dead.entry[1:]], idle=120_000, justid=True)
    assert len(living) == 400
    recovery = Recovery(SystemClock(), 60_000)
    taken = await recovery.run_once(partition, "me", 1)
    assert ([delivery.entry for delivery in taken], recovery.vanished) == ([dead.entry], [])
