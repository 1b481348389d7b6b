"""Commits a unit of pages: COPY into staging tables, then everything that counts in ONE message.

The message holds the guard, the merge, cursor, counters, quarantine and COMMIT. The server carries it out to
the end without waiting for the client in between, so a client that freezes cannot hold the fence's row: it
is frozen either before the message (nothing is locked) or after it (all is committed). As separate
statements of one READ COMMITTED transaction each has a snapshot newer than the wait for the fence.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from psycopg import AsyncClientCursor
from psycopg.sql import SQL, Composable, Composed

from streamsync.entity import Entity
from streamsync.store import full_read
from streamsync.store.merge import key_text, merge_sql
from streamsync.store.pool import IDLE_IN_TRANSACTION_MS, Connection, Database
from streamsync.store.sqlstate import AlreadyCommitted, retry_conflicts

#: Longest time for a whole commit.
COMMIT_TIMEOUT_SECONDS: Final = 120.0

#: The staging table has no statistics and its size says little: index nested loops are right for every batch
#: against a table with a matching primary key; the planner is told so. JIT costs more than it gives.
_PLANNER = SQL(
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_material = off;"
    " SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off"
)

_REJECTED = SQL(
    "INSERT INTO rejected_record AS r (tenant_id, entity, scope, fingerprint, field, reason, record, job_id)"
    " SELECT %(tenant_id)s, %(entity)s, %(scope)s, decode(d.fingerprint, 'hex'),"
    " d.field, d.reason, d.record, %(job_id)s"
    " FROM jsonb_to_recordset(%(rejects)s::jsonb) AS d(fingerprint text, field text, reason text, record text)"
    " ON CONFLICT (tenant_id, entity, scope, fingerprint) DO UPDATE"
    " SET times_seen = r.times_seen + 1, last_seen_at = now(), job_id = EXCLUDED.job_id,"
    " field = EXCLUDED.field, reason = EXCLUDED.reason"
)

_CURSOR = SQL(
    "INSERT INTO sync_state AS s (tenant_id, entity, scope, cursor, cursor_mode)"
    " VALUES (%(tenant_id)s, %(entity)s, %(scope)s, %(cursor)s, %(cursor_mode)s)"
    " ON CONFLICT (tenant_id, entity, scope) DO UPDATE SET cursor = EXCLUDED.cursor, updated_at = now()"
    " WHERE s.cursor < EXCLUDED.cursor"
)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that could not be cleaned. `record` is its JSON text; it goes to the quarantine only."""

    field: str
    reason: str
    record: bytes


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a full read: whether the ERP has surely shown everything, whether the operator accepts any number
    of deletions, and the share (in percent) of the scope's rows before the read beyond which he must."""

    complete: bool
    accept: bool
    threshold_percent: float


@dataclass(slots=True)
class FullStep:
    """What a unit means to a full read. `begins`: it is the first. `seen_keys`: keys of rejected records, which are
    not gone either (None: a key that cannot be read; then nobody knows what is gone). `finish`: it is the last."""

    begins: bool = False
    seen_keys: list[tuple[Any, ...] | None] = field(default_factory=list)
    finish: Finish | None = None


@dataclass(slots=True)
class Unit:
    """What one commit writes: rows by key in COPY order, newest of each key only.

    `children` holds, per child table, the rows of all parents. `cursor` is where the next read goes on. `full` is
    None for an incremental read: then records older than what is stored are left out.
    """

    entity: Entity
    scope: str
    cursor: int
    rows: dict[tuple[Any, ...], tuple[Any, ...]] = field(default_factory=dict)
    children: dict[str, dict[tuple[Any, ...], list[tuple[Any, ...]]]] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    pages: int = 0
    fetched: int = 0
    cursor_mode: str = "trans_id"
    full: FullStep | None = None
    #: Names this unit's commit, so that one whose answer was lost is known again.
    token: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True, slots=True)
