"""Connections to ERPs, each to an address that was checked: what httpx sends by.

httpx' own transport resolves names where nobody can look: a check made before would be of another answer of the
DNS than the one connected to. Here the name is resolved once, every address is checked, and the connection goes
to the address that was checked. TLS still asks for, and verifies, the host's name.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import cast

import httpcore
import httpx

from streamsync.config.hosts import Address
from streamsync.erp.address import AddressRules, literal_address

#: Gives a host's addresses in the order of preference. Raises OSError where it has none.
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


async def resolve(host: str, port: int) -> Sequence[Address]:
    """A host's addresses, by the C library. Raises OSError."""
    answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # A link-local address carries the name of its interface, which `ip_address` keeps.
    return list(dict.fromkeys(ip_address(answer[4][0]) for answer in answers))


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections, to checked addresses only."""

    def __init__(self, rules: AddressRules, resolve: Resolve = resolve) -> None:
        self._rules = rules
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers; each gets an equal share of the time that is left.

        All of the host's addresses must be allowed: a name that also leads elsewhere is not to be trusted.
        Raises PermanentError(`erp_address`), httpcore.ConnectError, httpcore.ConnectTimeout.
        """
        clock = asyncio.get_running_loop().time
        deadline = None if timeout is None else clock() + timeout
        addresses = await self._addresses(host, port, timeout)
        for address in addresses:
            self._rules.check_address(host, address)
        failure: Exception = httpcore.ConnectError("no address")
        for number, address in enumerate(addresses):
            share = None if deadline is None else max(deadline - clock(), 0.0) / (len(addresses) - number)
            try:
                return await self._network.connect_tcp(
                    str(address), port, share, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _addresses(self, host: str, port: int, timeout: float | None) -> Sequence[Address]:
        address = literal_address(host)
        if address is not None:
            return [address]
        try:
            async with asyncio.timeout(timeout):
                return await self._resolve(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("the name was not resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("the name cannot be resolved") from error

    async def sleep(self, seconds: float) -> None:
        """As the protocol asks; used between retries, of which there are none."""
        await asyncio.sleep(seconds)


class _Body(httpx.AsyncByteStream):
    """An answer's body as httpx reads it; closing it frees the connection."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._answer.aiter_stream():
            yield chunk

    async def aclose(self) -> None:
        await self._answer.aclose()


class GuardedTransport(httpx.AsyncBaseTransport):
    """httpx' requests over a pool of connections whose backend can be chosen, which httpx' own cannot.

    Failures are httpcore's exceptions. There is no proxy: it would resolve the name itself, unchecked.
    """

    def __init__(self, backend: GuardedBackend, *, tls: ssl.SSLContext, limits: httpx.Limits) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=backend,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the answer's body is still to be read."""
        url = request.url
        answer = await self._pool.handle_async_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=cast("httpx.AsyncByteStream", request.stream),
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()
