"""Session login against the simulated ERP: used, renewed once when it expired, closed in every way out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from streamsync.config import Settings
from streamsync.erp.connector import Access
from streamsync.erp.http import ErpHttp
from streamsync.erp.millennium import session as module
from streamsync.erp.millennium.connector import Millennium
from streamsync.errors import (
    Deferred,
    LostLock,
    PermanentError,
    StoreUnavailable,
    StreamsyncError,
    TransientError,
)
from streamsync.simulator.answers import RefusedError
from streamsync.simulator.server import Simulator
from tests.support import wait_until

SHOP = "shop-00001"


class Kept:
    """A `SessionStore` in memory that remembers what was done with it, and fails if told to."""

    def __init__(self, left: tuple[str, str] | None = None, fails: StreamsyncError | None = None) -> None:
        self.row = left
        self.fails = fails
        self.done: list[str] = []

    async def stored(self) -> tuple[str, str] | None:
        self.done.append("stored")
        return self.row

    async def store(self, session: str) -> None:
        self.done.append("store")
        if self.fails is not None:
            raise self.fails
        self.row = ("", session)

    async def forget(self) -> None:
        self.done.append("forget")
        self.row = None


@pytest_asyncio.fixture
async def http() -> AsyncIterator[ErpHttp]:
    """A client with short limits."""
    settings = Settings(erp_allow_private=True, erp_read_timeout_seconds=2, erp_page_timeout_seconds=3)
    async with ErpHttp(settings) as client:
        yield client


def connect(
    simulator: Simulator, http: ErpHttp, kept: Kept, *, password: str | None = None, mode: str = "session"
) -> Millennium:
    """A connector of the shop."""
    right = simulator.population.password_of(SHOP)
    access = Access(
        SHOP, simulator.base_url(SHOP), mode, SHOP, password or right, app_name="retag", licence_type="api"
    )
    return Millennium(access, http, kept)


async def page(connector: Millennium, cursor: int = 0) -> int:
    """Rows of one page."""
    return len((await connector.page(connector.entity("customers"), "", cursor, 5)).records)


def asked(simulator: Simulator) -> list[tuple[str, int]]:
    """(method, status) of each request, in order."""
    return [(entry.method.split(".")[-1], entry.status) for entry in simulator.admin.requests(SHOP)]


def open_sessions(simulator: Simulator) -> object:
    return simulator.admin.stats()["open_sessions"]


async def test_one_login_serves_all_requests_and_is_closed(simulator: Simulator, http: ErpHttp) -> None:
    """Kept before its first use, forgotten after its end."""
    simulator.admin.switch(auth="session", session_limit=1)
    kept = Kept()
    async with connect(simulator, http, kept) as connector:
        assert await page(connector) == 5
        assert kept.row is not None
        assert open_sessions(simulator) == 1
        assert await page(connector) == 5
    assert asked(simulator) == [("login", 200), ("lista", 200), ("lista", 200), ("logout", 200)]
    assert (kept.done, open_sessions(simulator)) == (["stored", "store", "forget"], 0)


async def test_what_asks_nothing_opens_nothing(simulator: Simulator, http: ErpHttp) -> None:
    """No login, no logout; nor does Basic have any."""
    async with connect(simulator, http, Kept()):
        pass
    assert asked(simulator) == []
    kept = Kept()
    async with connect(simulator, http, kept, mode="basic") as connector:
        assert await page(connector) == 5
    assert (asked(simulator), kept.done) == ([("lista", 200)], [])


async def test_an_expired_session_is_renewed_and_the_request_replayed_once(
    simulator: Simulator, http: ErpHttp
) -> None:
    """The caller does not notice; the new session is kept in the old one's place, and closed."""
    simulator.admin.switch(auth="session", session_limit=1)
    kept = Kept()
    async with connect(simulator, http, kept) as connector:
        await page(connector)
        first = kept.row
        assert simulator.admin.expire_sessions(SHOP) == 1
        assert await page(connector) == 5
        assert kept.row != first
    assert asked(simulator) == [
        ("login", 200), ("lista", 200), ("lista", 401), ("login", 200), ("lista", 200), ("logout", 200),
    ]  # fmt: skip
    assert open_sessions(simulator) == 0


