"""The statements that run all night use indexes, and touch no more rows than they were asked about."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Composed

from streamsync.entity import Entity, Table
from streamsync.store.commit import _PLANNER
from streamsync.store.merge import merge_sql, stage_columns, stage_name
from streamsync.store.queries import query
from tests.pages import ENTITIES

_SHOPS = 3_000
_BATCH = 20


@pytest.fixture(scope="module")
def full_database_url(databases: Any, migrated_template: str) -> Iterator[str]:
    """Some thousand shops, each with a waiting job and finished ones, and one shop's 20,000 rows in each table."""
    name = databases.create(migrated_template)
    url = databases.url(name)
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (
            "INSERT INTO tenant (tenant_id, name, base_url, credential)"
            f" SELECT 's' || n, 'x', 'http://x', '' FROM generate_series(1, {_SHOPS}) n",
            "INSERT INTO tenant_fence (tenant_id) SELECT tenant_id FROM tenant",
            "INSERT INTO job_run (tenant_id, kind, trigger, scheduled_for, due_at, state)"
            " SELECT tenant_id, 'customers', 'schedule', now(), now(), state FROM tenant,"
            " unnest(ARRAY['succeeded', 'succeeded', 'succeeded', 'scheduled']) AS state",
            "INSERT INTO job_attempt (job_id, fence, attempt, tenant_id, worker, entry, started_at)"
            " SELECT job_id, 1, 1, tenant_id, 'w', '1-0', now() FROM job_run WHERE state = 'succeeded'",
        ):
            connection.execute(statement.encode())
        for entity in ENTITIES:
            for table in (entity.table, *entity.children):
                connection.execute(_filling(entity, table, table.name, 1, 20_000))
        connection.execute("ANALYZE")
    yield url
    databases.drop(name)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _explain(connection: psycopg.Connection[Any], statement: str) -> list[dict[str, Any]]:
    """The nodes of a statement's plan, with what they really touched."""
    row = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}".encode()).fetchone()
    assert row is not None
    plans = row[0] if isinstance(row[0], list) else json.loads(row[0])
    return list(_nodes(plans[0]["Plan"]))


def _literal(statement: str, **values: str) -> str:
    return re.sub(r"%\((\w+)\)s", lambda match: values[match[1]], statement).replace("%%", "%")


def _touched(node: dict[str, Any]) -> float:
    """Rows that a scan read, those it threw away included."""
    rows = float(node["Actual Rows"]) + float(node.get("Rows Removed by Filter", 0))
    return rows * float(node["Actual Loops"])


_TABLES = {"job_run", "tenant", "tenant_fence", "job_attempt"} | {
    table.name for entity in ENTITIES for table in (entity.table, *entity.children)
}


def _assert_indexed(nodes: list[dict[str, Any]], limit: int) -> None:
    for node in nodes:
        if node.get("Relation Name") in _TABLES and "Scan" in node["Node Type"]:
            what = f"{node['Node Type']} of {node['Relation Name']}: {_touched(node):g} rows"
            assert node["Node Type"] != "Seq Scan", what
            assert _touched(node) <= limit, what


def _batch(connection: psycopg.Connection[Any]) -> dict[str, str]:
    rows = connection.execute(
        f"SELECT job_id FROM job_run WHERE state = 'scheduled' ORDER BY job_id LIMIT {_BATCH}".encode()
    ).fetchall()
    jobs = ",".join(str(job_id) for (job_id,) in rows)
    return {
        "job_ids": f"'{{{jobs}}}'", "attempts": f"array_fill(1, ARRAY[{_BATCH}])",
        "entries": f"array_fill('1-0'::text, ARRAY[{_BATCH}])", "worker": "'w'", "max_deliveries": "5",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["cancel_at_claim", "poison_at_claim", "admit", "look"])
def test_a_claim_of_a_batch_touches_a_batch(full_database_url: str, name: str) -> None:
    """Index scans only, and a few rows per entry, however many jobs and tenants there are."""
    with psycopg.connect(full_database_url) as connection:
        nodes = _explain(connection, _literal(query("claim", name), **_batch(connection)))
        connection.rollback()
    _assert_indexed(nodes, 4 * _BATCH)


@pytest.mark.parametrize("name", ["coalesce_waiting", "settle"])
def test_settling_a_batch_touches_a_batch(full_database_url: str, name: str) -> None:
    """The same on the way out."""
    with psycopg.connect(full_database_url) as connection:
        batch = _batch(connection)
        connection.execute(_literal(query("claim", "admit"), **batch).encode())
        each = {
            "job_ids": batch["job_ids"], "fences": f"array_fill(1::bigint, ARRAY[{_BATCH}])",
            "states": f"array_fill('succeeded'::text, ARRAY[{_BATCH}])",
            "outcomes": f"array_fill('succeeded'::text, ARRAY[{_BATCH}])",
            "delays_ms": f"array_fill(0::bigint, ARRAY[{_BATCH}])",
            "error_classes": f"array_fill(NULL::text, ARRAY[{_BATCH}])",
            "error_statuses": f"array_fill(NULL::int, ARRAY[{_BATCH}])",
            "error_messages": f"array_fill(NULL::text, ARRAY[{_BATCH}])",
        }  # fmt: skip
        nodes = _explain(connection, _literal(query("settle", name), **each))
        connection.rollback()
    _assert_indexed(nodes, 4 * _BATCH)


def test_a_page_of_tenants_reads_a_page(full_database_url: str) -> None:
    """By key: the last page costs what the first one does."""
    with psycopg.connect(full_database_url) as connection:
        page = _literal(query("ticks", "page_tenants"), after="'s9'", tenant_ids="NULL", limit="10")
        nodes = _explain(connection, page)
    _assert_indexed(nodes, 10)


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
def test_a_merge_touches_its_batch(full_database_url: str, entity: Entity) -> None:
    """200 staged rows with their children against 20,000 stored ones: index scans, under the settings of a commit."""
    statements = merge_sql(entity)
    with psycopg.connect(full_database_url) as connection:
        connection.execute(_PLANNER)
        for ddl in statements.stage.values():
            connection.execute(ddl + SQL("DROP"))
        for table in (entity.table, *entity.children):
            connection.execute(_filling(entity, table, stage_name(table), 19_901, 20_100))
        values = {
            "tenant_id": "'s1'", "job_id": "1", "fence": "1", "pages": "1", "fetched": "200", "rejected": "0",
            "token": "''",
        }  # fmt: skip
        for statement in statements.merge.as_string(connection).split(";\n"):
            _assert_indexed(_explain(connection, _literal(statement, **values)), 400)
        connection.rollback()


def _filling(entity: Entity, table: Table, into: str, first: int, last: int) -> Composed:
    """Rows of a table or its staging table, numbered, each in all of its key's numbers."""
    stored = into == table.name
    columns = {
        name: kind for name, kind in stage_columns(entity, table) if not (stored and kind.endswith("[]"))
    }
    wanted = {*table.key, "trans_id", "kind", "ean13_valid"} & columns.keys()
    lists = [name for name, kind in columns.items() if kind.endswith("[]")]
    names = [*(["tenant_id"] if stored else []), *sorted(wanted), *lists]
    made = {
        "tenant_id": "'s1'", "kind": "'barcode'", "ean13_valid": "false", "trans_id": "1",
        **dict.fromkeys(lists, "'{}'"), **{name: f"n::text::{columns[name]}" for name in table.key},
    }  # fmt: skip
    values = ", ".join(made[name] for name in names)
    text = f"INSERT INTO {into} ({', '.join(names)}) SELECT {values} FROM generate_series({first}, {last}) n"
    return Composed([SQL(text)])
