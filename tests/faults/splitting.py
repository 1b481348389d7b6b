"""A proxy that lets the first part of what a client sends through and holds the rest: as if the client had
frozen between two bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from tests.plugins.fix_proxy import Direction, TcpProxy
from tests.support import wait_until

#: Where in a chunk to stop; None: nowhere.
Find = Callable[[bytes], int | None]


class SplittingProxy(TcpProxy):
    """Passes everything on until `find` gives a place in a chunk; then that connection's requests end there,
    until `release`. Once only."""

    def __init__(self, url: str, find: Find) -> None:
        super().__init__(url)
        self.reached = asyncio.Event()
        self._find: Find | None = find
        self._released = asyncio.Event()

    def release(self) -> None:
        """Let what was held go on."""
        self._released.set()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        """Kill the client first: a connection that it is just making would outlive this, half logged in, and
        PostgreSQL waits a minute for such a one before it drops a database. What is still held is lost."""
        await self.cut()
        await wait_until(lambda: self.open_connections == 0, 10, "the client's end")
        await self.stop()

    async def _pump(
        self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while chunk := await reader.read(65536):
            place = self._find(chunk) if self._find is not None and direction is Direction.REQUEST else None
            if place is not None:
                self._find = None
                writer.write(chunk[:place])
                await writer.drain()
                self.reached.set()
                await self._released.wait()
                chunk = chunk[place:]
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()
