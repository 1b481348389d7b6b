"""Full reads: the keys seen, and at the end the rows that were not.

All of it is part of a commit's message (see `store/commit.py`), so it stands or falls with the rows. Parameters
beyond a commit's: `seen_keys` (of rejected records), `complete`, `accept`, `threshold_percent`, `cursor_mode`.
"""

from __future__ import annotations

from functools import cache

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from streamsync.entity import Entity
from streamsync.store.merge import key_sql, stage_name

#: Stands for a record whose key could not be read: after it nothing is provably gone.
UNREADABLE_KEY = "\x1e"

_HERE = SQL("tenant_id = %(tenant_id)s AND entity = %(entity)s AND scope = %(scope)s")

CONTINUE = SQL("SELECT full_read_stands(%(tenant_id)s, %(entity)s, %(scope)s, %(job_id)s)")

#: How far it has come. The incremental cursor stays where it is until the end.
POSITION = SQL("UPDATE sync_state SET full_read_cursor = %(cursor)s, updated_at = now() WHERE {here}").format(
    here=_HERE
)


#: An ERP that is asked by date does not list what has none.
_DATED = SQL(" AND (%(cursor_mode)s <> 'date' OR t.source_updated_at IS NOT NULL)")


def _key_columns(entity: Entity) -> list[str]:
    return [name for name in entity.table.key if name != entity.scope_column]


def key_indexes(entity: Entity) -> list[int]:
    """Which parts of a row's key (in the order of `entity.table.key`) name it within its scope."""
    return [entity.table.key.index(name) for name in _key_columns(entity)]


def _key(entity: Entity, prefix: str) -> Composed:
    return key_sql(_key_columns(entity), prefix)


def _own_scope(entity: Entity) -> Composable:
    if not entity.scope_column:
        return SQL("")
    return SQL(" AND t.{} = %(scope)s::bigint").format(Identifier(entity.scope_column))


@cache
def begin_sql(entity: Entity) -> Composed:
    """The first commit of a full read: counts what lives, forgets what another one saw, puts the marker down."""
    return SQL(
        "INSERT INTO sync_state AS s (tenant_id, entity, scope, cursor_mode, full_read_job_id, full_read_cursor,"
        " full_read_mode, full_read_rows)"
        " SELECT %(tenant_id)s, %(entity)s, %(scope)s, %(cursor_mode)s, %(job_id)s, 0, %(cursor_mode)s, count(*)"
        " FROM {table} t WHERE t.tenant_id = %(tenant_id)s{own_scope} AND t.deleted_at IS NULL"
        " ON CONFLICT (tenant_id, entity, scope) DO UPDATE SET full_read_job_id = EXCLUDED.full_read_job_id,"
        " full_read_cursor = 0, full_read_mode = EXCLUDED.full_read_mode, full_read_rows = EXCLUDED.full_read_rows;\n"
        "DELETE FROM full_read_seen WHERE {here};\n"
        "INSERT INTO full_read_seen (tenant_id, entity, scope, key)"
        " VALUES (%(tenant_id)s, %(entity)s, %(scope)s, '')"
    ).format(table=Identifier(entity.table.name), own_scope=_own_scope(entity), here=_HERE)


@cache
def seen_sql(entity: Entity) -> Composed:
    """Notes the keys of the staged rows and those of rejected records."""
    return SQL(
        "INSERT INTO full_read_seen (tenant_id, entity, scope, key)"
        " SELECT %(tenant_id)s, %(entity)s, %(scope)s, k.key"
        " FROM (SELECT {key} AS key FROM {stage} s UNION SELECT unnest(%(seen_keys)s::text[])) k"
        " ON CONFLICT DO NOTHING"
    ).format(key=_key(entity, "s."), stage=Identifier(stage_name(entity.table)))


