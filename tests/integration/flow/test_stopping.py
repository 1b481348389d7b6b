"""Stopping is heard: in every step of a command, by every loop."""

from __future__ import annotations

import asyncio

from streamsync.queue.connection import call, connect
from tests.faults.world import World


async def test_a_cancellation_is_heard_in_every_step_of_a_command(redis_url: str) -> None:
    """Python 3.11's `wait_for` loses one that comes as it ends; a loop that goes on then never stops."""
    client = connect(redis_url)
    try:
        await call(client, "PING")
        for steps in range(40):
            task = asyncio.create_task(call(client, "BLPOP", "nothing", "2"))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=1)
            assert done, f"cancelled after {steps} steps of the loop, and went on"
            assert task.cancelled()
    finally:
        await client.aclose()


async def test_workers_stop_in_whatever_step_they_are(world: World) -> None:
    """Starting and stopping at once, many times, never hangs."""
    for steps in range(30):
        async with asyncio.timeout(20), world.worker():
            for _ in range(steps):
                await asyncio.sleep(0)
