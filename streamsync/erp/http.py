"""All of HTTP: one bounded request at a time, its failures classified.

Bounds: time to connect, time without a byte, time for the whole page, size of the decoded answer (a gzip
bomb is stopped while it unpacks). A credential goes only where it was meant to: redirects are not followed,
proxies of the environment are not used, and every connection goes to an address that was checked.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

import httpcore
import httpx

from streamsync.config import Settings
from streamsync.erp.address import AddressRules, one_spelling
from streamsync.erp.permits import TakePermit, permit_for
from streamsync.erp.transport import GuardedBackend, GuardedTransport, Resolve, resolve
from streamsync.errors import PermanentError, TransientError
from streamsync.metrics import ERP_REQUEST_SECONDS

#: zlib's number for a gzip header and trailer.
_GZIP: Final = 31


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that arrived whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def host_of(url: str) -> str:
    """The host of a URL, for messages. Raises PermanentError(`erp_url`) for what is no URL at all."""
    try:
        return urlsplit(url).hostname or "?"
    except ValueError as error:
        raise PermanentError("erp_url", "the tenant's base URL is not an http(s) URL") from error


class ErpHttp:
    """The worker's HTTP client. Open it with `async with`; one per process, shared by all its syncs."""

    def __init__(
        self, settings: Settings, *, take_permit: TakePermit | None = None, resolve: Resolve = resolve
    ) -> None:
        self._settings = settings
        self._take_permit = take_permit
        self._rules = AddressRules(settings)
        self._client = httpx.AsyncClient(
            transport=GuardedTransport(
                GuardedBackend(self._rules, resolve),
                # SSL_CERT_FILE may name an authority of one's own; it cannot lead elsewhere, as a proxy can.
                tls=httpx.create_ssl_context(trust_env=True),
                limits=httpx.Limits(
                    max_connections=settings.concurrency + 8,
                    max_keepalive_connections=settings.concurrency + 8,
                    keepalive_expiry=15,
                ),
            ),
            trust_env=False,
            follow_redirects=False,
            # One client serves all tenants: a server's cookie must not answer one of them as another.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=httpx.Timeout(
                settings.erp_read_timeout_seconds,
                connect=settings.erp_connect_timeout_seconds,
                pool=settings.erp_page_timeout_seconds,
            ),
            headers={"Accept-Encoding": "gzip", "Accept-Charset": "utf-8", "User-Agent": "streamsync"},
        )

    async def __aenter__(self) -> ErpHttp:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def get(
        self,
        url: str,
        *,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
        auth: tuple[str, str] | None,
    ) -> Answer:
        """One GET. Raises TransientError (`erp_timeout`, `erp_connection`, `erp_too_large`) or PermanentError
        (`erp_url`, `erp_address`); HTTP errors are answers, and for the connector to judge."""
        return await self._request("GET", url, parameters=parameters, headers=headers, auth=auth)

    async def post(self, url: str, *, headers: Mapping[str, str | bytes]) -> Answer:
        """One POST without a body: login and logout. Takes a permit and raises like `get`."""
        return await self._request("POST", url, parameters={}, headers=headers, auth=None)

    async def _request(
        self,
        verb: str,
        url: str,
        *,
        parameters: Mapping[str, str],
        headers: Mapping[str, str | bytes],
        auth: tuple[str, str] | None,
    ) -> Answer:
        self._rules.check_url(url)
        host = host_of(url)
        await permit_for(one_spelling(host), self._take_permit)
        started = time.perf_counter()
        status = "none"
        try:
            async with (
                self._classified(host),
                asyncio.timeout(self._settings.erp_page_timeout_seconds),
                self._client.stream(
                    verb, url, params=dict(parameters), headers=_bytes(headers), auth=auth
                ) as response,
            ):
                body = await self._read(response, host)
                status = f"{response.status_code // 100}xx"
                return Answer(response.status_code, response.headers, body)
        finally:
            ERP_REQUEST_SECONDS.labels(status=status).observe(time.perf_counter() - started)

    async def _read(self, response: httpx.Response, host: str) -> bytes:
        """The body, unpacked here and not by httpx, which would unpack a bomb whole before we could count it."""
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("identity", "gzip"):
            raise TransientError("erp_garbage", f"{host} packs its answer in a way that was not asked for")
        body = _Body(self._settings.erp_response_max_bytes, packed=coding == "gzip")
        try:
            async for chunk in response.aiter_raw():
                body.add(chunk)
            return body.whole()
        except _TooLarge as error:
            raise TransientError(
                "erp_too_large",
                f"{host} sent more than {self._settings.erp_response_max_bytes} bytes in one answer",
            ) from error
        except zlib.error as error:
            raise TransientError("erp_garbage", f"{host} sent broken gzip") from error

    @asynccontextmanager
    async def _classified(self, host: str) -> AsyncIterator[None]:
        try:
            yield
        except (httpx.TimeoutException, httpcore.TimeoutException, TimeoutError) as error:
            raise TransientError(
                "erp_timeout", f"{host} did not answer in time ({type(error).__name__})"
            ) from error
        except (httpx.UnsupportedProtocol, httpcore.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise PermanentError("erp_url", "the tenant's base URL is not an http(s) URL") from error
        except (httpx.HTTPError, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise TransientError("erp_connection", f"{host}: {type(error).__name__}") from error

    def retry_after_seconds(self, answer: Answer, *, now: datetime | None = None) -> float | None:
        """What `Retry-After` asks for, in seconds or as a date, capped by the setting; None if it says nothing."""
        text = answer.headers.get("retry-after", "").strip()
        if not text:
            return None
        try:
            seconds = float(text)
        except ValueError:
            try:
                moment = parsedate_to_datetime(text)
            except (ValueError, OverflowError):
                return None
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            seconds = (moment - (now or datetime.now(UTC))).total_seconds()
        if seconds != seconds:  # NaN
            return None
        return min(max(seconds, 0.0), float(self._settings.retry_after_max_seconds))


def _bytes(headers: Mapping[str, str | bytes]) -> dict[bytes, bytes]:
    return {
        name.encode(): value if isinstance(value, bytes) else value.encode()
        for name, value in headers.items()
    }


class _TooLarge(Exception):
    """More bytes than an answer may have."""


class _Body:
    """Collects an answer, unpacking gzip in steps that never exceed the limit."""

    def __init__(self, limit: int, *, packed: bool) -> None:
        self._limit = limit
        self._body = bytearray()  # not a list of chunks: a tiny one takes many times its size
        self._gzip = zlib.decompressobj(_GZIP) if packed else None
        self._begun = False

    def add(self, chunk: bytes) -> None:
        """Take a chunk as it came over the wire. Raises _TooLarge, zlib.error."""
        if self._gzip is None:
            self._keep(chunk)
            return
        while chunk:
            self._begun = True
            self._keep(self._gzip.decompress(chunk, self._limit - len(self._body) + 1))
            chunk = self._gzip.unconsumed_tail
            if self._gzip.eof and self._gzip.unused_data:  # another member follows
                chunk = self._gzip.unused_data
                self._gzip = zlib.decompressobj(_GZIP)

    def whole(self) -> bytes:
        """All of it. Raises zlib.error where packed data were cut off."""
        if self._gzip is not None and self._begun and not self._gzip.eof:
            raise zlib.error("cut off")
        return bytes(self._body)

    def _keep(self, chunk: bytes) -> None:
        if len(self._body) + len(chunk) > self._limit:
            raise _TooLarge
        self._body += chunk