class Claim:
    """Under what claim a commit is made, and how many commits of it are known to have happened."""

    tenant_id: str
    job_id: int
    fence: int
    commits: int


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit changed in the entity's own table; -1 where the answer was lost and it had happened.

    `deleted` and `withheld` are of the end of a full read: rows marked as deleted, and rows that would have been.
    """

    inserted: int
    updated: int
    deleted: int = 0
    withheld: int = 0
    reason: str | None = None


async def commit(database: Database, claim: Claim, unit: Unit) -> Committed:
    """Write a unit. Raises LostLock (nothing was written), StoreUnavailable (perhaps it was: call again with
    the same claim, the guard knows), PermanentError (PostgreSQL refuses a value), FullReadLost (nothing was
    written: begin the full read anew)."""
    try:
        return await retry_conflicts(lambda: _transaction(database, claim, unit))
    except AlreadyCommitted:
        return Committed(-1, -1)


async def _transaction(database: Database, claim: Claim, unit: Unit) -> Committed:
    async with database.connection(timeout_seconds=COMMIT_TIMEOUT_SECONDS) as connection:
        try:
            await _stage(connection, unit, pooled=database.pooled)
            return await _merge(connection, claim, unit)
        except BaseException:
            # In autocommit mode psycopg does not know of our BEGIN; a broken connection needs no ROLLBACK.
            if not connection.closed and not connection.broken:
                await connection.rollback()
            raise


async def _stage(connection: Connection, unit: Unit, *, pooled: bool) -> None:
    """BEGIN, staging tables, COPY. No lock is held yet that anybody else could want."""
    statements = merge_sql(unit.entity)
    ending = SQL("DROP" if pooled else "DELETE ROWS")
    opening: list[Composable] = [
        SQL("BEGIN"),
        SQL("SET LOCAL idle_in_transaction_session_timeout = {}").format(IDLE_IN_TRANSACTION_MS),
        SQL("SET LOCAL statement_timeout = {}").format(int(COMMIT_TIMEOUT_SECONDS * 1000)),
        SQL("SET LOCAL client_min_messages = warning"),
        *(ddl + ending for ddl in statements.stage.values()),
    ]
    async with AsyncClientCursor(connection) as cursor:
        await cursor.execute(SQL("; ").join(opening))
        await _copy(cursor, statements.copy[unit.entity.table.name], unit.rows.values())
        for child in unit.entity.children:
            rows = unit.children.get(child.name, {})
            await _copy(
                cursor, statements.copy[child.name], (row for group in rows.values() for row in group)
            )


async def _copy(cursor: AsyncClientCursor[Any], statement: Composed, rows: Iterable[Sequence[Any]]) -> None:
    async with cursor.copy(statement) as copy:
        for row in rows:
            await copy.write_row(row)


async def _merge(connection: Connection, claim: Claim, unit: Unit) -> Committed:
    rejects = [
        {
            "fingerprint": hashlib.sha256(item.record).hexdigest(),
            "field": item.field,
            "reason": item.reason,
            "record": item.record.decode("utf-8", "replace"),
        }
        for item in unit.rejected
    ]
    statements = merge_sql(unit.entity)
    message: list[Composable] = [
        SQL("SELECT set_config('streamsync.tenant_id', %(tenant_id)s, true)"),
        _PLANNER,
        SQL("SELECT guard_commit(%(tenant_id)s, %(fence)s, %(job_id)s, %(commits)s, %(token)s)"),
    ]
    full, finish = unit.full, unit.full.finish if unit.full else None
    if full is None:
        message += [statements.drop_older, statements.merge, _CURSOR]
    else:
        message += [full_read.begin_sql(unit.entity) if full.begins else full_read.CONTINUE]
        message += [full_read.seen_sql(unit.entity)]
        message += [statements.merge, full_read.POSITION]
        if finish is not None:
            message.append(full_read.finish_sql(unit.entity))
            if unit.cursor_mode == "trans_id" and unit.cursor > 0:
                message.append(full_read.lower_versions_sql(unit.entity))
            message.append(full_read.FORGET)
    if rejects:
        message.append(_REJECTED)
    message.append(SQL("COMMIT"))
    parameters: dict[str, Any] = {
        "tenant_id": claim.tenant_id,
        "fence": claim.fence,
        "job_id": claim.job_id,
        "commits": claim.commits,
        "token": unit.token,
        "entity": unit.entity.name,
        "scope": unit.scope,
        "cursor": unit.cursor,
        "pages": unit.pages,
        "fetched": unit.fetched,
        "rejected": len(unit.rejected),
        "rejects": orjson.dumps(_unique(rejects)).decode(),
        "cursor_mode": unit.cursor_mode,
    }
    if full is not None:
        parameters["seen_keys"] = _key_texts(unit.entity, full.seen_keys)
    if finish is not None:
        parameters |= {
            "complete": finish.complete,
            "accept": finish.accept,
            "threshold_percent": finish.threshold_percent,
        }
    async with AsyncClientCursor(connection) as cursor:
        await cursor.execute(SQL(";\n").join(message), parameters)
        figures: dict[str, Any] = {}
        while True:
            if cursor.description and cursor.description[0].name in ("inserted", "deleted"):
                figures |= await cursor.fetchone() or {}
            if not cursor.nextset():
                return Committed(**figures)


def _key_texts(entity: Entity, keys: Iterable[tuple[Any, ...] | None]) -> list[str]:
    indexes = full_read.key_indexes(entity)
    return [full_read.UNREADABLE_KEY if key is None else key_text(key, indexes) for key in keys]


def _unique(rejects: list[dict[str, str]]) -> list[dict[str, str]]:
    """One per fingerprint: a page may hold the same bad record twice, an upsert may not."""
    return list({item["fingerprint"]: item for item in rejects}.values())
