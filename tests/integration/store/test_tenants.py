"""Tenants, their cursors, and what a queue was set up with."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from streamsync.store.pool import Database
from streamsync.store.settings import Setup
from streamsync.store.tenants import NewTenant, Tenants
from tests.integration.store.helpers import add_job, add_shops, fence, one


async def test_adding_and_replacing(database: Database) -> None:
    """New ones are created with a fence; existing ones change only where that is asked for; fences stay."""
    tenants = Tenants(database)
    first = NewTenant("a", "A", "http://x", b"1")
    assert await tenants.put([first, NewTenant("b", "B", "http://x", b"1")], replace=False) == (2, 0)
    await database.fetch("UPDATE tenant_fence SET fence = 7")
    changed = NewTenant("a", "NEW", "http://y", b"2", vitrines=(3, 1))
    assert await tenants.put([changed], replace=False) == (0, 0)
    row = await tenants.show("a")
    assert row is not None
    assert row["name"] == "A"
    assert await tenants.put([changed, NewTenant("c", "C", "http://x", b"1")], replace=True) == (1, 1)
    row = await tenants.show("a")
    assert row is not None
    assert (row["name"], row["vitrines"]) == ("NEW", [3, 1])
    assert "credential" not in row
    assert (await fence(database, "a"), await fence(database, "c")) == (7, 0)
    assert await tenants.show("none") is None


async def test_a_batch_is_all_or_nothing(database: Database) -> None:
    """One impossible id and none of the batch is there."""
    with pytest.raises(psycopg.errors.CheckViolation):
        await Tenants(database).put(
            [NewTenant("good", "x", "http://x", b""), NewTenant("not good", "x", "http://x", b"")],
            replace=False,
        )
    assert await Tenants(database).existing(["good"]) == set()


async def test_all_are_read_page_by_page(database: Database) -> None:
    """By key, each once, also where the last page is full."""
    await add_shops(database, *(f"s{number:02d}" for number in range(10)))
    tenants = Tenants(database)
    assert await tenants.set_active(["s03", "none"], active=False) == {"s03"}
    for page_size in (1, 5, 100):
        found = [row["tenant_id"] async for row in tenants.scan(page_size=page_size)]
        assert found == [f"s{number:02d}" for number in range(10)]
    assert [row["tenant_id"] async for row in tenants.scan(active=False)] == ["s03"]
    assert await tenants.existing(["s01", "none"]) == {"s01"}


async def test_the_last_success_is_shown(database: Database) -> None:
    """How fresh a tenant's data are."""
    await add_shops(database, "a")
    await add_job(database, "a", state="succeeded")
    await database.fetch("UPDATE job_run SET finished_at = now()")
    row = await Tenants(database).show("a")
    assert row is not None
    assert row["last_success_at"] == (await one(database, "SELECT finished_at FROM job_run"))["finished_at"]


async def test_deleting_a_tenant_deletes_its_data(database: Database) -> None:
    """The ledger's history stays."""
    await add_shops(database, "a")
    await add_job(database, "a", state="succeeded")
    await database.fetch("INSERT INTO customer (tenant_id, customer_id, trans_id) VALUES ('a', 1, 1)")
    await database.fetch("DELETE FROM tenant")
    counts = await one(
        database,
        "SELECT (SELECT count(*) FROM customer) AS customers, (SELECT count(*) FROM tenant_fence) AS fences,"
        " (SELECT count(*) FROM job_run) AS jobs",
    )
    assert counts == {"customers": 0, "fences": 0, "jobs": 1}


async def test_the_first_to_ask_decides_the_partitions(database: Database) -> None:
    """Everybody else learns what the queue was set up with."""
    setup = Setup(database)
    answers = await asyncio.gather(*(setup.partitions("erp-sync", wanted) for wanted in (4, 4, 4)))
    assert answers == [4, 4, 4]
    assert await setup.partitions("erp-sync", 1) == 4
    assert await setup.partitions("other", 2) == 2
