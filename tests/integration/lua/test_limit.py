"""limit.lua: an exact sliding window."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from streamsync.queue.keys import limit_keys
from streamsync.queue.limits import Limit
from tests.integration.queue.world import World
from tests.support import wait_until

PERMITS, SINCE = limit_keys("test", "erp")


def limit_of(world: World, maximum: int, window_ms: int) -> Limit:
    """A limit of the queue under test."""
    return Limit(world.queue.client, "test", "erp", maximum=maximum, window_ms=window_ms)


async def known(world: World) -> None:
    """Let Redis know the window since long ago, so that permits may be given at once."""
    await world.raw("SET", SINCE, 0)


async def given(limit: Limit) -> None:
    """Wait until a permit is given."""

    async def taken() -> bool:
        return bool((await limit.take(1)).ids)

    await wait_until(taken, 5, "a permit")


async def scores(world: World, ids: Sequence[str]) -> list[int]:
    """When these permits were given, by Redis' clock."""
    return [int(score) for score in await world.raw("ZMSCORE", PERMITS, *ids)]


async def test_gives_up_to_the_maximum(world: World) -> None:
    """Of what is asked, as much is given as the window has room for; then the wait is told."""
    await known(world)
    limit = limit_of(world, 5, 60_000)
    first = await limit.take(3)
    second = await limit.take(3)
    third = await limit.take(3)
    assert (len(first.ids), first.wait_ms) == (3, 0)
    assert len(second.ids) == 2
    assert len(third.ids) == 0
    assert 50_000 < third.wait_ms <= second.wait_ms <= 60_001
    assert len({*first.ids, *second.ids}) == 5
    assert await world.raw("ZCARD", PERMITS) == 5


async def test_more_than_the_maximum_is_never_given(world: World) -> None:
    """Asking for more than the maximum gives the maximum."""
    await known(world)
    assert len((await limit_of(world, 5, 60_000).take(9)).ids) == 5


async def test_asking_for_none(world: World) -> None:
    """Nothing wanted, nothing given, nothing to wait for."""
    await known(world)
    grant = await limit_of(world, 5, 60_000).take(0)
    assert (grant.ids, grant.wait_ms) == ((), 0)


async def test_a_permit_comes_back_after_its_window_and_not_before(world: World) -> None:
    """The wait that was told is right: the next permit is there then, later than a window after the first."""
    await known(world)
    limit = limit_of(world, 1, 80)
    [first] = (await limit.take(1)).ids
    [at] = await scores(world, [first])
    assert (await limit.take(1)).ids == ()
    await given(limit)
    [following] = await world.raw("ZRANGE", PERMITS, 0, -1)
    [next_at] = await scores(world, [following.decode()])
    assert next_at > at + 80


async def test_permits_given_back_can_be_taken_again(world: World) -> None:
    """What was not used is free at once; giving back nothing, or twice, does nothing."""
    await known(world)
    limit = limit_of(world, 3, 60_000)
    grant = await limit.take(3)
    await limit.give_back(grant.ids[:2])
    await limit.give_back(grant.ids[:2])
    await limit.give_back([])
    assert len((await limit.take(3)).ids) == 2


async def test_a_missing_window_counts_as_spent(world: World) -> None:
    """When Redis forgot the window, nothing is given for more than its length, by Redis' clock."""
    limit = limit_of(world, 5, 100)
    before = await world.now_ms()
    grant = await limit.take(5)
    assert grant.ids == ()
    # One ms more than the window: times are cut to whole ms, and the last permit that was forgotten may
    # have been given in this very one.
    assert grant.wait_ms == 101
    await given(limit)
    assert await world.now_ms() >= before + 101


async def test_a_missing_window_waits_once_for_all(world: World) -> None:
    """Many who find the window missing do not push its beginning away from each other."""
    limit = limit_of(world, 5, 60_000)
    await limit.take(1)
    since = int(await world.raw("GET", SINCE))
    await asyncio.gather(*(limit.take(1) for _ in range(5)))
    assert int(await world.raw("GET", SINCE)) == since


async def test_permits_forgotten_while_the_window_is_known(world: World) -> None:
    """The set of permits ends by itself when it is idle; the window stays known, and permits are there."""
    await known(world)
    limit = limit_of(world, 2, 20)
    await limit.take(2)
    assert 0 < await world.raw("PTTL", PERMITS) <= 1020
    await world.raw("DEL", PERMITS)
    assert len((await limit.take(2)).ids) == 2


async def test_a_clock_that_stepped_back_does_not_block_for_the_step(world: World) -> None:
    """Permits of the future count as given now: they block for a window, not for as long as the step."""
    await known(world)
    future = await world.now_ms() + 3_600_000
    await world.raw("ZADD", PERMITS, future, "a", future + 1, "b")
    limit = limit_of(world, 2, 100)
    grant = await limit.take(1)
    assert grant.ids == ()
    assert 0 < grant.wait_ms <= 101

    await given(limit)


async def test_a_clock_that_stepped_back_gives_nothing_too_early(world: World) -> None:
    """A permit of the future is still counted: stepping back opens no room."""
    await known(world)
    await world.raw("ZADD", PERMITS, await world.now_ms() + 3_600_000, "a")
    assert len((await limit_of(world, 2, 60_000).take(2)).ids) == 1


async def test_a_beginning_in_the_far_future_is_at_most_a_window_away(world: World) -> None:
    """After a step back the moment since when the window is known is brought near."""
    await world.raw("SET", SINCE, await world.now_ms() + 3_600_000)
    assert 0 < (await limit_of(world, 2, 200).take(2)).wait_ms <= 201


async def test_limits_do_not_share_permits(world: World) -> None:
    """Limits of other names and other queues have windows of their own."""
    client = world.queue.client
    limits = [
        Limit(client, queue, name, maximum=1, window_ms=60_000)
        for queue, name in (("test", "erp"), ("test", "host"), ("other", "erp"))
    ]
    for queue, name in (("test", "erp"), ("test", "host"), ("other", "erp")):
        await world.raw("SET", limit_keys(queue, name)[1], 0)
    assert [len((await limit.take(1)).ids) for limit in limits] == [1, 1, 1]


@pytest.mark.parametrize("several", [1, 3])
async def test_no_window_holds_more_than_the_maximum(world: World, several: int) -> None:
    """However many workers take at once, no window of the duration holds more permits than allowed: by the
    time that Redis noted, and by its clock read before and after each call."""
    maximum, window_ms, wanted = 7, 60, 70
    await known(world)
    noted: list[int] = []
    before: list[int] = []
    after: list[int] = []

    async def worker() -> None:
        queue = await world.another()
        limit = Limit(queue.client, "test", "erp", maximum=maximum, window_ms=window_ms)
        while len(noted) < wanted:
            start = await world.now_ms()
            grant = await limit.take(several)
            end = await world.now_ms()
            if grant.ids:
                noted.extend(await scores(world, grant.ids))
                before.extend([start] * len(grant.ids))
                after.extend([end + 1] * len(grant.ids))
            await asyncio.sleep(grant.wait_ms / 1000)

    await asyncio.gather(*(worker() for _ in range(10)))
    noted.sort()
    before.sort()
    after.sort()
    gaps = [late - early for early, late in zip(noted, noted[maximum:], strict=False)]
    assert min(gaps) > window_ms
    assert all(late - early >= window_ms for early, late in zip(before, after[maximum:], strict=False))
