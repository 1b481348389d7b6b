"""One shop of the simulated ERP, its database, and syncs of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, LiteralString

import pytest_asyncio

from streamsync.clock import SystemClock
from streamsync.config import Settings
from streamsync.erp.http import ErpHttp
from streamsync.erp.permits import TakePermit
from streamsync.jobs import Job, State
from streamsync.simulator.server import Simulator
from streamsync.store.credentials import Credential, CredentialBox, generate_key
from streamsync.store.ledger import Admitted, Ledger, Settlement
from streamsync.store.pool import Database
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


@dataclass
class Shop:
    """A shop, and what its syncs leave behind."""

    database: Database
    simulator: Simulator
    box: CredentialBox
    take_permit: TakePermit | None = None

    async def claim(self, kind: str = "customers") -> Admitted:
        """A new job of the shop, admitted."""
        return await admit(self.database, await add_job(self.database, SHOP, kind=kind))

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

    async def sync(self, kind: str = "customers", **settings: Any) -> dict[str, Any]:
        """A whole job: claim, run, settle; gives the job's row."""
        admitted = await self.claim(kind)
        await self.run(admitted, **settings)
        done = Settlement(admitted.job_id, admitted.fence, State.SUCCEEDED, "succeeded")
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

    async def rows(self, table: str) -> list[dict[str, Any]]:
        """A target table without what the sync adds of its own, in key order."""
        order = {"customer": "customer_id", "customer_address": "customer_id, address_id"}.get(
            table, "vitrine, product_id" + (", sku" if table == "sku" else "")
        )
        async with self.database.connection() as connection:
            cursor = await connection.execute(f"SELECT * FROM {table} ORDER BY {order}".encode())
            added = ("tenant_id", "synced_at", "deleted_at")
            return [{k: v for k, v in row.items() if k not in added} for row in await cursor.fetchall()]

    async def check(self, *tables: str) -> None:
        """The tables hold exactly the truth."""
        for table in tables:
            assert await self.rows(table) == list(self.simulator.population.truth(SHOP, table)), table

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
