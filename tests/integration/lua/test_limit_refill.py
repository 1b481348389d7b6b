"""limit_refill.lua: the ledger tells a forgotten window what was given."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from streamsync.queue.keys import limit_keys
from streamsync.queue.limits import Limit
from streamsync.queue.scripts import refill_permits, take_permits
from tests.integration.queue.world import World

KEYS = limit_keys("test", "starts")


class Ledger:
    """Remembers starts and counts how often it is asked."""

    def __init__(self, *ages_ms: int) -> None:
        self.permits = [(f"start-{n}", age) for n, age in enumerate(ages_ms)]
        self.asked: list[int] = []

    async def recall(self, window_ms: int) -> Sequence[tuple[str, int]]:
        """The starts of a window."""
        self.asked.append(window_ms)
        await asyncio.sleep(0)
        return self.permits


def limit_of(world: World, ledger: Ledger, *, maximum: int = 3, window_ms: int = 60_000) -> Limit:
    """A limit that the ledger can refill."""
    return Limit(
        world.queue.client, "test", "starts", maximum=maximum, window_ms=window_ms, recall=ledger.recall
    )


async def test_a_forgotten_window_is_filled_from_the_ledger(world: World) -> None:
    """What the ledger knows of counts; the rest is given at once, without waiting for a window."""
    ledger = Ledger(10_000, 20_000)
    grant = await limit_of(world, ledger).take(3)
    assert len(grant.ids) == 1
    assert 30_000 < grant.wait_ms <= 40_001  # until the start of 20 s ago leaves the window
    assert ledger.asked == [60_000]


async def test_the_ledger_is_asked_only_while_the_window_is_missing(world: World) -> None:
    """A known window is not asked about again."""
    ledger = Ledger()
    limit = limit_of(world, ledger)
    assert len((await limit.take(2)).ids) == 2
    assert len((await limit.take(2)).ids) == 1
    assert len(ledger.asked) == 1


async def test_ask_gives_nothing_and_writes_nothing(world: World) -> None:
    """A missing window only says that it is missing."""
    before = await world.everything()
    answer = await take_permits(world.queue.client, KEYS, maximum=3, window_ms=1000, ids=["a"], ask=True)
    assert answer == (0, 0, False)
    assert await world.everything() == before


async def test_starts_older_than_the_window_do_not_count(world: World) -> None:
    """Starts that have left the window take no room."""
    assert len((await limit_of(world, Ledger(60_001, 70_000, 0), maximum=2).take(2)).ids) == 1


async def test_more_starts_than_the_maximum(world: World) -> None:
    """A window that the ledger has overfull (the maximum was lowered) gives nothing, and says so."""
    grant = await limit_of(world, Ledger(1000, 2000, 3000), maximum=1).take(1)
    assert grant.ids == ()
    assert grant.wait_ms > 0


async def test_the_first_to_refill_wins(world: World) -> None:
    """A second refill touches nothing, whatever it says."""
    client = world.queue.client
    assert await refill_permits(client, KEYS, window_ms=60_000, permits=[("a", 5)])
    before = await world.everything()
    assert not await refill_permits(client, KEYS, window_ms=60_000, permits=[("b", 5)])
    assert await world.everything() == before


async def test_the_times_are_whole_milliseconds_of_redis(world: World) -> None:
    """Ages are taken off Redis' clock, and the window is known from now on."""
    before = await world.now_ms()
    await refill_permits(world.queue.client, KEYS, window_ms=60_000, permits=[("a", 1000)])
    after = await world.now_ms()
    assert before - 1000 <= int(await world.raw("ZSCORE", KEYS[0], "a")) <= after - 1000
    assert before <= int(await world.raw("GET", KEYS[1])) <= after
    assert 0 < await world.raw("PTTL", KEYS[0]) <= 61_000


async def test_many_workers_after_a_flush(world: World) -> None:
    """Workers that all find the window missing and all refill it share what is left, and no more."""
    ledger = Ledger(*range(0, 40_000, 10_000))
    queues = [await world.another() for _ in range(10)]
    grants = await asyncio.gather(
        *(
            Limit(queue.client, "test", "starts", maximum=9, window_ms=60_000, recall=ledger.recall).take(2)
            for queue in queues
        )
    )
    assert sum(len(grant.ids) for grant in grants) == 5
    assert await world.raw("ZCARD", KEYS[0]) == 9