@cache
def finish_sql(entity: Entity) -> Composed:
    """Marks what was not seen as deleted, its nested rows gone, if the read was complete and not too much is
    missing; then the cursor is where the full read ended, even if that is lower. Answers (deleted, withheld)."""
    table = entity.table
    keys = SQL(", ").join(map(Identifier, table.key))
    same = SQL(" AND ").join(SQL("t.{0} = g.{0}").format(Identifier(name)) for name in table.key)
    nested = SQL("").join(
        SQL(
            ", {cte} AS (DELETE FROM {child} c USING deleted d WHERE c.tenant_id = %(tenant_id)s AND {same})"
        ).format(
            cte=Identifier(f"gone_{child.name}"),
            child=Identifier(child.name),
            same=SQL(" AND ").join(
                SQL("c.{0} = d.{0}").format(Identifier(name)) for name in child.parent_key
            ),
        )
        for child in entity.children
    )
    return SQL(
        "WITH live AS (SELECT full_read_rows AS rows FROM sync_state WHERE {here}),"
        " gone AS MATERIALIZED (SELECT {keys} FROM {table} t"
        " WHERE t.tenant_id = %(tenant_id)s{own_scope} AND t.deleted_at IS NULL{dated}"
        " AND NOT EXISTS (SELECT 1 FROM full_read_seen f WHERE f.tenant_id = %(tenant_id)s"
        " AND f.entity = %(entity)s AND f.scope = %(scope)s AND f.key = {key})),"
        " missing AS (SELECT count(*) AS rows FROM gone),"
        " verdict AS (SELECT CASE WHEN NOT %(complete)s OR EXISTS (SELECT 1 FROM full_read_seen f"
        " WHERE f.tenant_id = %(tenant_id)s AND f.entity = %(entity)s AND f.scope = %(scope)s AND f.key = {unreadable})"
        " THEN 'incomplete'"
        " WHEN NOT %(accept)s AND missing.rows * 100 > live.rows * %(threshold_percent)s::numeric THEN 'threshold'"
        " END AS withheld, missing.rows FROM live, missing),"
        " deleted AS (UPDATE {table} t SET deleted_at = now(), synced_at = now() FROM gone g, verdict v"
        " WHERE v.withheld IS NULL AND t.tenant_id = %(tenant_id)s AND {same} RETURNING {returning})"
        "{nested},"
        " counted AS (SELECT (SELECT count(*) FROM deleted) AS deleted,"
        " CASE WHEN withheld IS NULL THEN 0 ELSE verdict.rows END AS withheld,"
        " CASE WHEN verdict.rows > 0 THEN withheld END AS reason FROM verdict),"
        " state AS (UPDATE sync_state s SET cursor = s.full_read_cursor, cursor_mode = %(cursor_mode)s,"
        " full_read_cursor = NULL, full_read_at = now(), updated_at = now(),"
        " deletions_withheld = c.withheld, withheld_reason = c.reason FROM counted c WHERE {here}),"
        " run AS (UPDATE job_run j SET rows_deleted = j.rows_deleted + c.deleted,"
        " deletions_withheld = j.deletions_withheld + c.withheld FROM counted c"
        " WHERE j.job_id = %(job_id)s AND j.fence = %(fence)s),"
        " attempt AS (UPDATE job_attempt j SET rows_deleted = j.rows_deleted + c.deleted,"
        " deletions_withheld = j.deletions_withheld + c.withheld FROM counted c"
        " WHERE j.job_id = %(job_id)s AND j.fence = %(fence)s)"
        " SELECT deleted, withheld, reason FROM counted"
    ).format(
        table=Identifier(table.name),
        own_scope=_own_scope(entity),
        # An ERP that is asked by date does not list what has none.
        dated=SQL(
            " AND (%(cursor_mode)s <> 'date' OR t.source_updated_at IS NOT NULL)"
            if entity.date_parameter
            else ""
        ),
        keys=keys,
        key=_key(entity, "t."),
        same=same,
        returning=SQL(", ").join(SQL("t.") + Identifier(name) for name in table.key),
        nested=nested,
        here=_HERE,
        unreadable=Literal(UNREADABLE_KEY),
    )


@cache
def lower_versions_sql(entity: Entity) -> Composed:
    """What the read kept without having seen it may carry a trans_id from before the ERP went back: it would keep
    newer records out. Usually there is none."""
    return SQL(
        "UPDATE {table} t SET {version} = %(cursor)s WHERE t.tenant_id = %(tenant_id)s{own_scope}"
        " AND t.deleted_at IS NULL AND t.{version} > %(cursor)s"
    ).format(
        table=Identifier(entity.table.name),
        version=Identifier(entity.version_column),
        own_scope=_own_scope(entity),
    )


#: The keys have served their purpose.
FORGET = SQL("DELETE FROM full_read_seen WHERE {here}").format(here=_HERE)
