"""Full reads: the keys seen, and at the end the rows that were not.

All of it is part of a commit's message (see `store/commit.py`), so it stands or falls with the rows. Parameters
beyond a commit's: `seen_keys` (of rejected records), `complete`, `accept`, `threshold_percent`, `of_all_scopes`,
`cursor_mode`.
"""

from __future__ import annotations

from functools import cache

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from streamsync.entity import Entity
from streamsync.store.merge import stage_name

#: Parts of a composite key, as text, are joined by a character that no cleaned text contains.
KEY_SEPARATOR = "\x1f"

#: Stands for a record whose key could not be read: after it nothing is provably gone.
UNREADABLE_KEY = "\x1e"

_HERE = SQL("tenant_id = %(tenant_id)s AND entity = %(entity)s AND scope = %(scope)s")

#: The first commit of a full read forgets what another one saw, and puts the marker down.
BEGIN = SQL(
    "DELETE FROM full_read_seen WHERE {here};\n"
    "INSERT INTO full_read_seen (tenant_id, entity, scope, key)"
    " VALUES (%(tenant_id)s, %(entity)s, %(scope)s, '')"
).format(here=_HERE)

CONTINUE = SQL("SELECT full_read_stands(%(tenant_id)s, %(entity)s, %(scope)s, %(job_id)s)")

#: How far it has come. The incremental cursor stays where it is until the end.
POSITION = SQL(
    "INSERT INTO sync_state AS s (tenant_id, entity, scope, cursor_mode, full_read_job_id, full_read_cursor)"
    " VALUES (%(tenant_id)s, %(entity)s, %(scope)s, %(cursor_mode)s, %(job_id)s, %(cursor)s)"
    " ON CONFLICT (tenant_id, entity, scope) DO UPDATE"
    " SET full_read_job_id = EXCLUDED.full_read_job_id, full_read_cursor = EXCLUDED.full_read_cursor,"
    " updated_at = now()"
)


def _key_columns(entity: Entity) -> list[str]:
    return [name for name in entity.table.key if name != entity.scope_column]


def key_indexes(entity: Entity) -> list[int]:
    """Which parts of a row's key (in the order of `entity.table.key`) name it within its scope."""
    return [entity.table.key.index(name) for name in _key_columns(entity)]


def _key(entity: Entity, prefix: str) -> Composed:
    parts = SQL(", ").join(SQL(prefix) + Identifier(name) for name in _key_columns(entity))
    return SQL("concat_ws({}, {})").format(Literal(KEY_SEPARATOR), parts)


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
    own_scope: Composable = SQL("")
    all_scopes: Composable = SQL("")
    if entity.scope_column:
        scope = SQL("t.{} = %(scope)s::bigint").format(Identifier(entity.scope_column))
        own_scope = SQL(" AND {}").format(scope)
        all_scopes = SQL(" AND (%(of_all_scopes)s OR {})").format(scope)
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
        "WITH live AS (SELECT count(*) AS rows FROM {table} t"
        " WHERE t.tenant_id = %(tenant_id)s{all_scopes} AND t.deleted_at IS NULL),"
        " gone AS MATERIALIZED (SELECT {keys} FROM {table} t"
        " WHERE t.tenant_id = %(tenant_id)s{own_scope} AND t.deleted_at IS NULL"
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
        own_scope=own_scope,
        all_scopes=all_scopes,
        keys=keys,
        key=_key(entity, "t."),
        same=same,
        returning=SQL(", ").join(SQL("t.") + Identifier(name) for name in table.key),
        nested=nested,
        here=_HERE,
        unreadable=Literal(UNREADABLE_KEY),
    )


#: The keys have served their purpose.
FORGET = SQL("DELETE FROM full_read_seen WHERE {here}").format(here=_HERE)
