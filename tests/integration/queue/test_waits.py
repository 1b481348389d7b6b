"""Waiting without polling: for an earlier due time, and for entries without claiming them."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.integration.queue.world import World
from tests.support import wait_until


async def test_a_token_ends_the_sleep_at_once(world: World) -> None:
    """A job that became the earliest wakes the promoter, which finds it."""
    sleeper = asyncio.create_task(world.partition.wait_for_wake(4))
    await world.blocked()
    await world.scripts.schedule([(0, world.job().encode())])
    async with asyncio.timeout(2):
        await sleeper
    assert await world.tokens() == 0


async def test_a_token_that_came_before_the_sleep(world: World) -> None:
    """A token waits for the promoter, so a wake-up between its last look and its sleep is not lost."""
    await world.scripts.schedule([(0, world.job().encode())])
    async with asyncio.timeout(2):
        await world.partition.wait_for_wake(4)


@pytest.mark.parametrize("seconds", [0.0, 0.02])
async def test_without_a_token_the_time_is_up(world: World, seconds: float) -> None:
    """The sleep ends by itself; zero does not mean for ever."""
    async with asyncio.timeout(2):
        await world.partition.wait_for_wake(seconds)


async def test_one_token_wakes_one_promoter(world: World) -> None:
    """Of several sleeping promoters one is woken: one is enough."""
    sleepers = [
        asyncio.create_task(queue.partitions[0].wait_for_wake(4))
        for queue in [await world.another() for _ in range(3)]
    ]

    async def all_sleep() -> bool:
        return int((await world.queue.client.info("clients"))["blocked_clients"]) >= 3

    await wait_until(all_sleep, 5, "three sleepers")
    await world.scripts.schedule([(0, world.job().encode())])
    done, rest = await asyncio.wait(sleepers, timeout=2, return_when=asyncio.FIRST_COMPLETED)
    assert len(done) == 1
    for sleeper in rest:
        sleeper.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


@pytest.mark.parametrize("urgent", [False, True])
async def test_entries_that_are_there_already(world: World, urgent: bool) -> None:
    """Undelivered entries are seen at once, and stay undelivered."""
    await world.enqueue(world.job(), urgent=urgent)
    async with asyncio.timeout(1):
        assert await world.partition.wait_for_entries(4000)
    assert await world.owners() == {}


@pytest.mark.parametrize("urgent", [False, True])
async def test_entries_that_come_while_waiting(world: World, urgent: bool) -> None:
    """An entry of either stream ends the wait, and stays undelivered."""
    waiter = asyncio.create_task(world.partition.wait_for_entries(4000))
    await world.blocked()
    await world.enqueue(world.job(), urgent=urgent)
    async with asyncio.timeout(2):
        assert await waiter
    assert await world.owners() == {}


async def test_running_entries_are_not_waited_for(world: World) -> None:
    """Entries that are delivered already end no wait."""
    await world.deliver("w", world.job())
    assert not await world.partition.wait_for_entries(20)


async def test_an_entry_between_the_look_and_the_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that comes right after the look may be missed by this wait, never for longer than the wait,
    and the next look sees it."""
    partition = world.partition

    async def nothing_yet() -> int:
        await world.enqueue(world.job())  # after the look, before the wait
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(partition, "_undelivered", nothing_yet)
        start = time.monotonic()
        await partition.wait_for_entries(50)
        assert time.monotonic() - start < 2
    assert await partition.wait_for_entries(50)
