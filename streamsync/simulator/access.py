"""Who is asking: HTTP Basic on every request, or a session opened by login, as the ERP has them."""

from __future__ import annotations

import binascii
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from streamsync.simulator.answers import Answer, RefusedError
from streamsync.simulator.data import Population, password_of
from streamsync.simulator.dice import salt_of
from streamsync.simulator.switches import SwitchBoard, Switches

#: The two texts by which clients tell one 401 from its opposite, and that of a session that is not (any more).
WRONG_PASSWORD = "PERMISSÃO NEGADA!\r\rSenha inválida para o usuário informado."  # noqa: S105
TOO_MANY_SESSIONS = "Login recusado: foi ultrapassado o máximo de sessões abertas para este usuário."
NO_SESSION = "Sessão inválida ou expirada."
_BASIC = (b"www-authenticate", b'Basic realm="Millennium"')
_NTLM = (b"www-authenticate", b"NTLM")
_NEEDS_NTLM = "Autenticação integrada do Windows requerida."

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


def _session_key(headers: Headers) -> str:
    return headers.get(b"wts-session", b"").decode("latin-1")


@dataclass(slots=True)
class _Session:
    """Its user, the tenant whose switches it lives by, and its use."""

    user: str
    tenant_id: str
    used: float
    requests: int = 0


class Access:
    """Checks credentials and keeps the open sessions. They belong to users; several tenants may share one."""

    def __init__(self, population: Population, switches: SwitchBoard) -> None:
        self._population = population
        self._switches = switches
        self._opened = 0
        self._sessions: dict[str, _Session] = {}
        self._closed = 0
        self._wrong: Counter[str] = Counter()

    def tenant_of(self, path_tenant: str | None, headers: Headers) -> str | None:
        """Who the request is about, not yet whether it may: the path, else the credentials' owner."""
        if path_tenant is not None:
            return path_tenant
        basic = basic_of(headers)
        if basic is not None:
            return self._population.owner_of(basic[0])
        session = self._sessions.get(_session_key(headers))
        if session is not None:
            return session.tenant_id
        user = headers.get(b"wts-authorization", b"").decode("latin-1").partition("/")[0]
        return self._population.owner_of(user) if user else None

    def check(self, tenant_id: str, headers: Headers) -> None:
        """Refuse a request that does not prove to be the tenant's."""
        switches = self._switches.of(tenant_id)
        if b"wts-session" in headers and switches.auth != "basic":
            self._use(_session_key(headers), tenant_id, switches)
            return
        basic = basic_of(headers)
        if switches.auth == "ntlm-off":
            raise RefusedError(401, _NEEDS_NTLM, _NTLM)
        if basic is None or switches.auth == "session":
            raise RefusedError(401, NO_SESSION, _BASIC)
        self._check_password(tenant_id, *basic)
        if switches.basic_needs_licence and self._full(tenant_id, switches):
            raise RefusedError(401, TOO_MANY_SESSIONS)

    def login(self, tenant_id: str | None, headers: Headers) -> Answer:
        """Open a session for `WTS-Authorization: USER/PASSWORD`."""
        user, _, password = headers.get(b"wts-authorization", b"").decode("latin-1").partition("/")
        owner = tenant_id or self._population.owner_of(user)
        switches = self._switches.of(owner)
        if not user or switches.auth == "basic":
            raise RefusedError(401, WRONG_PASSWORD, _BASIC)
        self._check_password(owner, user, password)
        if self._full(owner, switches):
            raise RefusedError(401, TOO_MANY_SESSIONS)
        self._opened += 1
        number = f"{salt_of(owner, self._opened):016X}{salt_of(self._opened, owner):016X}"
        key = f"{{{number[:8]}-{number[8:12]}-{number[12:16]}-{number[16:20]}-{number[20:]}}}"
        self._sessions[key] = _Session(user, owner, time.monotonic())
        return Answer(200, orjson.dumps({"session": key}))

    def logout(self, headers: Headers) -> Answer:
        """Close the session that the request names."""
        if self._sessions.pop(_session_key(headers), None) is None:
            raise RefusedError(401, NO_SESSION)
        self._closed += 1
        return Answer(200, b"{}")

    def open_sessions(self, tenant_id: str | None = None) -> int:
        """How many sessions are open and not expired, of one tenant's user or of all."""
        for key in [key for key, session in self._sessions.items() if self._expired(session)]:
            del self._sessions[key]
        return len(self._keys(tenant_id))

    def expire(self, tenant_id: str | None = None) -> int:
        """Forget the sessions of one tenant's user or of all, as a restarted server does; how many there were."""
        gone = self._keys(tenant_id)
        for key in gone:
            del self._sessions[key]
        return len(gone)

    def stats(self) -> dict[str, object]:
        """Sessions opened, closed and open; wrong passwords by user."""
        return {
            "logins": self._opened,
            "logouts": self._closed,
            "open_sessions": self.open_sessions(),
            "wrong_passwords": dict(self._wrong),
        }

    def reset(self) -> None:
        """Nobody is logged in and nobody is locked."""
        self._sessions.clear()
        self._wrong.clear()
        self._opened = self._closed = 0

    def _keys(self, tenant_id: str | None) -> list[str]:
        user = None if tenant_id is None else self._population.user_of(tenant_id)
        return [key for key, session in self._sessions.items() if user in (None, session.user)]

    def _full(self, tenant_id: str, switches: Switches) -> bool:
        return 0 < switches.session_limit <= self.open_sessions(tenant_id)

    def _use(self, key: str, tenant_id: str, switches: Switches) -> None:
        session = self._sessions.get(key)
        if session is None or session.user != self._population.user_of(tenant_id) or self._expired(session):
            raise RefusedError(401, NO_SESSION)
        session.used = time.monotonic()
        session.requests += 1
        if switches.session_requests and session.requests >= switches.session_requests:
            del self._sessions[key]

    def _expired(self, session: _Session) -> bool:
        ttl = self._switches.of(session.tenant_id).session_ttl
        return ttl > 0 and time.monotonic() - session.used > ttl

    def _check_password(self, tenant_id: str, user: str, password: str) -> None:
        expected = self._population.user_of(tenant_id)
        most = self._switches.of(tenant_id).lock_after
        right = user == expected and password == password_of(self._population.seed, expected)
        if right and not (most and self._wrong[expected] >= most):
            return
        if not right:
            # Whoever is named is locked, as with any system that counts.
            self._wrong[user] += 1
        raise RefusedError(401, WRONG_PASSWORD, _BASIC)
