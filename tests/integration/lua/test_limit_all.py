"""limit_all.lua and the request limits: one permit of each window, or none of any."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from streamsync.metrics import LIMIT_WAIT_SECONDS
from streamsync.queue.keys import limit_keys
from streamsync.queue.request_limits import Rate, RequestLimits
from streamsync.queue.scripts import Window, take_from_all
from tests.integration.queue.world import World
from tests.plugins.fix_proxy import MakeProxy
from tests.support import wait_until

HOST = "erp.example"
OTHER = "other.example"


def keys_of(host: str | None) -> tuple[bytes, bytes]:
    """The keys of a host's window, or of that over all hosts."""
    return limit_keys("test", "requests" if host is None else f"requests:{host}")


async def known(world: World, *hosts: str | None) -> None:
    """Let Redis know these windows since long ago, so that permits may be given at once."""
    for host in hosts:
        await world.raw("SET", keys_of(host)[1], 0)


async def spent(world: World, host: str | None) -> int:
    """Permits that a window holds."""
    return int(await world.raw("ZCARD", keys_of(host)[0]))


def window(host: str | None, maximum: int, window_ms: int = 60_000) -> Window:
    """A window of the queue under test."""
    return Window(keys_of(host), maximum, window_ms)


async def take(world: World, permit: str, *windows: Window) -> tuple[bool, int, int]:
    """Call the script."""
    return await take_from_all(world.queue.client, windows, permit)


def limits_of(world: World, *, overall: Rate | None = None, per_host: Rate | None = None) -> RequestLimits:
    """Request limits of the queue under test."""
    return RequestLimits(world.queue.client, "test", overall=overall, per_host=per_host)


async def test_a_permit_is_taken_of_each(world: World) -> None:
    """Until one of them is full; then nothing is taken of the others either, and the wait is told with its cause."""
    await known(world, HOST, OTHER, None)
    assert await take(world, "a", window(None, 3), window(HOST, 1)) == (True, 0, 0)
    taken, wait_ms, place = await take(world, "b", window(None, 3), window(HOST, 1))
    assert (taken, place) == (False, 2)
    assert 50_000 < wait_ms <= 60_001
    assert (await spent(world, None), await spent(world, HOST)) == (1, 1)
    assert await take(world, "c", window(None, 3), window(OTHER, 2)) == (True, 0, 0)
    assert await take(world, "d", window(None, 3), window(OTHER, 2)) == (True, 0, 0)
    taken, _, place = await take(world, "e", window(None, 3), window("third.example", 1, 1))
    assert (taken, place) == (False, 1)
    assert await spent(world, None) == 3


async def test_the_slowest_window_is_told(world: World) -> None:
    """Waiting for less would only be waiting again."""
    await known(world, HOST, None)
    await take(world, "a", window(None, 1, 60_000), window(HOST, 1, 1000))
    assert (await take(world, "b", window(None, 1, 60_000), window(HOST, 1, 1000)))[2] == 1
    assert (await take(world, "b", window(HOST, 1, 1000), window(None, 1, 60_000)))[2] == 2


async def test_a_maximum_that_was_lowered(world: World) -> None:
    """The wait is until so many have left that there is room, not until the first has."""
    await known(world, None)
    now = await world.now_ms()
    for number, age_ms in enumerate((50_000, 40_000, 30_000)):
        await world.raw("ZADD", keys_of(None)[0], now - age_ms, str(number))
    _, wait_ms, _ = await take(world, "a", window(None, 1))
    assert 29_000 < wait_ms <= 30_001


async def test_a_missing_window_counts_as_spent(world: World) -> None:
    """When Redis forgot, nothing is given for more than the window's length; all missing ones begin at once."""
    taken, wait_ms, place = await take(world, "a", window(None, 5, 100), window(HOST, 5, 200))
    assert (taken, wait_ms, place) == (False, 201, 2)
    assert (
        int(await world.raw("GET", keys_of(HOST)[1])) - int(await world.raw("GET", keys_of(None)[1])) == 100
    )
    assert (await spent(world, None), await spent(world, HOST)) == (0, 0)
    before = await world.now_ms()
    await limits_of(world, overall=Rate(5, 100), per_host=Rate(5, 200)).take(HOST)
    assert await world.now_ms() - before > 100


async def test_a_forgotten_window_beside_a_known_one(world: World) -> None:
    """FLUSHALL or a lost key: the known window gives nothing away meanwhile."""
    await known(world, None)
    assert (await take(world, "a", window(None, 5), window(HOST, 5)))[0] is False
    assert await spent(world, None) == 0


async def test_a_clock_that_stepped_back(world: World) -> None:
    """Permits and beginnings of the future block for a window, not for as long as the step."""
    future = await world.now_ms() + 3_600_000
    await world.raw("SET", keys_of(HOST)[1], future)
    await known(world, None)
    await world.raw("ZADD", keys_of(None)[0], future, "x")
    taken, wait_ms, _ = await take(world, "a", window(None, 1, 1000), window(HOST, 1, 2000))
    assert (taken, wait_ms) == (False, 2001)
    _, wait_ms, _ = await take(world, "a", window(None, 1, 1000))
    assert 0 < wait_ms <= 1001
    assert (await take(world, "a", window(None, 2, 1000)))[0]


