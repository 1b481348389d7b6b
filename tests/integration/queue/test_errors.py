"""Redis' troubles as callers see them: wait, set something right, or our own mistake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from redis.exceptions import ResponseError

from streamsync.embedded import RedisServer
from streamsync.embedded.process import free_port
from streamsync.errors import ConfigurationError, QueueUnavailable
from streamsync.queue.connection import GroupMissing, call, command, connect, run
from streamsync.queue.queue import Queue
from streamsync.queue.scripts import Held
from streamsync.queue.stream import Partition, Sweep
from tests.integration.queue.world import World


class Stub:
    """Greets a client like a server and gives every command the same answer."""

    def __init__(self) -> None:
        self.answer = b"+OK\r\n"
        self.port = free_port()

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer until the client goes."""
        while chunk := await reader.read(65536):
            greetings = chunk.count(b"\r\nCLIENT\r\n")
            writer.write(b"+OK\r\n" * greetings or self.answer)
        writer.close()


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    """A running stub."""
    stub = Stub()
    server = await asyncio.start_server(stub.serve, "127.0.0.1", stub.port)
    yield stub
    server.close()


async def answer_of(stub: Stub, answer: str) -> object:
    """What a caller gets where the server gives this answer."""
    stub.answer = answer.encode() + b"\r\n"
    client = connect(stub.url)
    try:
        return await call(client, "PING")
    finally:
        await client.aclose()


@pytest.mark.parametrize(
    "answer",
    [
        "-LOADING Redis is loading the dataset in memory",
        "-READONLY You can't write against a read only replica.",
        "-READONLY You can't write against a read only replica. script: 8d, on @user_script:1.",
        "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "-CLUSTERDOWN The cluster is down",
        "-TRYAGAIN Multiple keys request during rehashing of slot",
        "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        "-OOM command not allowed when used memory > 'maxmemory'.",
        "-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist on disk.",
        "-NOREPLICAS Not enough good replicas to write.",
        "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "-ERR max number of clients reached",
    ],
)
async def test_a_server_that_will_be_well_again(stub: Stub, answer: str) -> None:
    """Restarting, failing over, overloaded, out of memory or disk: wait and go on."""
    with pytest.raises(QueueUnavailable) as caught:
        await answer_of(stub, answer)
    assert not isinstance(caught.value, GroupMissing)


@pytest.mark.parametrize(
    "answer",
    [
        "-NOAUTH Authentication required.",
        "-WRONGPASS invalid username-password pair or user is disabled.",
        "-NOPERM this user has no permissions to run the 'xadd' command",
    ],
)
async def test_a_server_that_refuses_us(stub: Stub, answer: str) -> None:
    """A missing or wrong password, or a missing right, is the operator's to set right."""
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        await answer_of(stub, answer)


@pytest.mark.parametrize("answer", ["-NOGROUP No such key 'k' or consumer group 'g'", "-ERR no such key"])
async def test_a_group_that_is_missing(stub: Stub, answer: str) -> None:
    """A missing group, or a missing stream, is told apart: the caller makes it again."""
    with pytest.raises(GroupMissing):
        await answer_of(stub, answer)


@pytest.mark.parametrize("answer", ["-ERR syntax error", "-WRONGTYPE Operation against a key"])
async def test_our_own_mistakes_pass_through(stub: Stub, answer: str) -> None:
    """An answer that waiting cannot cure is not hidden in a loop that waits."""
    with pytest.raises(ResponseError):
        await answer_of(stub, answer)


async def every_call(partition: Partition) -> list[BaseException | object]:
    """The outcome of one call of each kind."""
    held = Held("s1-1", "c", "t1")
    return await asyncio.gather(
        partition.create_group(),
        partition.read("w", 2, block_ms=10),
        partition.read_own("w"),
        partition.recover("w", Sweep(), idle_ms=0, count=1),
        partition.wait_for_wake(0.01),
        partition.wait_for_entries(10),
        partition.depths(),
        partition.remove_gone_consumers(gone_ms=0),
        partition.scripts.schedule([(0, b"1 1 customers t1")]),
        partition.scripts.promote(1),
        partition.scripts.lock("w", [held], 1000),
        partition.scripts.heartbeat("w", [held], 1000),
        partition.scripts.finish("w", [held]),
        partition.scripts.reschedule("w", [(held, 0, b"1 1 customers t1")]),
        partition.scripts.dead("w", [(held, b"x", "e")], 1000),
        return_exceptions=True,
    )


