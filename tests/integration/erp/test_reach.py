"""Connections to ERPs go to addresses that were checked: at the moment of connecting, whatever the DNS says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from streamsync.config import Settings
from streamsync.config.hosts import Address
from streamsync.erp.http import Answer, ErpHttp
from streamsync.errors import PermanentError, TransientError
from tests.support import ERP_IS_HERE

_HOST = "erp.example"


class _Dns:
    """A resolver that gives its answers one after the other, the last one for ever."""

    def __init__(self, *answers: str) -> None:
        self._answers = [[ip_address(word) for word in answer.split()] for answer in answers]
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def _settings(**more: Any) -> Settings:
    return Settings(
        **{
            "erp_connect_timeout_seconds": 1,
            "erp_read_timeout_seconds": 2,
            "erp_page_timeout_seconds": 3,
            **more,
        }
    )


@asynccontextmanager
async def _serving(
    host: str = "127.0.0.1", *, port: int = 0, tls: ssl.SSLContext | None = None, close: bool = True
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that says `here` to everybody; its port, and the heads of the requests it got."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                end = b"connection: close\r\n" if close else b""
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n" + end + b"\r\nhere")
                await writer.drain()
                if close:
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, host, port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1], heads
    finally:
        server.close()
        await server.wait_closed()


async def _get(http: ErpHttp, url: str) -> Answer:
    return await http.get(url, parameters={}, headers={}, auth=("user", "s3cret"))


async def test_loopback_needs_the_setting() -> None:
    """By default this machine is no ERP; nothing is sent, and the error says what to set."""
    async with _serving() as (port, heads):
        for host in ("127.0.0.1", "localhost"):
            async with ErpHttp(_settings()) as http:
                with pytest.raises(PermanentError, match="STREAMSYNC_ERP_ALLOW_PRIVATE=true") as caught:
                    await _get(http, f"http://{host}:{port}/")
            assert caught.value.error_class == "erp_address"
            assert host in str(caught.value)
        assert heads == []
        async with ErpHttp(_settings(**ERP_IS_HERE)) as http:
            assert (await _get(http, f"http://localhost:{port}/")).body == b"here"
    assert len(heads) == 1


@pytest.mark.parametrize("second", ["127.0.0.1", "169.254.169.254", "8.8.8.8 127.0.0.1", "::ffff:127.0.0.1"])
async def test_a_name_that_moves_after_it_was_checked_is_refused(second: str) -> None:
    """DNS rebinding: the answer that is connected to is the one that is checked, all of it."""
    dns = _Dns("8.8.8.8", second)
    async with _serving() as (port, heads), ErpHttp(_settings(), resolve=dns) as http:
        assert [str(address) for address in await dns(_HOST, port)] == ["8.8.8.8"]  # a check beforehand
        with pytest.raises(PermanentError, match=rf"{_HOST} resolves to") as caught:
            await _get(http, f"http://{_HOST}:{port}/")
        assert caught.value.error_class == "erp_address"
        assert heads == []
    assert len(dns.asked) == 2


async def test_each_connection_is_checked() -> None:
    """What was fine a moment ago is asked again for a new connection, and not for one that is still open."""
    for close in (True, False):
        dns = _Dns("127.0.0.1", "169.254.169.254")
        async with (
            _serving(close=close) as (port, heads),
            ErpHttp(_settings(**ERP_IS_HERE), resolve=dns) as http,
        ):
            url = f"http://{_HOST}:{port}/"
            assert (await _get(http, url)).body == b"here"
            if close:
                with pytest.raises(PermanentError, match="link-local"):
                    await _get(http, url)
            else:
                assert (await _get(http, url)).body == b"here"
        assert len(dns.asked) == (2 if close else 1)
        assert len(heads) == (1 if close else 2)


async def test_the_connection_goes_to_the_checked_address_and_keeps_the_name() -> None:
    """One resolution per connection; the server is told the host's name, not its address."""
    dns = _Dns("127.0.0.1")
    async with _serving() as (port, heads), ErpHttp(_settings(**ERP_IS_HERE), resolve=dns) as http:
        assert (await _get(http, f"http://{_HOST}:{port}/")).body == b"here"
    assert dns.asked == [_HOST]
    assert f"host: {_HOST}:{port}".encode() in heads[0].lower()


