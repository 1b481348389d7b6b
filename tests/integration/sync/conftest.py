"""One shop of the simulated ERP, its database, and syncs of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, LiteralString

import pytest_asyncio

from streamsync.clock import SystemClock
from streamsync.config import Settings
from streamsync.erp.http import ErpHttp
from streamsync.erp.millennium.entities import ENTITIES, TABLES
from streamsync.erp.permits import TakePermit
from streamsync.jobs import Job, State
from streamsync.simulator.server import Simulator
from streamsync.store.credentials import Credential, CredentialBox, generate_key
from streamsync.store.ledger import Admitted, Ledger, Settlement
from streamsync.store.pool import Database
from streamsync.store.readback import rows_of
from streamsync.store.tenants import NewTenant, Tenants
from streamsync.sync.engine import SyncEngine
from tests.integration.store.helpers import add_job, admit
from tests.support import ERP_IS_HERE

SHOP = "shop-00001"


class Free:
    """A control that never interferes; tests override what they need."""

    def __init__(self) -> None:
        self.checkpoints = 0

    async def checkpoint(self) -> None:
        self.checkpoints += 1

    def stopping(self) -> bool:
        return False

    async def handed_back(self) -> None:
        return


def _differences(
    rows: list[dict[str, Any]], truth: list[dict[str, Any]], key: tuple[str, ...]
) -> list[tuple[Any, ...]]:
    """(key, columns that differ; or which side lacks the row), the first few."""
    ours = {tuple(row[name] for name in key): row for row in rows}
    theirs = {tuple(row[name] for name in key): row for row in truth}
    found: list[tuple[Any, ...]] = []
    for one in sorted(ours.keys() | theirs.keys()):
        mine, real = ours.get(one), theirs.get(one)
        if mine is None or real is None:
            found.append((one, "missing" if mine is None else "not in the truth"))
        elif mine != real:
            found.append((one, {name: (mine[name], real[name]) for name in real if mine[name] != real[name]}))
    return found[:5]


@dataclass
class Shop:
    """A shop, and what its syncs leave behind."""

    database: Database
    simulator: Simulator
    box: CredentialBox
    take_permit: TakePermit | None = None

    async def claim(self, kind: str = "customers", *, full: bool = False) -> Admitted:
        """A new job of the shop, admitted."""
        return await admit(self.database, await add_job(self.database, SHOP, kind=kind, full_read=full))

    async def run(self, admitted: Admitted, control: Free | None = None, **settings: Any) -> None:
        """Run a sync to its end, under quick settings."""
        given = {
            "erp_page_size": 7, "commit_max_rows": 20, "erp_read_timeout_seconds": 2,
            "erp_page_timeout_seconds": 3, **ERP_IS_HERE, **settings,
        }  # fmt: skip
        chosen = Settings(**given)
        async with ErpHttp(chosen, take_permit=self.take_permit) as http:
            engine = SyncEngine(self.database, http, self.box, chosen, SystemClock())
            await engine.run(admitted, control or Free())

    async def sync(self, kind: str = "customers", *, full: bool = False, **settings: Any) -> dict[str, Any]:
        """A whole job: claim, run, settle; gives the job's row. A failed one is settled, too, and raises."""
        admitted = await self.claim(kind, full=full)
        done = Settlement(admitted.job_id, admitted.fence, State.FAILED, "failed")
        try:
            await self.run(admitted, **settings)
            done = replace(done, state=State.SUCCEEDED, outcome="succeeded")
        finally:
            assert await Ledger(self.database).settle([done])
        return await self.row("SELECT * FROM job_run WHERE job_id = %(id)s", id=admitted.job_id)

    async def sync_again(self, before: Admitted) -> None:
        """Run the same job once more, as its next claim."""
        rows = await self.database.fetch(
            "SELECT attempt FROM job_run WHERE job_id = %(id)s", {"id": before.job_id}
        )
        job = Job(before.job_id, rows[0]["attempt"], before.kind, before.tenant_id)
        await self.run(await admit(self.database, job))

    async def row(self, query: LiteralString, **parameters: Any) -> dict[str, Any]:
        """The only row of a query."""
        (row,) = await self.database.fetch(query, parameters)
        return row

    def truth(self, table: str) -> list[dict[str, Any]]:
        """What a target table must hold now. Where the server sends no trans_id, ours is not known."""
        known = self.simulator.admin.truth(SHOP, table)
        if not self.simulator.app.switches.of(SHOP).no_trans_id:
            return list(known)
        return [{name: value for name, value in row.items() if name != "trans_id"} for row in known]

    async def rows(self, table: str) -> list[dict[str, Any]]:
        """What lives in a target table: the columns that the truth knows, in key order."""
        truth = self.truth(table)
        columns = tuple(truth[0]) if truth else TABLES[table].key
        return await rows_of(self.database, SHOP, TABLES[table], columns)

    async def stored(self) -> dict[str, list[dict[str, Any]]]:
        """Everything in all tables of data, but for when it was written."""
        found: dict[str, list[dict[str, Any]]] = {}
        for name, table in TABLES.items():
            columns = [column.column for column in table.fields if column.column not in table.key]
            found[name] = await rows_of(self.database, SHOP, table, [*table.key, *columns])
        return found

    async def vanished(self) -> int:
        """How many rows of the entities' own tables live here and are no longer in the truth."""
        count = 0
        for entity in ENTITIES.values():
            table, key = entity.table, entity.table.key
            held = {
                tuple(row[name] for name in key) for row in await rows_of(self.database, SHOP, table, key)
            }
            count += len(held - {tuple(row[name] for name in key) for row in self.truth(table.name)})
        return count

    async def check(self, *tables: str) -> None:
        """The tables (all of them, if none is named) hold exactly the truth, as it is now."""
        for table in tables or TABLES:
            rows, truth = await self.rows(table), self.truth(table)
            assert rows == truth, f"{table}: {_differences(rows, truth, TABLES[table].key)}"

    def asked(self) -> list[tuple[int | None, int | None]]:
        """(trans_id, $top) of each page asked for, in order."""
        return [
            (entry.trans_id, entry.top)
            for entry in self.simulator.admin.requests(SHOP)
            if entry.trans_id is not None
        ]


@pytest_asyncio.fixture
async def shop(database_url: str, simulator: Simulator) -> AsyncIterator[Shop]:
    """The shop, registered with its credential sealed."""
    box = CredentialBox([generate_key()])
    async with Database(database_url) as database:
        sealed = box.seal(SHOP, Credential(SHOP, simulator.population.password_of(SHOP)))
        await Tenants(database).put(
            [NewTenant(SHOP, "Shop", simulator.base_url(SHOP), sealed)], replace=False
        )
        yield Shop(database, simulator, box)
