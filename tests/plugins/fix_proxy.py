"""A TCP proxy between streamsync and a server, which a test can stop, cut, make deaf, or put rules on."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Enum
from typing import Self
from urllib.parse import urlsplit

import pytest

from streamsync.embedded.process import free_port


class Direction(Enum):
    """Which way a chunk travels."""

    REQUEST = "to the server"
    REPLY = "to the client"


class Verdict(Enum):
    """What becomes of a chunk."""

    PASS = "pass it on"
    SWALLOW = "drop it silently"
    CUT = "drop it and reset the connection"


#: Decides per chunk; may be async to hold a chunk back. Chunks are what one read gave, not whole messages.
Decide = Callable[[Direction, bytes], Verdict | Awaitable[Verdict]]


class TcpProxy:
    """Listens on a loopback port of its own and passes everything on to one server."""

    def __init__(self, url: str, *, decide: Decide | None = None) -> None:
        """`url` is the server's; `decide` may be replaced at any time."""
        self._upstream_url = urlsplit(url)
        assert self._upstream_url.hostname is not None
        assert self._upstream_url.port is not None
        self._upstream = (self._upstream_url.hostname, self._upstream_url.port)
        self.decide = decide
        self.port = free_port()
        #: Connections accepted so far, and bytes swallowed: what a test may wait for.
        self.accepted = 0
        self.swallowed = 0
        self._deaf = False
        self._server: asyncio.Server | None = None
        self._pairs: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}

    @property
    def url(self) -> str:
        """The server's address, by way of the proxy."""
        user = self._upstream_url.netloc.rpartition("@")
        return self._upstream_url._replace(netloc=f"{user[0]}{user[1]}127.0.0.1:{self.port}").geturl()

    @property
    def open_connections(self) -> int:
        """Connections that pass through right now."""
        return len(self._pairs)

    async def start(self) -> Self:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def stop(self) -> None:
        """Reset all connections and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def restart(self) -> None:
        """Stop, and listen again on the same port, with good hearing."""
        await self.stop()
        self._deaf = False
        await self.start()

    async def cut(self) -> None:
        """Reset all connections (RST, not a polite end); new ones are welcome."""
        tasks = list(self._pairs)
        for writers in list(self._pairs.values()):
            for writer in writers:
                writer.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def deafen(self) -> None:
        """From now on requests reach the server and its replies are swallowed."""
        self._deaf = True

    def hear(self) -> None:
        """End of `deafen`; what was swallowed stays lost."""
        self._deaf = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.accepted += 1
        self._pairs[task] = (writer,)
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream)
            self._pairs[task] = (writer, up_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(Direction.REQUEST, reader, up_writer))
                group.create_task(self._pump(Direction.REPLY, up_reader, writer))
        except* (ConnectionError, asyncio.CancelledError):
            pass  # an end like any other; the finally below closes what is left of the pair
        finally:
            for each in self._pairs.pop(task):
                each.transport.abort()

    async def _pump(
        self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while chunk := await reader.read(65536):
            verdict = await self._judge(direction, chunk)
            if verdict is Verdict.PASS:
                writer.write(chunk)
                await writer.drain()
            elif verdict is Verdict.SWALLOW:
                self.swallowed += len(chunk)
            else:
                raise ConnectionResetError("cut by the test")
        if writer.can_write_eof() and not writer.is_closing():
            with contextlib.suppress(OSError):  # the other side has just gone as well
                writer.write_eof()

    async def _judge(self, direction: Direction, chunk: bytes) -> Verdict:
        if self._deaf and direction is Direction.REPLY:
            return Verdict.SWALLOW
        if self.decide is None:
            return Verdict.PASS
        verdict = self.decide(direction, chunk)
        return await verdict if inspect.isawaitable(verdict) else verdict


#: Makes a running proxy to the server of a URL.
MakeProxy = Callable[..., Awaitable[TcpProxy]]


@pytest.fixture
async def make_proxy() -> AsyncIterator[MakeProxy]:
    """`await make_proxy(url, decide=…)`: running proxies, stopped after the test."""
    proxies: list[TcpProxy] = []

    async def make(url: str, *, decide: Decide | None = None) -> TcpProxy:
        proxies.append(await TcpProxy(url, decide=decide).start())
        return proxies[-1]

    yield make
    for proxy in proxies:
        await proxy.stop()