async def test_a_server_that_forgets_every_session_gets_one_replay_only(
    simulator: Simulator, http: ErpHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second 401 without a reason is a failed attempt, not a third login; the session is closed all the same."""
    simulator.admin.switch(auth="session")
    checks = simulator.app.access

    def refuse(*_: object) -> None:
        raise RefusedError(401, "Sessão inválida ou expirada.")

    monkeypatch.setattr(checks, "_use", refuse)
    with pytest.raises(TransientError) as caught:
        async with connect(simulator, http, Kept()) as connector:
            await page(connector)
    assert caught.value.error_class == "erp_unauthorized"
    assert asked(simulator) == [
        ("login", 200), ("lista", 401), ("login", 200), ("lista", 401), ("logout", 200),
    ]  # fmt: skip


@pytest.mark.parametrize("fault", ["password", "busy"])
async def test_a_401_with_a_reason_is_no_expiry(simulator: Simulator, http: ErpHttp, fault: str) -> None:
    """Neither a wrong password nor a busy user is answered with another login."""
    simulator.admin.fault(fault, SHOP, method="clientes.lista")
    with pytest.raises(PermanentError if fault == "password" else Deferred):
        async with connect(simulator, http, Kept()) as connector:
            await page(connector)
    assert [method for method, _ in asked(simulator)] == ["login", "lista", "logout"]


async def test_a_wrong_password_is_asked_once(simulator: Simulator, http: ErpHttp) -> None:
    """Permanent, one request, nothing to close."""
    with pytest.raises(PermanentError) as caught:
        async with connect(simulator, http, Kept(), password="errada") as connector:
            await page(connector)
    assert caught.value.error_class == "erp_wrong_password"
    assert asked(simulator) == [("login", 401)]


async def test_too_many_sessions_are_waited_for(simulator: Simulator, http: ErpHttp) -> None:
    """The user's only session is somebody's: deferred, not failed."""
    simulator.admin.switch(auth="session", session_limit=1)
    async with connect(simulator, http, Kept()) as human:
        await page(human)
        with pytest.raises(Deferred) as caught:
            async with connect(simulator, http, Kept()) as connector:
                await page(connector)
    assert caught.value.error_class == "erp_too_many_sessions"


async def test_basic_finds_a_busy_user_too(simulator: Simulator, http: ErpHttp) -> None:
    """The same text answers Basic while the only licence is taken."""
    simulator.admin.fault("busy", SHOP)
    with pytest.raises(Deferred):
        await page(connect(simulator, http, Kept(), mode="basic"))


@pytest.mark.parametrize("error", [LostLock("a newer claim"), StoreUnavailable("away")])
async def test_a_session_that_cannot_be_kept_is_closed_unused(
    simulator: Simulator, http: ErpHttp, error: StreamsyncError
) -> None:
    """Nobody could close it after a crash, so nothing is asked with it."""
    with pytest.raises(type(error)):
        async with connect(simulator, http, Kept(fails=error)) as connector:
            await page(connector)
    assert asked(simulator) == [("login", 200), ("logout", 200)]
    assert open_sessions(simulator) == 0


@pytest.mark.parametrize("cancels", [1, 3])
async def test_a_cancelled_sync_logs_out(simulator: Simulator, http: ErpHttp, cancels: int) -> None:
    """In mid-request, however often it is told: the logout goes through, and the cancellation is heard."""
    simulator.admin.hold(SHOP, after_requests=1)
    simulator.admin.fault("slow", SHOP, method="logout", seconds=0.3)
    kept = Kept()

    async def sync() -> None:
        async with connect(simulator, http, kept) as connector:
            while True:
                await page(connector)

    task = asyncio.create_task(sync())
    await simulator.admin.wait_held(SHOP)
    for _ in range(cancels):
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=0.05)
        assert not done
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert (asked(simulator)[-1], open_sessions(simulator), kept.row) == (("logout", 200), 0, None)


async def test_a_sync_that_is_cancelled_while_it_logs_in_logs_out(
    simulator: Simulator, http: ErpHttp
) -> None:
    """The session whose id is on its way is open all the same: it is waited for, and closed."""
    simulator.admin.fault("slow", SHOP, method="login", seconds=0.3)

    async def sync() -> None:
        async with connect(simulator, http, Kept()) as connector:
            await page(connector)

    task = asyncio.create_task(sync())
    await wait_until(lambda: simulator.admin.requests(SHOP), description="the login on its way")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [method for method, _ in asked(simulator)] == ["login", "logout"]
    assert open_sessions(simulator) == 0


async def test_a_failing_sync_logs_out(simulator: Simulator, http: ErpHttp) -> None:
    """The failure is what the caller hears of."""
    simulator.admin.fault("500", SHOP, after_requests=1)
    with pytest.raises(TransientError, match="500"):
        async with connect(simulator, http, Kept()) as connector:
            assert await page(connector) + await page(connector) < 0, "the second page fails"
    assert open_sessions(simulator) == 0


@pytest.mark.parametrize("fault", ["timeout", "500", "reset"])
async def test_a_logout_that_fails_is_bounded_and_raises_nothing(
    simulator: Simulator, http: ErpHttp, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """The session stays on record, so that the next job closes it."""
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.3)
    simulator.admin.fault(fault, SHOP, method="logout", times=1)
    kept = Kept()
    async with asyncio.timeout(2), connect(simulator, http, kept) as connector:
        await page(connector)
    assert kept.row is not None
    # Where only the answer was lost the session is closed, but nobody can know that.
    assert open_sessions(simulator) == (1 if fault == "500" else 0)
    kept.row = (simulator.base_url(SHOP), kept.row[1])
    simulator.admin.switch(session_limit=1)
    async with connect(simulator, http, kept) as connector:
        assert await page(connector) == 5
    assert open_sessions(simulator) == 0
    assert kept.row is None


async def test_a_logout_waits_for_no_permit_for_ever(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Login and logout take permits like all requests; in cleaning up the wait is bounded."""
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.2)
    taken = 0

    async def permit(_host: str) -> None:
        nonlocal taken
        taken += 1
        if taken > 2:
            await asyncio.Event().wait()

    async with (
        ErpHttp(Settings(erp_allow_private=True), take_permit=permit) as http,
        asyncio.timeout(2),
        connect(simulator, http, Kept()) as connector,
    ):
        await page(connector)
    assert taken == 3


