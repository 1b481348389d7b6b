"""Builds the SQL of an entity from its declaration: staging tables, COPY, and the set-based merge.

The merge writes nothing for a row that has not changed: no WAL, no dead tuple, no row lock. `ON CONFLICT …
WHERE` would lock and log every row. It is an update of changed rows and an anti-join insert, both in one
statement, which also counts. (MERGE … RETURNING would need PostgreSQL 17.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any, Final

from psycopg.sql import SQL, Composed, Identifier

from streamsync.entity import Entity, Table


@dataclass(frozen=True, slots=True)
class MergeSql:
    """Statements of one entity. Parameters: `tenant_id`, `job_id`, `fence`, `pages`, `fetched`, `rejected`."""

    stage: dict[str, Composed]  #: DDL of each staging table, by target table; `{drop}` chosen by the caller
    copy: dict[str, Composed]
    drop_older: Composed  #: takes records out of the stage that a later change has overtaken
    merge: Composed


def stage_name(table: Table) -> str:
    """The staging table of a target table."""
    return f"stage_{table.name}"


def _columns(names: tuple[str, ...], prefix: str = "") -> Composed:
    head = SQL(prefix)
    return SQL(", ").join(head + Identifier(name) for name in names)


def _pairs(names: tuple[str, ...], left: str, right: str) -> Composed:
    return SQL(" AND ").join(
        SQL(left) + Identifier(n) + SQL(" = ") + SQL(right) + Identifier(n) for n in names
    )


def _names(table: Table) -> tuple[str, ...]:
    raw = ("raw",) if table.raw else ()
    return (*table.parent_key, *(field.column for field in table.fields), *raw)


def _vanish_column(child: Table) -> str:
    return f"keys_of_{child.name}"


#: Joins the parts of a key of several columns. Cleaned texts hold no control characters, numbers no signs but `-`.
_UNIT_SEPARATOR: Final = "\x1f"


def key_text(row: Sequence[Any], indexes: Sequence[int]) -> str:
    """A key of several columns as one text; `key_sql` is the same in PostgreSQL."""
    return _UNIT_SEPARATOR.join(str(row[index]) for index in indexes)


def key_sql(names: Sequence[str], prefix: str) -> Composed:
    """The key in these columns as one text; `key_text` is the same here."""
    return SQL("concat_ws(chr({}), {})").format(ord(_UNIT_SEPARATOR), _columns(tuple(names), prefix))


def child_key(indexes: Sequence[int]) -> Callable[[Sequence[Any]], Any]:
    """How a child's own key stands in its parent's staged list: as it is, or its parts as one text.

    `indexes` are where the child's rows (without the parent's key) have the columns of `Table.own_key`.
    """
    if len(indexes) == 1:
        return itemgetter(indexes[0])
    return lambda row: key_text(row, indexes)


def _own_key(child: Table, prefix: str) -> Composed:
    """The same of a row of the table."""
    if len(child.own_key) == 1:
        return _columns(child.own_key, prefix)
    return key_sql(child.own_key, prefix)


def _own_key_type(child: Table) -> str:
    if len(child.own_key) > 1:
        return "text"
    return next(field.pg_type for field in child.fields if field.column == child.own_key[0])


def stage_columns(entity: Entity, table: Table) -> tuple[tuple[str, str], ...]:
    """(column, type) of a staging table in COPY order.

    A child's rows repeat their parent's key; a parent's rows carry the keys of each kind of children, so
    that what has vanished can be deleted without an index on the staging tables.
    """
    types = {field.column: field.pg_type for field in entity.table.fields}
    columns = [(name, types[name]) for name in table.parent_key]
    columns += [(field.column, field.pg_type) for field in table.fields]
    if table.raw:
        columns.append(("raw", "jsonb"))
    if table is entity.table:
        columns += [(_vanish_column(child), f"{_own_key_type(child)}[]") for child in entity.children]
    return tuple(columns)


def _update_insert(table: Table, touch: str) -> tuple[Composed, Composed]:
    names = _names(table)
    values = tuple(name for name in names if name not in table.key)
    target, stage = Identifier(table.name), Identifier(stage_name(table))
    update = SQL(
        "UPDATE {target} t SET {sets}{touch} FROM {stage} s WHERE t.tenant_id = %(tenant_id)s AND {keys}"
        " AND ({old}{live}) IS DISTINCT FROM ({new}{null}) RETURNING 1"
    ).format(
        target=target,
        sets=SQL(", ").join(Identifier(name) + SQL(" = s.") + Identifier(name) for name in values),
        touch=SQL(", synced_at = now(), deleted_at = NULL" if touch else ", synced_at = now()"),
        stage=stage,
        keys=_pairs(table.key, "t.", "s."),
        old=_columns(values, "t."),
        live=SQL(", t.deleted_at" if touch else ""),
        new=_columns(values, "s."),
        null=SQL(", NULL::timestamptz" if touch else ""),
    )
    insert = SQL(
        "INSERT INTO {target} (tenant_id, {names}) SELECT %(tenant_id)s, {staged} FROM {stage} s"
        " WHERE NOT EXISTS (SELECT 1 FROM {target} t WHERE t.tenant_id = %(tenant_id)s AND {keys})"
        " ORDER BY {order} RETURNING 1"
    ).format(
        target=target,
        names=_columns(names),
        staged=_columns(names, "s."),
        stage=stage,
        keys=_pairs(table.key, "t.", "s."),
        order=_columns(table.key, "s."),
    )
    return update, insert


@cache
def merge_sql(entity: Entity) -> MergeSql:
    """All statements of an entity."""
    parent = entity.table
    tables = (parent, *entity.children)
    stage = {
        table.name: SQL("CREATE TEMP TABLE IF NOT EXISTS {} ({}) ON COMMIT ").format(
            Identifier(stage_name(table)),
            SQL(", ").join(Identifier(name) + SQL(" " + kind) for name, kind in stage_columns(entity, table)),
        )
        for table in tables
    }
    copy = {
        table.name: SQL("COPY {} ({}) FROM STDIN").format(
            Identifier(stage_name(table)),
            _columns(tuple(name for name, _ in stage_columns(entity, table))),
        )
        for table in tables
    }
    older: list[Composed] = []
    version = Identifier(entity.version_column)
    # What is older than what is stored has been overtaken by a later change: it is left out, with its children.
    # A deleted row says nothing: after a restored backup the ERP gives its key and its trans_ids out again.
    for table in reversed(tables):
        parent_stage = Identifier(stage_name(parent))
        if table is parent:
            older.append(
                SQL(
                    "DELETE FROM {ps} s USING {p} t WHERE t.tenant_id = %(tenant_id)s AND {keys} AND s.{v} < t.{v}"
                    " AND t.deleted_at IS NULL"
                ).format(
                    ps=parent_stage, p=Identifier(parent.name), keys=_pairs(parent.key, "t.", "s."), v=version
                )
            )
        else:
            older.append(
                SQL(
                    "DELETE FROM {cs} c USING {ps} s, {p} t"
                    " WHERE {child} AND t.tenant_id = %(tenant_id)s AND {keys} AND s.{v} < t.{v}"
                    " AND t.deleted_at IS NULL"
                ).format(
                    cs=Identifier(stage_name(table)),
                    ps=parent_stage,
                    p=Identifier(parent.name),
                    child=_pairs(table.parent_key, "c.", "s."),
                    keys=_pairs(parent.key, "t.", "s."),
                    v=version,
                )
            )
    parts: list[Composed] = []
    update, insert = _update_insert(parent, "live")
    parts.append(
        SQL(
            "WITH updated AS ({update}), inserted AS ({insert}),"
            " counted AS (SELECT (SELECT count(*) FROM inserted) AS inserted,"
            " (SELECT count(*) FROM updated) AS updated),"
            " run AS (UPDATE job_run j SET {counters} FROM counted c"
            " WHERE j.job_id = %(job_id)s AND j.fence = %(fence)s)"
            " UPDATE job_attempt j SET {attempt_counters} FROM counted c"
            " WHERE j.job_id = %(job_id)s AND j.fence = %(fence)s"
            " RETURNING c.inserted, c.updated"
        ).format(
            update=update,
            insert=insert,
            counters=SQL(
                "commits = j.commits + 1, commit_token = %(token)s, deferred_since = NULL, deferrals = 0, "
            )
            + _COUNTERS,
            attempt_counters=_COUNTERS,
        )
    )
    for child in entity.children:
        parts.append(
            SQL(
                "DELETE FROM {c} t USING {ps} s"
                " WHERE t.tenant_id = %(tenant_id)s AND {keys} AND {own} <> ALL (s.{list})"
            ).format(
                c=Identifier(child.name),
                ps=Identifier(stage_name(parent)),
                keys=_pairs(child.parent_key, "t.", "s."),
                own=_own_key(child, "t."),
                list=Identifier(_vanish_column(child)),
            )
        )
        parts.extend(_update_insert(child, ""))
    return MergeSql(stage, copy, SQL(";\n").join(older), SQL(";\n").join(parts))


_COUNTERS = SQL(
    "pages = j.pages + %(pages)s, rows_fetched = j.rows_fetched + %(fetched)s,"
    " rows_rejected = j.rows_rejected + %(rejected)s,"
    " rows_inserted = j.rows_inserted + c.inserted, rows_updated = j.rows_updated + c.updated,"
    " rows_unchanged = j.rows_unchanged + %(fetched)s - %(rejected)s - c.inserted - c.updated"
)