async def test_a_waiting_host_eats_no_permits_of_others(world: World) -> None:
    """Many syncs that wait for one host leave the limit over all hosts to the rest."""
    await known(world, None, HOST, OTHER)
    limits = limits_of(world, overall=Rate(5, 60_000), per_host=Rate(2, 60_000))
    waiting = [asyncio.create_task(limits.take(HOST)) for _ in range(20)]

    async def both_taken() -> bool:
        return await spent(world, HOST) == 2

    await wait_until(both_taken)
    async with asyncio.timeout(5):
        await limits.take(OTHER)
        await limits.take(OTHER)
    done = [task for task in waiting if task.done()]
    assert (len(done), await spent(world, None), await spent(world, HOST)) == (2, 4, 2)
    for task in waiting:  # a wait can be cancelled
        task.cancel()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(isinstance(end, asyncio.CancelledError) for end in ends) == 18
    assert await spent(world, None) == 4


async def test_without_limits_nothing_is_asked(world: World) -> None:
    """No window, no question."""
    before = await world.everything()
    await limits_of(world).take(HOST)
    assert await world.everything() == before


async def test_one_limit_alone(world: World) -> None:
    """Each may be on without the other."""
    await known(world, HOST, None)
    await limits_of(world, per_host=Rate(1, 60_000)).take(HOST)
    assert (await spent(world, HOST), await spent(world, None)) == (1, 0)
    await limits_of(world, overall=Rate(1, 60_000)).take(HOST)
    assert (await spent(world, HOST), await spent(world, None)) == (1, 1)


def _waited(limit: str) -> float:
    return float(LIMIT_WAIT_SECONDS.labels(limit=limit)._value.get())


async def test_waits_are_counted_by_the_limit_that_caused_them(world: World) -> None:
    """What an operator would raise is what the figures speak of."""
    await known(world, HOST, OTHER, None)
    before = {limit: _waited(limit) for limit in ("requests", "host_requests")}
    per_host = limits_of(world, overall=Rate(9, 10), per_host=Rate(1, 150))
    await per_host.take(HOST)
    await per_host.take(HOST)
    assert _waited("host_requests") - before["host_requests"] > 0.1
    assert _waited("requests") == before["requests"]
    overall = limits_of(world, overall=Rate(1, 150), per_host=Rate(9, 10))
    await overall.take(OTHER)
    await overall.take(OTHER)
    assert _waited("requests") - before["requests"] > 0.1


@pytest.mark.parametrize("trouble", ["refused", "deaf"])
async def test_a_wait_outlasts_redis(
    world: World, make_proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """While Redis is away nothing is given and nothing fails; afterwards the wait ends."""
    monkeypatch.setattr("streamsync.queue.connection.COMMAND_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr("streamsync.queue.connection.run.__kwdefaults__", {"timeout_seconds": 0.2})
    await known(world, HOST, None)
    proxy = await make_proxy(world.url)
    queue = await world.stack.enter_async_context(type(world.queue)(proxy.url, "test", 1))
    limits = RequestLimits(queue.client, "test", overall=Rate(3, 50), per_host=Rate(3, 50))
    if trouble == "refused":
        await proxy.stop()
    else:
        proxy.deafen()
    before = _waited("redis_away")
    waiting = asyncio.create_task(limits.take(HOST))
    await wait_until(lambda: _waited("redis_away") > before, description="a wait for Redis")
    assert not waiting.done()
    await proxy.restart()
    async with asyncio.timeout(10):
        await waiting


@pytest.mark.parametrize("overall_ms", [60, 150])
async def test_no_window_holds_more_than_the_maximum(world: World, overall_ms: int) -> None:
    """However many workers ask at once: neither over all hosts nor for one, by Redis' clock read before and
    after each call."""
    overall, per_host = Rate(7, overall_ms), Rate(3, 90)
    hosts = (HOST, OTHER, "third.example")
    await known(world, None, *hosts)
    given: list[tuple[str, int, int]] = []

    async def worker(host: str) -> None:
        queue = await world.another()
        windows = [window(None, 7, overall_ms), window(host, 3, 90)]
        while len(given) < 70:
            start = await world.now_ms()
            taken, wait_ms, _ = await take_from_all(queue.client, windows, f"{id(queue)}-{len(given)}")
            if taken:
                given.append((host, start, await world.now_ms() + 1))
            await asyncio.sleep(wait_ms / 1000)

    await asyncio.gather(*(worker(host) for host in hosts for _ in range(4)))
    _check([g[1:] for g in given], overall)
    for host in hosts:
        _check([g[1:] for g in given if g[0] == host], per_host)


def _check(spans: Sequence[tuple[int, int]], rate: Rate) -> None:
    """The n-th and the (n + max)-th permit may not have been in one window."""
    starts = sorted(start for start, _ in spans)
    ends = sorted(end for _, end in spans)
    gaps = [late - early for early, late in zip(starts, ends[rate.maximum :], strict=False)]
    assert gaps
    assert min(gaps) >= rate.window_ms
