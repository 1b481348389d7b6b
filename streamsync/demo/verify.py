"""Verifies a run from the outside: rows against the simulator's truth, the ledger, what Redis still holds."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import uvloop

from streamsync.erp.millennium.entities import ENTITIES, TABLES
from streamsync.queue.queue import Queue
from streamsync.simulator.data import Population
from streamsync.store.pool import Database
from streamsync.store.readback import rows_of
from streamsync.store.report import Report

#: Keys that may remain: the streams keep their consumer group, the feed of dead jobs its 24 hours.
_KNOWN_KEYS = ("stream", "urgent", "dead")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold."""

    what: str
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Compared:
    """Rows of some tenants against the truth."""

    rows: dict[str, int]
    different: list[str]


def compare_all(url: str, population: Population, tenants: list[str], empty: frozenset[str]) -> Compared:
    """Compare every tenant's rows with the truth, on all cores. Tenants in `empty` must have no rows."""
    workers = min(os.cpu_count() or 1, 8)
    shares = [tenants[number::workers] for number in range(workers)]
    with ProcessPoolExecutor(workers) as pool:
        parts = list(pool.map(_compare, [(url, population, share, empty) for share in shares]))
    rows = {table.name: sum(part.rows[table.name] for part in parts) for table in TABLES.values()}
    return Compared(rows, [name for part in parts for name in part.different])


def _compare(arguments: tuple[str, Population, list[str], frozenset[str]]) -> Compared:
    url, population, tenants, empty = arguments

    async def main() -> Compared:
        counted = {table.name: 0 for table in TABLES.values()}
        different = []
        async with Database(url, max_size=1) as database:
            for tenant_id in tenants:
                for table in TABLES.values():
                    expected = [] if tenant_id in empty else list(population.truth(tenant_id, table.name))
                    columns = tuple(expected[0]) if expected else table.key
                    actual = await rows_of(database, tenant_id, table, columns)
                    counted[table.name] += len(actual)
                    if actual != expected:
                        different.append(f"{tenant_id}: {table.name}")
        return Compared(counted, different)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


async def check_ledger(
    database: Database, population: Population, tenants: list[str], wrong: str
) -> list[Check]:
    """Every job final, counters consistent, failures only where they belong, quarantine as expected."""
    report = Report(database)
    overview = await report.overview()
    failures = await report.failures()
    refused = [row for row in failures if row["tenant_id"] == wrong]
    asked = [row for row in refused if row["error_class"] == "erp_wrong_password"]
    inconsistent = await report.inconsistencies()
    bad = sum(
        population.bad_count(tenant, entity) for tenant in tenants if tenant != wrong for entity in ENTITIES
    )
    quarantined = await report.quarantined()
    return [
        Check("every job is in a final state", overview.open == 0, f"{overview.jobs} jobs, {overview.open} open"),
        Check(
            "only the shop with the wrong password failed, and asked the ERP once",
            len(failures) == len(refused) == 2 and len(asked) == 1,
            f"{len(asked)} wrong password, {len(refused) - len(asked)} not tried again, "
            f"{len(failures) - len(refused)} others",
        ),
        Check("the ledger's counters add up", not inconsistent, f"{len(inconsistent)} jobs do not"),
        Check(
            "bad records are in quarantine, no others",
            quarantined == bad,
            f"{quarantined} of {bad} expected",
        ),
    ]  # fmt: skip


async def check_redis(queue: Queue) -> list[Check]:
    """Nothing left but what should be."""
    depths = await queue.depths()
    left = depths.delayed + depths.waiting + depths.pending
    strange = [name for name in await queue.key_names() if name.rpartition(":")[2] not in _KNOWN_KEYS]
    return [
        Check(
            "Redis holds nothing but what should be",
            left == 0 and not strange,
            f"{left} jobs, {depths.dead} in the dead feed, {len(strange)} unexpected keys",
        )
    ]
