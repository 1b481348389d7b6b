"""Who is asking: HTTP Basic on every request, or a session opened by login, as the ERP has them."""

from __future__ import annotations

import binascii
import time
from base64 import b64decode
from collections.abc import Mapping

import orjson

from streamsync.simulator.data import Population
from streamsync.simulator.dice import salt_of
from streamsync.simulator.protocol import Answer, RefusedError
from streamsync.simulator.switches import SwitchBoard

#: The two texts by which clients tell one 401 from its opposite.
WRONG_PASSWORD = "PERMISSÃO NEGADA!\r\rSenha inválida para o usuário informado."  # noqa: S105
TOO_MANY_SESSIONS = "Login recusado: foi ultrapassado o máximo de sessões abertas para este usuário."
_NO_SESSION = "Sessão inválida ou expirada."
_CHALLENGE = (b"www-authenticate", b'Basic realm="Millennium"')

Headers = Mapping[bytes, bytes]


def basic_of(headers: Headers) -> tuple[str, str] | None:
    """User and password of an `Authorization: Basic` header; None if there is none that can be read."""
    kind, _, value = headers.get(b"authorization", b"").partition(b" ")
    if kind.lower() != b"basic":
        return None
    try:
        user, colon, password = b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None


class Access:
    """Checks credentials and keeps the open sessions. A user is a tenant; its name is the tenant's id."""

    def __init__(self, population: Population, switches: SwitchBoard) -> None:
        self._population = population
        self._switches = switches
        self._opened = 0
        #: Session id → (tenant, monotonic time of its last use).
        self._sessions: dict[str, tuple[str, float]] = {}

    def tenant_of(self, path_tenant: str | None, headers: Headers) -> str | None:
        """Who the request is about, not yet whether it may: the path, else the credentials' owner."""
        if path_tenant is not None:
            return path_tenant
        basic = basic_of(headers)
        if basic is not None:
            return basic[0]
        session = self._sessions.get(headers.get(b"wts-session", b"").decode("latin-1"))
        if session is not None:
            return session[0]
        return headers.get(b"wts-authorization", b"").decode("latin-1").partition("/")[0] or None

    def check(self, tenant_id: str, headers: Headers) -> None:
        """Refuse a request that does not prove to be the tenant's."""
        auth = self._switches.of(tenant_id).auth
        key = headers.get(b"wts-session")
        if key is not None and auth != "basic":
            self._use(key.decode("latin-1"), tenant_id)
            return
        basic = basic_of(headers)
        if basic is None or auth == "session":
            raise RefusedError(401, _NO_SESSION, _CHALLENGE)
        self._check_password(tenant_id, *basic)

    def login(self, tenant_id: str | None, headers: Headers) -> Answer:
        """Open a session for `WTS-Authorization: USER/PASSWORD`."""
        user, _, password = headers.get(b"wts-authorization", b"").decode().partition("/")
        owner = tenant_id or user
        if not user or self._switches.of(owner).auth == "basic":
            raise RefusedError(401, WRONG_PASSWORD, _CHALLENGE)
        self._check_password(owner, user, password)
        limit = self._switches.of(owner).session_limit
        if limit and self.open_sessions(owner) >= limit:
            raise RefusedError(401, TOO_MANY_SESSIONS)
        self._opened += 1
        number = f"{salt_of(owner, self._opened):016X}{salt_of(self._opened, owner):016X}"
        key = f"{{{number[:8]}-{number[8:12]}-{number[12:16]}-{number[16:20]}-{number[20:]}}}"
        self._sessions[key] = (owner, time.monotonic())
        return Answer(200, orjson.dumps({"session": key}))

    def logout(self, headers: Headers) -> Answer:
        """Close the session that the request names."""
        if self._sessions.pop(headers.get(b"wts-session", b"").decode("latin-1"), None) is None:
            raise RefusedError(401, _NO_SESSION)
        return Answer(200, b"{}")

    def open_sessions(self, tenant_id: str | None = None) -> int:
        """How many sessions are open and not expired, of one tenant or of all."""
        for key in [key for key, (owner, used) in self._sessions.items() if self._expired(owner, used)]:
            del self._sessions[key]
        return sum(tenant_id in (None, owner) for owner, _ in self._sessions.values())

    def expire(self, tenant_id: str | None = None) -> int:
        """Forget the sessions of one tenant or of all, as a restarted server does; how many there were."""
        gone = [key for key, (owner, _) in self._sessions.items() if tenant_id in (None, owner)]
        for key in gone:
            del self._sessions[key]
        return len(gone)

    def _use(self, key: str, tenant_id: str) -> None:
        owner, used = self._sessions.get(key, (None, 0.0))
        if owner != tenant_id or self._expired(owner, used):
            raise RefusedError(401, _NO_SESSION)
        self._sessions[key] = (owner, time.monotonic())

    def _expired(self, owner: str, used: float) -> bool:
        ttl = self._switches.of(owner).session_ttl
        return ttl > 0 and time.monotonic() - used > ttl

    def _check_password(self, tenant_id: str, user: str, password: str) -> None:
        if user != tenant_id or password != self._population.password_of(tenant_id):
            raise RefusedError(401, WRONG_PASSWORD, _CHALLENGE)
