"""Reads a tenant's rows back in key order: for verification, and for whoever wants to compare with an ERP."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.rows import DictRow
from psycopg.sql import SQL, Identifier

from streamsync.entity import Entity, Table
from streamsync.store.pool import Database


async def rows_of(database: Database, tenant_id: str, table: Table, columns: Sequence[str]) -> list[DictRow]:
    """The rows of one tenant in one table, these columns, ordered by the table's key; those that are marked as
    deleted are left out. Not for large tenants."""
    statement = SQL("SELECT {} FROM {} WHERE tenant_id = {}{} ORDER BY {}").format(
        SQL(", ").join(map(Identifier, columns)),
        Identifier(table.name),
        tenant_id,
        SQL("" if table.parent_key else " AND deleted_at IS NULL"),
        SQL(", ").join(map(Identifier, table.key)),
    )
    async with database.connection() as connection:
        cursor = await connection.execute(statement)
        return await cursor.fetchall()


async def living_by_scope(database: Database, tenant_id: str, entity: Entity) -> dict[str, int]:
    """How many rows of an entity that is read per scope live, by scope."""
    statement = SQL(
        "SELECT {scope}::text AS scope, count(*) AS rows FROM {table}"
        " WHERE tenant_id = {tenant_id} AND deleted_at IS NULL GROUP BY 1"
    ).format(scope=Identifier(entity.scope_column), table=Identifier(entity.table.name), tenant_id=tenant_id)
    async with database.connection() as connection:
        cursor = await connection.execute(statement)
        return {row["scope"]: row["rows"] for row in await cursor.fetchall()}
