"""The connections under the requests, for the faults that break them. ASGI itself cannot do that."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as HttpProtocol
else:
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as HttpProtocol
    except ImportError:  # httptools is an extra; h11 comes with uvicorn and is half as fast
        from uvicorn.protocols.http.h11_impl import H11Protocol as HttpProtocol

_Ends = tuple[tuple[str, int] | None, tuple[str, int | None] | None]
_open: WeakValueDictionary[_Ends, TrackedProtocol] = WeakValueDictionary()


class TrackedProtocol(HttpProtocol):
    """uvicorn's protocol, found again by the two ends of its connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        super().connection_made(transport)
        _open[(self.client, self.server)] = self


def close(scope: Mapping[str, Any]) -> None:
    """Close a request's connection after what was written has gone out."""
    _transport(scope).close()


def reset(scope: Mapping[str, Any]) -> None:
    """Close a request's connection with RST: the client sees a reset, not an end."""
    transport = _transport(scope)
    # The option belongs to the connection, whichever descriptor sets it; loops wrap theirs in different ways.
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _transport(scope: Mapping[str, Any]) -> asyncio.Transport:
    client, server = scope.get("client"), scope.get("server")
    ends: _Ends = (tuple(client) if client else None, tuple(server) if server else None)
    protocol = _open.get(ends)
    if protocol is None or protocol.transport is None:
        raise RuntimeError("this fault needs a connection of the simulator's own server")
    return protocol.transport
