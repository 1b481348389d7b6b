"""The HTTP client against the simulated ERP and against servers that misbehave beyond it."""

from __future__ import annotations

import asyncio
import gzip
import random
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from streamsync.config import Settings
from streamsync.erp.connector import Access
from streamsync.erp.http import Answer, ErpHttp
from streamsync.erp.millennium.connector import Millennium
from streamsync.errors import Deferred, PermanentError, SyncError, TransientError
from streamsync.simulator.server import Simulator
from tests.support import ERP_IS_HERE

_SHOP = "shop-00001"

_FAULTS = [
    ("500", TransientError, "erp_server_error"),
    ("503", TransientError, "erp_server_error"),
    ("licence", Deferred, "erp_no_licence"),
    ("429", TransientError, "erp_throttled"),
    ("timeout", TransientError, "erp_timeout"),
    ("garbage", TransientError, "erp_garbage"),
    ("html", TransientError, "erp_garbage"),
    ("truncated", TransientError, "erp_garbage"),
    ("cut", TransientError, "erp_connection"),
    ("reset", TransientError, "erp_connection"),
    ("password", PermanentError, "erp_wrong_password"),
    ("busy", Deferred, "erp_too_many_sessions"),
]


def _quick(**more: object) -> Settings:
    given = {"erp_read_timeout_seconds": 0.3, "erp_page_timeout_seconds": 0.5, **ERP_IS_HERE, **more}
    return Settings(**given)


async def _page(simulator: Simulator, http: ErpHttp) -> int:
    access = Access(_SHOP, simulator.base_url(_SHOP), "basic", _SHOP, simulator.population.password_of(_SHOP))
    connector = Millennium(access, http)
    return len((await connector.page(connector.entity("customers"), "", 0, 10)).records)


@pytest.mark.parametrize(("kind", "what", "error_class"), _FAULTS, ids=[fault[0] for fault in _FAULTS])
async def test_each_fault_has_its_error(
    simulator: Simulator, kind: str, what: type[SyncError], error_class: str
) -> None:
    """What the ERP does wrong is told apart; once the fault is over the same client reads on."""
    simulator.admin.fault(kind, times=1)
    async with ErpHttp(_quick()) as http:
        with pytest.raises(what) as caught:
            await _page(simulator, http)
        assert caught.value.error_class == error_class
        assert simulator.population.password_of(_SHOP) not in str(caught.value)
        assert await _page(simulator, http) == 10


async def test_every_fault_of_the_simulator_is_covered() -> None:
    """A new one needs a line above; a slow or held answer is no error until its time is up."""
    from streamsync.simulator.faults import KINDS

    assert {fault[0] for fault in _FAULTS} | {"slow", "hold"} == set(KINDS)


async def test_retry_after_is_told(simulator: Simulator) -> None:
    """429 with the seconds that the ERP asked for."""
    simulator.admin.fault("429", times=1, retry_after=17)
    async with ErpHttp(_quick()) as http:
        with pytest.raises(TransientError) as caught:
            await _page(simulator, http)
    assert caught.value.retry_after_seconds == 17


async def test_a_server_that_is_not_there_is_a_connection_error() -> None:
    """Refused, and names that do not exist, are worth a retry; a URL that is none is not."""
    async with ErpHttp(_quick()) as http:
        for url, error_class in (
            ("http://127.0.0.1:9", "erp_connection"),
            ("http://erp.invalid", "erp_connection"),
            ("ftp://127.0.0.1", "erp_url"),
            ("erp.example", "erp_url"),
            ("http://[::1", "erp_url"),
        ):
            with pytest.raises(SyncError) as caught:
                await http.get(url, parameters={}, headers={}, auth=None)
            assert caught.value.error_class == error_class


async def test_a_permit_is_taken_before_each_request(simulator: Simulator) -> None:
    """Nothing is sent before the limit allows it, replays included."""
    permits: asyncio.Queue[None] = asyncio.Queue()
    async with ErpHttp(_quick(), take_permit=lambda _host: permits.get()) as http:
        waiting = asyncio.create_task(_page(simulator, http))
        await asyncio.wait({waiting}, timeout=0.05)
        assert simulator.admin.requests() == []
        permits.put_nowait(None)
        assert await waiting == 10
        simulator.admin.fault("503", times=1)
        for _ in range(2):
            permits.put_nowait(None)
        with pytest.raises(TransientError):
            await _page(simulator, http)
        await _page(simulator, http)
        assert permits.empty()
    assert len(simulator.admin.requests()) == 3


Talk = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _serving(talk: Talk) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers every request by `talk`; gives its URL and the requests' heads."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            await talk(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads
    finally:
        server.close()
        await server.wait_closed()


async def _get(settings: Settings, talk: Talk) -> tuple[Answer | SyncError, list[bytes]]:
    async with _serving(talk) as (url, heads), ErpHttp(settings) as http:
        try:
            return await http.get(url, parameters={}, headers={}, auth=("user", "secret")), heads
        except SyncError as error:
            return error, heads


async def test_an_answer_without_end_is_stopped_at_the_cap() -> None:
    """More bytes than the setting allows are not kept."""

    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"[" * 1000)
            await writer.drain()

    error, _ = await _get(_quick(erp_response_max_bytes=10_000), talk)
    assert isinstance(error, TransientError)
    assert error.error_class == "erp_too_large"


#: What each of these unpacks to, many times the cap.
_BOMB_BYTES = 50_000_000
_CAP = 1_000_000