async def test_a_dead_workers_session_is_closed_before_the_login(simulator: Simulator, http: ErpHttp) -> None:
    """With room for one session only, the login would fail otherwise."""
    simulator.admin.switch(auth="session", session_limit=1)
    dead = Kept()
    left = connect(simulator, http, dead)
    await page(left)
    assert dead.row is not None
    kept = Kept(left=(simulator.base_url(SHOP), dead.row[1]))
    async with connect(simulator, http, kept) as connector:
        await page(connector)
    assert [method for method, _ in asked(simulator)] == [
        "login", "lista", "logout", "login", "lista", "logout",
    ]  # fmt: skip
    assert kept.done == ["stored", "forget", "store", "forget"]


async def test_a_dead_workers_session_that_is_gone_is_forgotten(simulator: Simulator, http: ErpHttp) -> None:
    """401 is the server's word that there is no such session."""
    kept = Kept(left=(simulator.base_url(SHOP), "{00000000-0000-0000-0000-000000000000}"))
    async with connect(simulator, http, kept) as connector:
        await page(connector)
    assert kept.done == ["stored", "forget", "store", "forget"]


@pytest.mark.parametrize(
    "answer",
    [b"", b"{}", b"[]", b'{"session":null}', b'{"session":""}', b'{"session":"a b"}', b'{"session":"a\\r\\nX: y"}',
     b'{"session":"' + b"x" * 300 + b'"}', b"<html>", b'{"session":7}'],
)  # fmt: skip
def test_an_answer_without_a_session_is_garbage(answer: bytes) -> None:
    """Nothing that is no session id ever becomes a header."""
    with pytest.raises(TransientError) as caught:
        module._key_of(answer)
    assert caught.value.error_class == "erp_garbage"


@pytest.mark.parametrize("answer", [b'{"session":"{A-1}"}', b'\xef\xbb\xbf{"SESSION":"{A-1}"}'])
def test_the_session_is_found_whatever_its_case(answer: bytes) -> None:
    """Keys are read without regard to case; the braces belong to the id."""
    assert module._key_of(answer) == "{A-1}"


@pytest.mark.parametrize("secret", ["a/b", "line\nbreak", "\x7f"])
def test_a_password_that_no_header_can_carry_is_permanent(secret: str) -> None:
    """The message says what to do, and not what the password is."""
    access = Access("shop", "http://erp.invalid", "session", "user", secret)
    with pytest.raises(PermanentError) as caught:
        Millennium(access, ErpHttp(Settings()))
    assert caught.value.error_class == "erp_credential_form"
    assert secret not in str(caught.value)
