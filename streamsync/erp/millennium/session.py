"""How a request proves who asks: HTTP Basic each time, or a session opened by login and closed in every way out.

Facts (protocol reference §2): login is `POST /api/login` with `WTS-Authorization: USER/PASSWORD`, its answer
`{"session":"{GUID}"}`; requests carry `WTS-Session`; `POST /api/logout` gives the licence free. An expired
session is a 401 like any other, so it is known by what the text does *not* say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Protocol

import orjson

from streamsync.erp.connector import Access, SessionStore
from streamsync.erp.http import Answer, ErpHttp, host_of
from streamsync.erp.millennium.decode import error_of
from streamsync.errors import PermanentError, StreamsyncError, SyncError, TransientError
from streamsync.log import get_logger
from streamsync.metrics import ERP_SESSIONS

#: Longest that closing a session may take, waiting for a permit included. What fails is left to the next job.
CLOSE_SECONDS: Final = 5.0

#: Both are sent: without them the server answers XML, and not every version looks at the same one.
_HEADERS: Final = {"Accept": "application/json"}
_FORMAT: Final = {"$format": "json"}

#: A GUID in braces has 38 characters; what is much longer is no session id.
_LONGEST_SESSION: Final = 200

_log = get_logger("erp.session")


class Session(Protocol):
    """Makes a connector's requests."""

    async def get(self, method: str, parameters: Mapping[str, str]) -> Answer:
        """A 200 answer of `millenium_eco`; anything else is raised as its class of error."""
        ...

    async def close(self) -> None:
        """End what was opened. Raises nothing but the caller's own cancellation."""
        ...


def session_of(access: Access, http: ErpHttp, sessions: SessionStore | None) -> Session:
    """The way this tenant logs in. Raises PermanentError(`erp_auth_mode`, `erp_credential_form`)."""
    if access.auth_mode == "basic":
        return BasicSession(access, http)
    if access.auth_mode == "session":
        return WtsSession(access, http, sessions or _Unkept())
    raise PermanentError(
        "erp_auth_mode", f"auth mode {access.auth_mode!r} is not known; use basic or session"
    )


class _Requests:
    """What both ways share: URLs, the headers that choose a licence pool, errors by class."""

    def __init__(self, access: Access, http: ErpHttp) -> None:
        self.access = access
        self.http = http
        self.host = host_of(access.base_url)
        pool = {"WTS-AppName": access.app_name, "WTS-LicenceType": access.licence_type}
        self.headers = _HEADERS | {name: value for name, value in pool.items() if value}

    async def get(
        self,
        method: str,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
        auth: tuple[str, str] | None,
    ) -> Answer:
        answer = await self.http.get(
            f"{self.access.base_url.rstrip('/')}/api/millenium_eco/{method}",
            parameters={**parameters, **_FORMAT},
            headers={**self.headers, **headers},
            auth=auth,
        )
        if answer.status != 200:
            raise self.error(answer, parameters)
        return answer

    def error(self, answer: Answer, parameters: Mapping[str, str] | None = None) -> SyncError:
        """What an answer other than 200 means."""
        wish = self.http.retry_after_seconds(answer)
        return error_of(answer.status, answer.body, self.host, wish, parameters or {})


class BasicSession:
    """User and password with every request; nothing is opened, nothing needs closing."""

    def __init__(self, access: Access, http: ErpHttp) -> None:
        self._requests = _Requests(access, http)
        self._auth = (access.username, access.password)

    async def get(self, method: str, parameters: Mapping[str, str]) -> Answer:
        """A 200 answer; anything else is raised."""
        return await self._requests.get(method, parameters, {}, self._auth)

    async def close(self) -> None:
        """Nothing was opened."""