async def test_a_server_that_is_gone(redis_server: RedisServer) -> None:
    """With the server stopped every call says so, and all is well once it is back."""
    async with Queue(redis_server.url, "test", 1) as queue:
        await queue.partitions[0].create_group()
        redis_server.stop()
        assert {type(outcome) for outcome in await every_call(queue.partitions[0])} == {QueueUnavailable}
        with pytest.raises(QueueUnavailable):
            await queue.ping()
        redis_server.restart()
        await queue.ping()
        assert await queue.partitions[0].create_group()


async def test_a_server_that_hangs(redis_server: RedisServer) -> None:
    """A server that does not answer in time is away; nothing waits for ever."""
    client = connect(redis_server.url)
    await call(client, "PING")
    redis_server.freeze()
    try:
        with pytest.raises(QueueUnavailable, match="TimeoutError"):
            await run(command(client, "PING"), timeout_seconds=0.05)
    finally:
        redis_server.thaw()
    assert await call(client, "ECHO", "after") == b"after"  # the late reply went with its connection
    await client.aclose()


async def test_a_wrong_password(redis_server: RedisServer) -> None:
    """A wrong password is a ConfigurationError for every call, and its message does not tell it."""
    address = urlsplit(redis_server.url)
    url = address._replace(netloc=f":guessed-wrong@127.0.0.1:{redis_server.port}").geturl()
    async with Queue(url, "test", 1) as queue:
        outcomes = await every_call(queue.partitions[0])
    assert {type(outcome) for outcome in outcomes} == {ConfigurationError}
    assert not any("guessed-wrong" in str(outcome) for outcome in outcomes)


async def test_a_replica(redis_server: RedisServer) -> None:
    """On a server that became a replica, every write waits."""
    async with Queue(redis_server.url, "test", 1) as queue:
        partition = queue.partitions[0]
        await partition.create_group()
        await call(queue.client, "REPLICAOF", "127.0.0.1", free_port())
        for write in (
            partition.read("w", 1, block_ms=0),
            partition.scripts.schedule([(0, b"1 1 customers t1")]),
            partition.recover("w", Sweep(), idle_ms=0, count=1),
        ):
            with pytest.raises(QueueUnavailable):
                await write


async def test_out_of_memory(redis_server: RedisServer) -> None:
    """With `noeviction` and no memory left, adding waits while finishing, unlocking and reading go on."""
    async with Queue(redis_server.url, "test", 1) as queue:
        partition = queue.partitions[0]
        await partition.create_group()
        await partition.scripts.schedule([(0, b"1 1 customers t1")])
        await partition.scripts.promote(1)
        [delivery] = await partition.read("w", 1, block_ms=0)
        await call(queue.client, "CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(QueueUnavailable):
            await partition.scripts.schedule([(0, b"2 1 customers t2")])
        [code] = await partition.scripts.finish("w", [Held(delivery.entry, "c", "t1")])
        assert code == 1
        await call(queue.client, "CONFIG", "SET", "maxmemory", 0)


async def test_a_group_missing_in_a_pipeline(world: World) -> None:
    """Depths are asked for in one transaction: there, too, a missing group is told as such."""
    await world.raw("FLUSHDB")
    with pytest.raises(GroupMissing):
        await world.partition.depths()
    with pytest.raises(GroupMissing):
        await world.queue.depths()


@pytest.mark.parametrize("letter", ["s", "u"])
async def test_reading_without_a_group(world: World, letter: str) -> None:
    """One missing group of the two is enough: read, read_own and recover say so."""
    await world.raw("DEL", world.stream_of(letter))
    with pytest.raises(GroupMissing):
        await world.partition.read("w", 2, block_ms=0)
    with pytest.raises(GroupMissing):
        await world.partition.read_own("w")
    with pytest.raises(GroupMissing):
        await world.partition.recover("w", Sweep(), idle_ms=0, count=1)


async def test_a_group_that_vanishes_under_a_blocking_read(world: World) -> None:
    """A read that waits while Redis forgets everything ends, and reading tells GroupMissing: that read itself on
    Redis 7.2 and Valkey, the next one on 7.0, which only says UNBLOCKED, or lets the block end."""
    told: list[type[QueueUnavailable]] = []

    async def read_on() -> None:
        while GroupMissing not in told:
            try:
                assert await world.partition.read("w", 2, block_ms=500) == []
            except QueueUnavailable as error:
                told.append(type(error))

    reader = asyncio.create_task(read_on())
    await world.blocked()
    await world.raw("FLUSHDB")
    async with asyncio.timeout(5):
        await reader
    assert len(told) <= 2
