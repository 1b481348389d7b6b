"""Schedules and ticks: what the producer reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from streamsync.jobs import Job
from streamsync.store.pool import Database
from streamsync.store.queries import query
from streamsync.store.sqlstate import retry_conflicts

#: A producer that is silent for this long has died; another goes on with its tick.
LEASE_SECONDS: Final = 15


@dataclass(frozen=True, slots=True)
class Schedule:
    """A cron schedule; `last_tick` is the last one recorded, or when the schedule was made."""

    kind: str
    cron: str
    timezone: str
    last_tick: datetime


@dataclass(frozen=True, slots=True)
class Tick:
    """ "These tenants are to be synced", and how far that has been carried out."""

    tick_id: int
    kind: str
    trigger: str
    scheduled_for: datetime
    tenant_ids: list[str] | None
    urgent: bool
    full_read: bool
    accept_deletions: bool
    last_tenant_id: str
    dispatched_tenant_id: str
    tenants: int
    coalesced: int
    done_at: datetime | None


@dataclass(frozen=True, slots=True)
class Written:
    """A job that a page of a tick wrote, or found waiting (`created` is False)."""

    job: Job
    due_at: datetime
    created: bool


class PositionMoved(Exception):
    """Another producer has moved the tick on: leave it alone."""


class Ticks:
    """The `schedule` and `schedule_tick` tables, and the jobs that ticks write."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner

    async def put_schedule(self, kind: str, cron: str, timezone: str) -> None:
        """Bring a schedule up to date with the settings; an operator's "disabled" stays."""
        parameters = {"kind": kind, "cron": cron, "timezone": timezone}
        await self._database.fetch(query("ticks", "put_schedule"), parameters)

    async def schedules(self) -> list[Schedule]:
        """Enabled schedules."""
        return [Schedule(**row) for row in await self._database.fetch(query("ticks", "schedules"))]

    async def add_cron_tick(self, kind: str, scheduled_for: datetime, *, missed: bool) -> bool:
        """Record a slot; False if another scheduler was first."""
        parameters = {"kind": kind, "scheduled_for": scheduled_for, "missed": missed}
        return bool(await self._database.fetch(query("ticks", "add_cron_tick"), parameters))

    async def add_manual_tick(
        self,
        kind: str,
        *,
        tenant_ids: Sequence[str] | None,
        urgent: bool,
        full_read: bool = False,
        accept_deletions: bool = False,
    ) -> int:
        """A tick by hand, leased to this owner; returns its id."""
        rows = await self._database.fetch(
            query("ticks", "add_manual_tick"),
            {
                "kind": kind,
                "tenant_ids": None if tenant_ids is None else list(tenant_ids),
                "urgent": urgent,
                "full_read": full_read,
                "accept_deletions": accept_deletions,
                "owner": self._owner,
                "lease_seconds": LEASE_SECONDS,
            },
        )
        return int(rows[0]["tick_id"])

    async def lease_open_tick(self) -> int | None:
        """Take the oldest open tick that nobody works on; None if there is none."""
        rows = await self._database.fetch(
            query("ticks", "lease_tick"), {"owner": self._owner, "lease_seconds": LEASE_SECONDS}
        )
        return int(rows[0]["tick_id"]) if rows else None

    async def get(self, tick_id: int) -> Tick:
        """A tick as it stands."""
        rows = await self._database.fetch(query("ticks", "tick"), {"tick_id": tick_id})
        return Tick(**rows[0])

    async def page_tenants(self, tick: Tick, after: str, limit: int) -> list[str]:
        """The next active tenants of a tick by key, never by offset."""
        rows = await self._database.fetch(
            query("ticks", "page_tenants"), {"after": after, "tenant_ids": tick.tenant_ids, "limit": limit}
        )
        return [row["tenant_id"] for row in rows]

    async def write_page(
        self, tick: Tick, *, after: str, dispatched: str, due: Sequence[tuple[str, datetime]]
    ) -> list[Written]:
        """One page in one transaction: the jobs, and the tick's position. Raises PositionMoved.

        `due` holds (tenant id, due time) in key order; `dispatched` is how far Redis has been told.
        """
        advance = {
            "tick_id": tick.tick_id, "from": after, "to": due[-1][0], "dispatched": dispatched,
            "tenants": len(due), "owner": self._owner, "lease_seconds": LEASE_SECONDS,
        }  # fmt: skip
        insert = {
            "kind": tick.kind, "trigger": tick.trigger, "tick_id": tick.tick_id,
            "scheduled_for": tick.scheduled_for, "urgent": tick.urgent, "full_read": tick.full_read,
            "accept_deletions": tick.accept_deletions,
            "tenant_ids": [tenant_id for tenant_id, _ in due], "due_ats": [due_at for _, due_at in due],
        }  # fmt: skip

        async def transaction() -> list[Written]:
            async with self._database.transaction() as connection:
                cursor = await connection.execute(query("ticks", "advance_tick"), advance)
                if await cursor.fetchone() is None:
                    raise PositionMoved(f"tick {tick.tick_id} is no longer at {after!r}")
                cursor = await connection.execute(query("ticks", "insert_jobs"), insert)
                rows = await cursor.fetchall()
                coalesced = sum(not row["created"] for row in rows)
                if coalesced and tick.full_read:
                    again = {
                        "job_ids": [row["job_id"] for row in rows if not row["created"]],
                        "tenant_ids": insert["tenant_ids"],
                    }
                    await connection.execute(query("ticks", "read_again"), again)
                if coalesced:
                    note = {"tick_id": tick.tick_id, "coalesced": coalesced}
                    await connection.execute(query("ticks", "note_coalesced"), note)
                return [
                    Written(
                        Job(row["job_id"], row["attempt"], tick.kind, row["tenant_id"]),
                        row["due_at"],
                        row["created"],
                    )
                    for row in rows
                ]

        return await retry_conflicts(transaction)

    async def undispatched(self, tick: Tick) -> list[Written]:
        """Waiting jobs of a tick that a producer wrote and may have died before telling Redis."""
        rows = await self._database.fetch(
            query("ticks", "undispatched"),
            {
                "after": tick.dispatched_tenant_id, "upto": tick.last_tenant_id,
                "kind": tick.kind, "tick_id": tick.tick_id,
            },
        )  # fmt: skip
        return [
            Written(Job(row["job_id"], row["attempt"], tick.kind, row["tenant_id"]), row["due_at"], True)
            for row in rows
        ]

    async def finish(self, tick_id: int) -> None:
        """Record that a tick has reached every tenant."""
        await self._database.fetch(query("ticks", "finish_tick"), {"tick_id": tick_id})
