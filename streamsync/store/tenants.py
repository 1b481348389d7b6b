"""Tenants: adding, listing, enabling; their cursors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import DictRow

from streamsync.store.credentials import CredentialBox
from streamsync.store.pool import Database
from streamsync.store.queries import query

#: By what changed records are asked for; the first is the default.
CURSOR_MODES: Final = ("trans_id", "date")


@dataclass(frozen=True, slots=True)
class NewTenant:
    """What a tenant row is made of; the credential is sealed already. Other bytes are a new credential."""

    tenant_id: str
    name: str
    base_url: str
    credential: bytes
    connector: str = "millennium"
    auth_mode: str = "basic"
    app_name: str | None = None
    licence_type: str | None = None
    #: See `credential_identity`; None: no other tenant has this user of the ERP.
    credential_id: str | None = None
    vitrines: tuple[int, ...] = ()
    branches: tuple[int, ...] = ()
    cursor_mode: str = CURSOR_MODES[0]
    active: bool = True


@dataclass(frozen=True, slots=True)
class SyncState:
    """How far a scope of an entity has been read. `full_read_cursor` is None unless a full read is under way;
    `full_read_job_id` is the job of that one, or of the last one; `full_read_mode` what its cursor counts."""

    cursor: int
    cursor_mode: str
    full_read_job_id: int | None
    full_read_cursor: int | None
    full_read_mode: str | None
    full_read_at: datetime | None
    created_at: datetime


class Tenants:
    """The `tenant` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, tenants: Sequence[NewTenant], *, replace: bool) -> tuple[int, int]:
        """Add tenants in one transaction; returns (created, updated). Existing ones change only if `replace`."""
        created = updated = 0
        statement = query("tenants", "put_tenant")
        async with self._database.transaction() as connection:
            for tenant in tenants:
                cursor = await connection.execute(
                    statement,
                    {
                        "tenant_id": tenant.tenant_id,
                        "name": tenant.name,
                        "connector": tenant.connector,
                        "base_url": tenant.base_url,
                        "auth_mode": tenant.auth_mode,
                        "app_name": tenant.app_name,
                        "licence_type": tenant.licence_type,
                        "credential_id": tenant.credential_id,
                        "credential": tenant.credential,
                        "vitrines": list(tenant.vitrines),
                        "branches": list(tenant.branches),
                        "cursor_mode": tenant.cursor_mode,
                        "active": tenant.active,
                        "replace": replace,
                    },
                )
                for row in await cursor.fetchall():
                    created += bool(row["created"])
                    updated += not row["created"]
        return created, updated

    async def scan(self, *, active: bool | None = None, page_size: int = 500) -> AsyncIterator[DictRow]:
        """All tenants by key, read in pages."""
        after = ""
        while True:
            rows = await self._database.fetch(
                query("tenants", "list_tenants"), {"after": after, "active": active, "limit": page_size}
            )
            for row in rows:
                yield row
            if len(rows) < page_size:
                return
            after = rows[-1]["tenant_id"]

    async def show(self, tenant_id: str) -> DictRow | None:
        """One tenant, without its credential."""
        rows = await self._database.fetch(query("tenants", "show_tenant"), {"tenant_id": tenant_id})
        return rows[0] if rows else None

    async def set_active(self, tenant_ids: Sequence[str], *, active: bool) -> set[str]:
        """Enable or disable; returns the ids that exist."""
        rows = await self._database.fetch(
            query("tenants", "set_tenant_active"), {"tenant_ids": list(tenant_ids), "active": active}
        )
        return {row["tenant_id"] for row in rows}

    async def sealed(self, tenant_ids: Sequence[str]) -> dict[str, bytes]:
        """The sealed credentials of those tenants that exist."""
        rows = await self._database.fetch(
            query("tenants", "sealed_credentials"), {"tenant_ids": list(tenant_ids)}
        )
        return {row["tenant_id"]: bytes(row["credential"]) for row in rows}

    async def clear_refusals(self, tenant_ids: Sequence[str]) -> set[str]:
        """Let jobs ask the ERP again with a credential that it refused; returns the ids that exist."""
        rows = await self._database.fetch(
            query("tenants", "clear_refusals"), {"tenant_ids": list(tenant_ids)}
        )
        return {row["tenant_id"] for row in rows}

    async def existing(self, tenant_ids: Sequence[str]) -> set[str]:
        """Which of these ids exist."""
        rows = await self._database.fetch(
            query("tenants", "existing_tenants"), {"tenant_ids": list(tenant_ids)}
        )
        return {row["tenant_id"] for row in rows}

    async def check_keys(self, box: CredentialBox) -> None:
        """Raise ConfigurationError where these keys do not open the credential sealed last.

        A worker started with wrong keys would otherwise send every job it meets to the dead letter.
        """
        for row in await self._database.fetch(query("tenants", "newest_credential")):
            box.open(row["tenant_id"], bytes(row["credential"]))

    async def sync_states(self, tenant_id: str, entity: str) -> dict[str, SyncState]:
        """How far an entity has been read, per scope."""
        rows = await self._database.fetch(
            query("tenants", "sync_states"), {"tenant_id": tenant_id, "entity": entity}
        )
        return {row.pop("scope"): SyncState(**row) for row in rows}
