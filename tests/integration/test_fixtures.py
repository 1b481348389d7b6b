"""The fixtures keep what they promise; a test that relies on them need not check it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import psycopg
import pytest
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from streamsync.embedded import RedisServer
from tests.plugins.fix_postgres import Databases
from tests.plugins.fix_proxy import Direction, MakeProxy, Verdict
from tests.support import wait_until


@pytest.mark.parametrize("_round", [1, 2])
async def test_each_test_gets_an_empty_redis(redis_url: str, _round: int) -> None:
    async with redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0
        await client.set("left", "behind")


@pytest.mark.parametrize("_round", [1, 2])
def test_each_test_gets_a_fresh_database(empty_database_url: str, _round: int) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("CREATE TABLE left_behind ()")


def test_the_ordinary_role_is_bound_by_row_level_security(databases: Databases) -> None:
    name = databases.create()
    with psycopg.connect(databases.url(name)) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    with psycopg.connect(databases.url(name, admin=True)) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == (name,)
    databases.drop(name)
    assert row == (False, False)


@pytest.fixture
def impatient() -> dict[str, Any]:
    """Client options: no retries, and a short wait for replies."""
    return {"retry": Retry(NoBackoff(), 0), "socket_timeout": 0.3, "socket_connect_timeout": 1}


async def test_a_proxy_passes_stops_cuts_and_is_deaf(
    redis_server: RedisServer, make_proxy: MakeProxy, impatient: dict[str, Any]
) -> None:
    proxy = await make_proxy(redis_server.url)
    async with redis.from_url(proxy.url, **impatient) as client:
        await client.incr("n")

        proxy.deafen()
        with pytest.raises(redis.TimeoutError):
            await client.incr("n")
        await wait_until(lambda: proxy.swallowed, 5, "the reply to be swallowed")
        proxy.hear()
        assert await client.get("n") == b"2"  # the server did what it was asked to

        await proxy.cut()
        with suppress(redis.ConnectionError):  # whether the pool notices first is its own affair
            await client.ping()
        assert await client.ping()

        await proxy.stop()
        with pytest.raises(redis.ConnectionError):
            await client.ping()
        await proxy.restart()
        assert await client.get("n") == b"2"


async def test_a_proxy_obeys_its_rule(
    redis_server: RedisServer, make_proxy: MakeProxy, impatient: dict[str, Any]
) -> None:
    def decide(direction: Direction, chunk: bytes) -> Verdict:
        forbidden = direction is Direction.REQUEST and b"FORBIDDEN" in chunk
        return Verdict.CUT if forbidden else Verdict.PASS

    proxy = await make_proxy(redis_server.url, decide=decide)
    async with redis.from_url(proxy.url, **impatient) as client:
        assert await client.set("allowed", 1)
        with pytest.raises(redis.ConnectionError):
            await client.set("FORBIDDEN", 1)
        assert await client.keys() == [b"allowed"]


async def test_wait_until_says_what_did_not_happen() -> None:
    with pytest.raises(AssertionError, match="still not: pigs to fly"):
        await wait_until(lambda: False, 0.05, "pigs to fly")

    async def later() -> str:
        await asyncio.sleep(0)
        return "there"

    assert await wait_until(later, 1, "an async condition") == "there"


@pytest.mark.parametrize("_round", [1, 2])
def test_each_test_gets_a_migrated_database(database_url: str, admin_database_url: str, _round: int) -> None:
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT count(*) FROM job_run").fetchone()
        owner = connection.execute(
            "SELECT tableowner = current_user FROM pg_tables WHERE tablename = 'job_run'"
        ).fetchone()
        connection.execute("CREATE TABLE left_behind ()")
    assert (row, owner) == ((0,), (True,))
    with psycopg.connect(admin_database_url) as connection:
        seen = connection.execute("SELECT to_regclass('left_behind') IS NOT NULL").fetchone()
    assert seen == (True,)
