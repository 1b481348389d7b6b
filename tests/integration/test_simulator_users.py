"""Users of the simulated ERP: kinds of authentication, sessions and their limits, wrong passwords, overlaps."""

from __future__ import annotations

import asyncio

import httpx
import orjson
import pytest

from streamsync.simulator.data import Population
from streamsync.simulator.server import Simulator

pytest_plugins = ["tests.plugins.fix_simulator"]

SHOP = "shop-00001"
OTHER = "shop-00002"
CUSTOMERS = "/api/millenium_eco/clientes/lista"
JSON = {"$format": "json"}


def _message(answer: httpx.Response) -> str:
    return str(orjson.loads(answer.content)["error"]["message"]["value"])


async def _login(client: httpx.AsyncClient, user: str, password: str) -> httpx.Response:
    return await client.post("/api/login", headers={"WTS-Authorization": f"{user}/{password}"})


@pytest.fixture
def simulator_population() -> Population:
    """Two shops with one user, then two with another."""
    return Population(seed=7, customers_per_tenant=20, fixed_sizes=True, shared_users=2)


@pytest.fixture
def user(simulator: Simulator) -> tuple[str, str]:
    return simulator.population.user_of(SHOP), simulator.population.password_of(SHOP)


async def test_sessions_and_limits_are_the_user_s(simulator: Simulator, user: tuple[str, str]) -> None:
    simulator.admin.switch(session_limit=1, basic_needs_licence=True)
    async with (
        httpx.AsyncClient(base_url=simulator.base_url(SHOP)) as one,
        httpx.AsyncClient(base_url=simulator.base_url(OTHER)) as other,
    ):
        opened = await _login(one, *user)
        session = {"WTS-Session": opened.json()["session"]}
        assert "ultrapassado o máximo" in _message(await _login(other, *user))
        assert (await other.get(CUSTOMERS, params=JSON, headers=session)).status_code == 200
        assert "ultrapassado o máximo" in _message(await other.get(CUSTOMERS, params=JSON, auth=user))
        stranger = f"{simulator.base_url('shop-00003')}{CUSTOMERS}"
        assert (await one.get(stranger, params=JSON, headers=session)).status_code == 401
        await one.post("/api/logout", headers=session)
        assert (await other.get(CUSTOMERS, params=JSON, auth=user)).status_code == 200
    users = {(entry.method, entry.tenant, entry.user) for entry in simulator.admin.requests()}
    assert ("login", SHOP, user[0]) in users
    assert ("clientes.lista", OTHER, user[0]) in users
    stats = simulator.admin.stats()
    assert (stats["logins"], stats["logouts"], stats["open_sessions"]) == (1, 1, 0)


async def test_overlaps_of_a_user_are_counted_beside_those_of_a_tenant(
    simulator: Simulator, user: tuple[str, str]
) -> None:
    simulator.admin.hold()
    async with httpx.AsyncClient(auth=user) as client, asyncio.TaskGroup() as group:
        for tenant in (SHOP, OTHER):
            group.create_task(client.get(f"{simulator.base_url(tenant)}{CUSTOMERS}", params=JSON))
        await simulator.admin.wait_held(count=2)
        simulator.admin.release()
    stats = simulator.admin.stats()
    assert (stats["overlaps"], stats["user_overlaps"], stats["overlapping_users"]) == (0, 1, [user[0]])


async def test_a_session_ends(simulator: Simulator, user: tuple[str, str]) -> None:
    async with httpx.AsyncClient(base_url=simulator.base_url(SHOP)) as client:
        simulator.admin.switch(session_requests=2)
        session = {"WTS-Session": (await _login(client, *user)).json()["session"]}
        statuses = [(await client.get(CUSTOMERS, params=JSON, headers=session)).status_code for _ in range(3)]
        assert statuses == [200, 200, 401]
        simulator.admin.switch(session_requests=0, session_ttl=1e-9)
        session = {"WTS-Session": (await _login(client, *user)).json()["session"]}
        gone = await client.get(CUSTOMERS, params=JSON, headers=session)
        assert "Sessão inválida" in _message(gone)
        assert simulator.admin.stats()["open_sessions"] == 0


async def test_wrong_passwords_lock_a_user(simulator: Simulator, user: tuple[str, str]) -> None:
    simulator.admin.switch(lock_after=2)
    async with httpx.AsyncClient(base_url=simulator.base_url(SHOP)) as client:
        assert (await client.get(CUSTOMERS, params=JSON, auth=(user[0], "x"))).status_code == 401
        assert (await client.get(CUSTOMERS, params=JSON, auth=user)).status_code == 200
        assert "Senha inválida" in _message(await _login(client, user[0], "x"))
        for _ in range(2):
            locked = await client.get(CUSTOMERS, params=JSON, auth=user)
            assert "Senha inválida" in _message(locked)
        assert simulator.admin.stats()["wrong_passwords"] == {user[0]: 2}
        simulator.admin.reset()
        assert (await client.get(CUSTOMERS, params=JSON, auth=user)).status_code == 200


async def test_kinds_of_authentication(simulator: Simulator, user: tuple[str, str]) -> None:
    async with httpx.AsyncClient(base_url=simulator.base_url(SHOP)) as client:
        simulator.admin.switch(auth="ntlm-off")
        refused = await client.get(CUSTOMERS, params=JSON, auth=user)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "NTLM")
        assert (await _login(client, *user)).status_code == 200
        simulator.admin.switch(auth="session")
        assert "Sessão inválida" in _message(await client.get(CUSTOMERS, params=JSON, auth=user))
        simulator.admin.switch(auth="basic")
        assert (await client.get(CUSTOMERS, params=JSON, auth=user)).status_code == 200
        assert (await _login(client, *user)).status_code == 401
