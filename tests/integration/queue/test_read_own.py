"""Partition.read_own: what a lost reply or a cancelled read has hidden comes to light."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from streamsync.errors import QueueUnavailable
from streamsync.queue.queue import Queue
from streamsync.queue.scripts import Code, Held
from tests.integration.queue.world import TTL_MS, World, entries
from tests.plugins.fix_proxy import Direction, MakeProxy, TcpProxy, Verdict
from tests.support import wait_until


class LosesReplies:
    """A proxy's rule: once armed, what the server answers to the next XREADGROUP that delivers is held."""

    def __init__(self) -> None:
        self.armed = False
        self.lost = asyncio.Event()

    def __call__(self, direction: Direction, chunk: bytes) -> Verdict:
        """Swallow a reply that carries an entry."""
        if self.armed and direction is Direction.REPLY and b"customers" in chunk:
            self.lost.set()
            return Verdict.SWALLOW
        return Verdict.PASS


@pytest.fixture
async def rule() -> LosesReplies:
    """The proxy's rule."""
    return LosesReplies()


@pytest.fixture
async def proxy(world: World, make_proxy: MakeProxy, rule: LosesReplies) -> TcpProxy:
    """A proxy to the server under that rule."""
    return await make_proxy(world.url, decide=rule)


@pytest.mark.parametrize("urgent", [False, True])
@pytest.mark.parametrize("blocking", [False, True])
async def test_after_a_lost_reply(
    world: World, proxy: TcpProxy, rule: LosesReplies, urgent: bool, blocking: bool
) -> None:
    """An entry whose reply was lost is not delivered again by `read`, and is found by `read_own`."""
    hidden, following = world.job("hidden"), world.job("following")
    async with Queue(proxy.url, world.queue.name, 1) as queue:
        partition = queue.partitions[0]
        assert await partition.read("w", 2, block_ms=0) == []
        rule.armed = True
        if not blocking:
            await world.enqueue(hidden, urgent=urgent)
        reader = asyncio.create_task(partition.read("w", 2))
        if blocking:
            await world.blocked()
            await world.enqueue(hidden, urgent=urgent)
        await rule.lost.wait()
        await proxy.cut()  # sooner than the client would lose patience
        with pytest.raises(QueueUnavailable):
            await reader
        rule.armed = False

        await world.enqueue(following)
        assert [d.job for d in await partition.read("w", 2, block_ms=0)] == [following]
        own = await partition.read_own("w")
        assert {d.job for d in own} == {hidden, following}
        [found] = [Held(d.entry, "c", "hidden") for d in own if d.job == hidden]
        assert await partition.scripts.lock("w", [found], TTL_MS) == [Code.DONE]


@pytest.mark.parametrize("urgent", [False, True])
async def test_after_a_cancelled_read(
    world: World, proxy: TcpProxy, rule: LosesReplies, urgent: bool
) -> None:
    """An entry whose reader was cancelled while the reply was on its way is found by `read_own`, and the
    same clients go on with the right replies."""
    hidden, following = world.job("hidden"), world.job("following")
    async with Queue(proxy.url, world.queue.name, 1) as queue:
        partition = queue.partitions[0]
        reader = asyncio.create_task(partition.read("w", 2))
        await world.blocked()
        rule.armed = True
        await world.enqueue(hidden, urgent=urgent)
        await rule.lost.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        rule.armed = False

        await world.enqueue(following)
        assert [d.job for d in await partition.read("w", 2, block_ms=0)] == [following]
        assert {d.job for d in await partition.read_own("w")} == {hidden, following}
        await queue.ping()


async def test_cancelled_at_any_moment(world: World) -> None:
    """However often reads are cancelled, each entry is either returned by one or found by `read_own`."""
    jobs = [world.job(f"t{n}") for n in range(40)]
    returned: set[str] = set()
    for n, job in enumerate(jobs):
        reader = asyncio.create_task(world.partition.read("w", 2))
        for _ in range(n % 8):
            await asyncio.sleep(0)
        if n % 2:  # until it waits, or has found what an earlier one was too early for
            blocking = asyncio.create_task(world.blocked())
            await asyncio.wait({reader, blocking}, return_when=asyncio.FIRST_COMPLETED)
            blocking.cancel()
            await asyncio.wait({blocking})
        adding = asyncio.create_task(world.enqueue(job))
        for _ in range(n % 5):
            await asyncio.sleep(0)
        reader.cancel()
        with suppress(asyncio.CancelledError):
            returned.update(entries(await reader))
        await adding
    own = await world.partition.read_own("w")
    rest = await world.partition.read("w2", 100, block_ms=0)
    assert returned <= set(entries(own))
    assert sorted(d.job.job_id for d in own + rest if d.job) == [job.job_id for job in jobs]


async def test_only_its_own_and_both_streams(world: World) -> None:
    """A consumer finds what is pending for itself, urgent first, and nothing else."""
    plain, urgent = world.job("a"), world.job("b")
    await world.deliver("w1", plain)
    await world.deliver("w1", urgent, urgent=True)
    await world.deliver("w2", world.job("c"))
    await world.enqueue(world.job("d"))
    assert [d.job for d in await world.partition.read_own("w1")] == [urgent, plain]
    assert await world.partition.read_own("w3") == []


async def test_more_than_a_page(world: World) -> None:
    """Pending lists longer than a page are read to their end, in order."""
    jobs = [world.job(f"t{n}") for n in range(250)]
    await world.deliver("w", *jobs)
    assert [d.job for d in await world.partition.read_own("w")] == jobs


async def test_deleted_entries_are_not_taken_for_unreadable_ones(world: World) -> None:
    """An entry that somebody deleted while it was pending is no entry with an empty body."""
    gone, there = await world.deliver("w", world.job("a"), world.job("b"))
    await world.raw("XDEL", world.keys.stream, gone.entry[1:])
    assert entries(await world.partition.read_own("w")) == [there.entry]


async def test_deleted_entries_hide_nothing(world: World) -> None:
    """What is behind more than a page of deleted entries is still found."""
    held = await world.deliver("w", *(world.job(f"t{n}") for n in range(230)))
    await world.raw("XDEL", world.keys.stream, *(item.entry[1:] for item in held[:220]))
    assert entries(await world.partition.read_own("w")) == [item.entry for item in held[220:]]


async def test_an_unreadable_body(world: World) -> None:
    """Rubbish that a lost reply has hidden is found as well, without a job."""
    await world.raw("XADD", world.keys.stream, "*", "j", b"\xff")
    await world.partition.read("w", 1, block_ms=0)
    [found] = await world.partition.read_own("w")
    assert (found.body, found.job) == (b"\xff", None)


async def test_the_server_restarts_under_a_read(world: World, proxy: TcpProxy) -> None:
    """A connection that is reset while a read waits is an error of that read alone."""
    async with Queue(proxy.url, world.queue.name, 1) as queue:
        reader = asyncio.create_task(queue.partitions[0].read("w", 2))
        await world.blocked()
        await proxy.cut()
        with pytest.raises(QueueUnavailable):
            await reader
        job = world.job()
        await world.enqueue(job)

        async def found() -> bool:
            deliveries = await queue.partitions[0].read("w", 2, block_ms=0)
            deliveries += await queue.partitions[0].read_own("w")
            return job in [d.job for d in deliveries]

        await wait_until(found, 5, "the entry")