class WtsSession:
    """A session, opened before the first request, again where the server forgot it, closed at the end."""

    def __init__(self, access: Access, http: ErpHttp, sessions: SessionStore) -> None:
        # One slash separates the two, and no escape for another is known.
        if "/" in access.password or "/" in access.username:
            raise PermanentError(
                "erp_credential_form",
                "session login cannot carry a user or password with a '/': have it changed in the ERP, or set "
                "the tenant's auth mode to basic",
            )
        self._login = f"{access.username}/{access.password}".encode()
        if any(byte < 0x20 or byte == 0x7F for byte in self._login):
            raise PermanentError(
                "erp_credential_form", "user or password holds a control character, which no header can carry"
            )
        self._requests = _Requests(access, http)
        self._sessions = sessions
        self._key: str | None = None
        self._looked = False

    async def get(self, method: str, parameters: Mapping[str, str]) -> Answer:
        """A 200 answer; anything else is raised. A 401 that names no reason may be an expired session: then one
        more login, and the request once more."""
        try:
            return await self._get(method, parameters)
        except TransientError as error:
            if error.error_class != "erp_unauthorized" or self._key is None:
                raise
        self._key = None
        ERP_SESSIONS.labels(event="relogin").inc()
        _log.info("session expired: logging in again", tenant_id=self._requests.access.tenant_id)
        return await self._get(method, parameters)

    async def _get(self, method: str, parameters: Mapping[str, str]) -> Answer:
        key = self._key or await self._open()
        return await self._requests.get(method, parameters, {"WTS-Session": key}, None)

    async def _open(self) -> str:
        """Log in and have the session kept before anything is asked with it."""
        if not self._looked:
            await self._close_left_open()
            self._looked = True
        await self._log_in()
        assert self._key is not None
        await self._sessions.store(self._key)
        return self._key

    async def _log_in(self) -> None:
        """Log in, and know the session by the time this ends: a login whose answer is on its way when the job is
        cancelled has opened a session that somebody must close."""
        login = asyncio.create_task(self._post_login(), name="login")
        try:
            await asyncio.shield(login)
        except asyncio.CancelledError:
            await asyncio.wait({login}, timeout=CLOSE_SECONDS)
            if not login.done():
                login.cancel()
            elif not login.cancelled():
                login.exception()  # seen: the cancellation is what counts
            raise

    async def _post_login(self) -> None:
        answer = await self._requests.http.post(
            _url(self._requests.access.base_url, "login"),
            headers={**self._requests.headers, "WTS-Authorization": self._login},
        )
        if answer.status != 200:
            raise self._requests.error(answer)
        self._key = _key_of(answer.body)  # from here on `close` ends it, whatever happens
        ERP_SESSIONS.labels(event="login").inc()

    async def _close_left_open(self) -> None:
        """Close what a dead worker left: this login might be refused as one too many."""
        left = await self._sessions.stored()
        if left is None:
            return
        base_url, key = left
        closed = False
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                closed = await self._logout(base_url, key)
        except (StreamsyncError, TimeoutError) as error:
            self._not_closed(error)
        if closed:
            ERP_SESSIONS.labels(event="rescued").inc()
            await self._sessions.forget()
        # Otherwise it stays on record until our own session takes its place: if our login is refused as one
        # too many, the next try closes it.

    async def close(self) -> None:
        """Log out: through, even where the task is cancelled (again) meanwhile, and within CLOSE_SECONDS."""
        if self._key is None:
            return
        closing = asyncio.create_task(self._close(self._key), name="logout")
        self._key = None
        cancelled = False
        while not closing.done():
            try:
                await asyncio.wait({closing})
            except asyncio.CancelledError:
                cancelled = True
        closing.result()
        if cancelled:
            raise asyncio.CancelledError

    async def _close(self, key: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                if await self._logout(self._requests.access.base_url, key):
                    ERP_SESSIONS.labels(event="logout").inc()
                    await self._sessions.forget()
        except (StreamsyncError, TimeoutError) as error:
            self._not_closed(error)

    async def _logout(self, base_url: str, key: str) -> bool:
        """Whether the session is closed now. 401 is the server's word that there is none."""
        answer = await self._requests.http.post(
            _url(base_url, "logout"), headers={**self._requests.headers, "WTS-Session": key}
        )
        if answer.status in (200, 204, 401):
            return True
        self._not_closed(self._requests.error(answer))
        return False

    def _not_closed(self, error: Exception) -> None:
        ERP_SESSIONS.labels(event="logout_failed").inc()
        reason = str(error) if isinstance(error, StreamsyncError) else type(error).__name__
        _log.warning(
            "session not closed", tenant_id=self._requests.access.tenant_id, host=self._requests.host,
            reason=reason,
        )  # fmt: skip


class _Unkept:
    """Where nobody keeps sessions: one that a dying process leaves ends when the server lets it."""

    async def stored(self) -> tuple[str, str] | None:
        return None

    async def store(self, session: str) -> None: ...

    async def forget(self) -> None: ...


def _url(base_url: str, action: str) -> str:
    return f"{base_url.rstrip('/')}/api/{action}"


def _key_of(body: bytes) -> str:
    """The session id in a login's answer, braces included. Raises TransientError(`erp_garbage`)."""
    try:
        document: Any = orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise TransientError(
            "erp_garbage", f"the answer to the login is not JSON ({len(body)} bytes)"
        ) from error
    folded = {name.lower(): value for name, value in document.items()} if isinstance(document, dict) else {}
    key = folded.get("session")
    if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_SESSION or not key.isascii():
        raise TransientError("erp_garbage", "the answer to the login holds no session")
    if not key.isprintable() or " " in key:
        raise TransientError("erp_garbage", "the answer to the login holds no session")
    return key