def _bomb(members: str) -> bytes:
    if members == "many":  # each of them is below the cap
        return gzip.compress(b"0" * (_CAP // 2)) * (2 * _BOMB_BYTES // _CAP)
    bomb = gzip.compress(b"0" * _BOMB_BYTES)
    return bomb if members == "one" else gzip.compress(b"[") + bomb


def _in_pieces(body: bytes, size: int, head: bytes = b"") -> Talk:
    """Sends the body in HTTP chunks of so many bytes."""
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    message = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)

    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n" + head + b"\r\n")
        for start in range(0, len(message), 1000):
            writer.write(message[start : start + 1000])
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    return talk


@contextmanager
def _memory(at_most: int) -> Iterator[None]:
    """The block allocates no more than so many bytes at a time."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= at_most


@pytest.mark.parametrize("piece", [3, 100_000], ids=["tiny", "whole"])
@pytest.mark.parametrize("members", ["one", "second", "many"])
async def test_a_gzip_bomb_is_stopped_while_it_unpacks(members: str, piece: int) -> None:
    """The cap counts what comes out, of all members, not what came over the wire; no more than the cap is ever
    unpacked."""
    talk = _in_pieces(_bomb(members), piece, b"content-encoding: gzip\r\n")
    settings = _quick(erp_response_max_bytes=_CAP, erp_page_timeout_seconds=30)
    with _memory(at_most=5 * _CAP):
        error, _ = await _get(settings, talk)
    assert isinstance(error, TransientError)
    assert error.error_class == "erp_too_large"


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
async def test_an_answer_in_tiny_pieces_takes_no_more_memory_than_it_has_bytes(packed: bool) -> None:
    """The pieces are joined as they come: kept one by one, each would take many times its size."""
    body = random.Random(1).randbytes(100_000)
    sent, head = (gzip.compress(body), b"content-encoding: gzip\r\n") if packed else (body, b"")
    talk = _in_pieces(sent, 2, head)
    settings = _quick(erp_response_max_bytes=len(body), erp_page_timeout_seconds=60)
    with _memory(at_most=10 * len(body)):
        answer, _ = await _get(settings, talk)
    assert isinstance(answer, Answer)
    assert answer.body == body


async def test_a_page_that_drips_is_stopped_at_its_time() -> None:
    """A byte now and then defeats the silence timeout, not the page's."""

    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"[")
            await writer.drain()
            await asyncio.sleep(0.02)  # the drip itself, not a wait for anything

    error, _ = await _get(_quick(), talk)
    assert isinstance(error, TransientError)
    assert error.error_class == "erp_timeout"


async def test_redirects_are_not_followed() -> None:
    """The credential goes only where it was meant to; the operator is told to give the final URL."""
    asked: list[bytes] = []

    async def elsewhere(writer: asyncio.StreamWriter) -> None:
        asked.append(b"here")

    async with _serving(elsewhere) as (target, _):

        async def talk(writer: asyncio.StreamWriter) -> None:
            writer.write(f"HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n".encode())
            await writer.drain()

        async with _serving(talk) as (url, heads), ErpHttp(_quick()) as http:
            connector = Millennium(Access("s", url, "basic", "user", "secret"), http)
            with pytest.raises(PermanentError) as caught:
                await connector.page(connector.entity("customers"), "", 0, 10)
    assert caught.value.error_class == "erp_redirect"
    assert (len(heads), asked) == (1, [])


async def test_broken_compression_is_garbage() -> None:
    """Bytes that do not unpack are worth a retry."""

    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nabcd")
        await writer.drain()

    error, _ = await _get(_quick(), talk)
    assert isinstance(error, TransientError)
    assert error.error_class == "erp_garbage"


@pytest.mark.parametrize("coding", ["deflate", "br", "gzip, gzip"])
async def test_packing_that_was_not_asked_for_is_garbage(coding: str) -> None:
    """What cannot be unpacked within bounds is not unpacked at all."""
    body = zlib.compress(b"[]")
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {len(body)}\r\n\r\n"

    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode() + body)
        await writer.drain()

    error, (request,) = await _get(_quick(), talk)
    assert isinstance(error, TransientError)
    assert error.error_class == "erp_garbage"
    assert b"accept-encoding: gzip\r\n" in request.lower()


_TWO_MEMBERS = gzip.compress(b"") + gzip.compress(b"[]")


@pytest.mark.parametrize("length", [5, 10, len(gzip.compress(b"")) + 5, len(_TWO_MEMBERS) - 1])
async def test_packed_data_that_end_early_are_garbage(length: int) -> None:
    """Where the answer's length is not told, its end alone says that something is missing: also where nothing has
    come out yet, which must not be taken for "no rows"."""

    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + _TWO_MEMBERS[:length])
        await writer.drain()

    error, _ = await _get(_quick(), talk)
    assert isinstance(error, TransientError)
    assert error.error_class == "erp_garbage"


async def test_an_empty_answer_may_call_itself_packed() -> None:
    """No bytes are no rows, whatever the header says of them; and all members count."""
    for packed, body in ((b"", b""), (gzip.compress(b""), b""), (_TWO_MEMBERS, b"[]")):
        answer, _ = await _get(_quick(), _in_pieces(packed, 7, b"content-encoding: gzip\r\n"))
        assert isinstance(answer, Answer)
        assert answer.body == body


async def test_a_cookie_goes_to_nobody() -> None:
    """One client serves all shops: what a server sets for one must not answer another as the first."""

    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nset-cookie: sid=first\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
        )
        await writer.drain()

    async with _serving(talk) as (url, heads), ErpHttp(_quick()) as http:
        for user in ("first", "second"):
            await http.get(url, parameters={}, headers={}, auth=(user, "secret"))
    assert len(heads) == 2
    assert b"cookie" not in heads[1].lower()
