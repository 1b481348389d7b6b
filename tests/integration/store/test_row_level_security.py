"""Row-level security, and commits behind a pooler."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio

from streamsync.store.commit import Committed, commit
from streamsync.store.pool import Database
from tests.integration.store.helpers import add_job, add_shops, admit, claim_of, one
from tests.integration.store.units import broken, customer, unit_of
from tests.pages import ENTITIES

_TABLES = (
    "rejected_record",
    *(table.name for entity in ENTITIES for table in (entity.table, *entity.children)),
)


@pytest_asyncio.fixture
async def two_shops(database: Database) -> AsyncIterator[Database]:
    """Customers, addresses and a bad record of two shops."""
    await add_shops(database, "a", "b")
    for shop in ("a", "b"):
        claim = claim_of(await admit(database, await add_job(database, shop)))
        await commit(database, claim, unit_of(customer(1, name=shop, addresses=(1,)), broken(2)))
    yield database


async def _count(connection: psycopg.AsyncConnection[dict[str, int]], table: str) -> int:
    cursor = await connection.execute(f"SELECT count(*) AS n FROM {table}".encode())
    row = await cursor.fetchone()
    assert row is not None
    return row["n"]


async def test_a_session_that_names_its_tenant_sees_nothing_else(two_shops: Database) -> None:
    """Even without a WHERE; and once the transaction is over the name is gone."""
    async with two_shops.connection() as connection:
        async with connection.transaction():
            await connection.execute("SELECT set_config('streamsync.tenant_id', 'a', true)")
            for table in ("customer", "customer_address", "rejected_record"):
                assert await _count(connection, table) == 1
            cursor = await connection.execute("SELECT name FROM customer")
            assert await cursor.fetchall() == [{"name": "a"}]
        assert await _count(connection, "customer") == 2


async def test_it_writes_nothing_else_either(two_shops: Database) -> None:
    """Updates and deletes miss other tenants' rows; an insert for another tenant is refused."""
    async with two_shops.connection() as connection:
        async with connection.transaction():
            await connection.execute("SELECT set_config('streamsync.tenant_id', 'a', true)")
            await connection.execute("UPDATE customer SET name = 'changed'")
            await connection.execute("DELETE FROM customer_address")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                async with connection.transaction():
                    await connection.execute(
                        "INSERT INTO customer (tenant_id, customer_id, trans_id) VALUES ('b', 7, 1)"
                    )
        cursor = await connection.execute("SELECT tenant_id, name FROM customer ORDER BY 1")
        assert [tuple(row.values()) for row in await cursor.fetchall()] == [("a", "changed"), ("b", "b")]
        assert await _count(connection, "customer_address") == 1


async def test_all_data_tables_have_it_even_for_their_owner(database: Database) -> None:
    """The data tables and the quarantine; the role of the tests owns them and is no superuser."""
    rows = await database.fetch("SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity")
    assert {row["relname"] for row in rows} == set(_TABLES)
    role = await one(
        database,
        "SELECT rolsuper, rolbypassrls, (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'customer')"
        " = current_user AS owns FROM pg_roles WHERE rolname = current_user",
    )
    assert role == {"rolsuper": False, "rolbypassrls": False, "owns": True}


async def test_every_table_with_a_tenants_records_is_a_data_table(database: Database) -> None:
    """A new data table cannot be forgotten: every table with synced_at has row-level security."""
    rows = await database.fetch(
        "SELECT DISTINCT table_name FROM information_schema.columns"
        " WHERE column_name = 'synced_at' AND table_schema = 'public'"
    )
    assert {row["table_name"] for row in rows} <= set(_TABLES)


async def test_staging_tables_live_as_long_as_a_transaction_behind_a_pooler(database_url: str) -> None:
    """pooled=True: the same commits, nothing prepared, and no table of the session's is left."""
    async with Database(database_url, pooled=True, max_size=1) as database:
        await add_shops(database, "a")
        claim = claim_of(await admit(database, await add_job(database, "a")))
        assert await commit(database, claim, unit_of(customer(1, addresses=(1,)), broken(2))) == Committed(
            1, 0
        )
        left = await one(
            database,
            "SELECT (SELECT count(*) FROM pg_class WHERE relname LIKE 'stage%%') AS tables,"
            " (SELECT count(*) FROM pg_prepared_statements) AS prepared",
        )
        assert left == {"tables": 0, "prepared": 0}


async def test_staging_tables_are_made_once_per_session_on_direct_connections(database_url: str) -> None:
    """pooled=False: the second commit finds them, empty."""
    async with Database(database_url, max_size=1) as database:
        await add_shops(database, "a", "b")
        tables = []
        for shop in ("a", "b"):
            claim = claim_of(await admit(database, await add_job(database, shop)))
            await commit(database, claim, unit_of(customer(1, name=shop)))
            tables.append(await database.fetch("SELECT oid FROM pg_class WHERE relname = 'stage_customer'"))
            assert (await one(database, "SELECT count(*) AS n FROM pg_temp.stage_customer"))["n"] == 0
        assert tables[0] == tables[1]
        assert len(tables[0]) == 1