async def test_the_next_address_is_tried() -> None:
    """A host's addresses are tried in order until one answers."""
    async with _serving() as (port, heads):
        dns = _Dns("127.0.0.3 127.0.0.1")
        async with ErpHttp(_settings(**ERP_IS_HERE), resolve=dns) as http:
            assert (await _get(http, f"http://{_HOST}:{port}/")).body == b"here"
        assert len(heads) == 1
        async with ErpHttp(_settings(**ERP_IS_HERE), resolve=_Dns("127.0.0.3 127.0.0.4")) as http:
            with pytest.raises(TransientError) as caught:
                await _get(http, f"http://{_HOST}:{port}/")
    assert caught.value.error_class == "erp_connection"


async def test_names_that_do_not_resolve() -> None:
    """The DNS may be well again tomorrow: worth a retry, within the time to connect."""

    async def nothing(host: str, port: int) -> Sequence[Address]:
        raise OSError("no such name")

    async def never(host: str, port: int) -> Sequence[Address]:
        await asyncio.Event().wait()
        raise AssertionError

    async def empty(host: str, port: int) -> Sequence[Address]:
        return []

    for resolve, error_class in (
        (nothing, "erp_connection"),
        (never, "erp_timeout"),
        (empty, "erp_connection"),
    ):
        async with ErpHttp(_settings(erp_connect_timeout_seconds=0.1), resolve=resolve) as http:
            with pytest.raises(TransientError) as caught:
                await _get(http, f"http://{_HOST}/")
        assert caught.value.error_class == error_class


async def test_the_list_of_hosts_holds_for_what_is_connected_to() -> None:
    """A name that is on no list is refused unless its address is; the DNS decides nothing else."""
    async with _serving() as (port, heads):
        for allowed, fine in ((_HOST, True), ("127.0.0.0/8", True), ("other.example 10.0.0.0/8", False)):
            settings = _settings(erp_allowed_hosts=allowed, **ERP_IS_HERE)
            async with ErpHttp(settings, resolve=_Dns("127.0.0.1")) as http:
                if fine:
                    assert (await _get(http, f"http://{_HOST}:{port}/")).body == b"here"
                else:
                    with pytest.raises(PermanentError, match="STREAMSYNC_ERP_ALLOWED_HOSTS"):
                        await _get(http, f"http://{_HOST}:{port}/")
    assert len(heads) == 2


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would resolve the name itself, and be given the credential."""
    async with _serving() as (proxy_port, at_proxy), _serving() as (port, heads):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy_port}")
        async with ErpHttp(_settings(**ERP_IS_HERE), resolve=_Dns("127.0.0.1")) as http:
            assert (await _get(http, f"http://{_HOST}:{port}/")).body == b"here"
    assert (len(heads), at_proxy) == (1, [])


def _certificate(folder: Path, host: str) -> Path:
    """A key and a self-signed certificate of a host, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{host}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_tls_asks_for_the_name_and_verifies_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting to an address does not make TLS look at the address."""
    pem = _certificate(tmp_path, _HOST)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    names: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    async with _serving(tls=tls) as (port, heads):
        dns = _Dns("127.0.0.1")
        async with ErpHttp(_settings(**ERP_IS_HERE), resolve=dns) as http:
            assert (await _get(http, f"https://{_HOST}:{port}/")).body == b"here"
            with pytest.raises(TransientError) as caught:
                await _get(http, f"https://other.example:{port}/")
    assert caught.value.error_class == "erp_connection"
    assert names == [_HOST, "other.example"]
    assert len(heads) == 1


async def test_a_refusal_leaves_the_client_usable() -> None:
    """It keeps no place in the pool of connections: with one slot, the next request still goes out."""
    async with _serving() as (port, _), ErpHttp(_settings(**ERP_IS_HERE)) as http:
        for _attempt in range(20):
            with pytest.raises(PermanentError):
                await _get(http, "http://169.254.169.254/")
        assert (await _get(http, f"http://127.0.0.1:{port}/")).body == b"here"
    dns = _Dns(*["169.254.169.254"] * 20, "127.0.0.1")
    async with _serving() as (port, _), ErpHttp(_settings(**ERP_IS_HERE), resolve=dns) as http:
        for _attempt in range(20):
            with pytest.raises(PermanentError):
                await _get(http, f"http://{_HOST}:{port}/")
        assert (await _get(http, f"http://{_HOST}:{port}/")).body == b"here"
