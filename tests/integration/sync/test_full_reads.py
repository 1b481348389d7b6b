"""Full reads of a simulated shop: interrupted, begun anew, due by themselves, and scopes that vanish."""

from __future__ import annotations

import pytest

from streamsync.errors import TransientError
from streamsync.jobs import Job, State
from streamsync.simulator.data import Population
from streamsync.store.ledger import Admitted, Ledger, Settlement
from streamsync.store.pool import Database
from streamsync.store.ticks import Ticks
from tests.integration.store.helpers import admit
from tests.integration.sync.conftest import SHOP, Shop


async def _again(database: Database, before: Admitted) -> Admitted:
    """The same job, claimed once more."""
    return await admit(database, Job(before.job_id, before.attempt, before.kind, before.tenant_id))


async def _interrupted(shop: Shop) -> Admitted:
    """A full read that failed after five of nine pages, three commits of 20 rows among them."""
    await shop.sync()
    shop.simulator.admin.world.delete(SHOP, "customers", 6)
    admitted = await shop.claim(full=True)
    shop.simulator.admin.fault("500", after_requests=5, tenant=SHOP)
    with pytest.raises(TransientError):
        await shop.run(admitted)
    shop.simulator.admin.clear_faults()
    return admitted


async def test_an_interrupted_one_goes_on_where_it_stopped(shop: Shop) -> None:
    """The next attempt of the job reads the rest only, and still knows what the first has seen."""
    admitted = await _interrupted(shop)
    state = await shop.row("SELECT * FROM sync_state")
    assert 0 < state["full_read_cursor"] < state["cursor"]
    asked = len(shop.asked())
    await shop.run(await _again(shop.database, admitted))
    await shop.check("customer", "customer_address", "customer_contact")
    assert min(trans_id or 0 for trans_id, _ in shop.asked()[asked:]) == state["full_read_cursor"] - 1
    job = await shop.row("SELECT * FROM job_run WHERE job_id = %(id)s", id=admitted.job_id)
    assert (job["rows_deleted"], job["deletions_withheld"]) == (6, 0)


async def test_a_crash_of_postgresql_in_between_begins_it_anew(shop: Shop) -> None:
    """The unlogged table is empty then: nobody may believe that what it held was never seen."""
    admitted = await _interrupted(shop)
    async with shop.database.connection() as connection:
        await connection.execute("TRUNCATE full_read_seen")
    await shop.run(await _again(shop.database, admitted))
    await shop.check("customer", "customer_address", "customer_contact")


async def test_another_job_begins_anew(shop: Shop) -> None:
    """What the failed job saw is forgotten; an incremental job is not disturbed by it."""
    await _interrupted(shop)
    await shop.database.fetch(
        "UPDATE job_run SET state = 'failed', finished_at = now() WHERE state = 'running'"
    )
    shop.simulator.admin.world.delete(SHOP, "customers", 3)
    quiet = await shop.sync()
    assert quiet["rows_deleted"] == 0
    done = await shop.sync(full=True)
    assert done["rows_deleted"] == await _deleted(shop)
    await shop.check("customer", "customer_address", "customer_contact")


async def _deleted(shop: Shop) -> int:
    row = await shop.row("SELECT count(*) FILTER (WHERE deleted_at IS NOT NULL) AS n FROM customer")
    return int(row["n"])


async def test_the_first_read_is_none_and_a_due_one_is(shop: Shop) -> None:
    """By itself, once a shop's period has turned: vanished rows are found without anybody asking."""
    await shop.sync(full_read_days="7")
    assert (await shop.row("SELECT full_read_at FROM sync_state"))["full_read_at"] is None
    shop.simulator.admin.world.delete(SHOP, "customers", 4)
    assert (await shop.sync(full_read_days="7"))["rows_deleted"] == 0
    await shop.database.fetch("UPDATE sync_state SET created_at = now() - interval '8 days'")
    assert (await shop.sync(full_read_days="0"))["rows_deleted"] == 0
    assert (await shop.sync(full_read_days="7 customers=0"))["rows_deleted"] == 0
    assert (await shop.sync(full_read_days="7"))["rows_deleted"] == 4
    assert (await shop.sync(full_read_days="7"))["pages"] == 1
    await shop.check("customer", "customer_address", "customer_contact")


async def test_a_branch_that_the_erp_no_longer_has(shop: Shop) -> None:
    """Its stock is one of several branches', so it goes by the threshold of the whole shop."""
    await shop.sync("products")
    world = shop.simulator.admin.world
    world.delete(SHOP, "branches", 1)
    careful = await shop.sync("products", full=True, deletion_threshold_percent=20)
    assert careful["rows_deleted"] == 0
    assert careful["deletions_withheld"] > 1
    state = await shop.row("SELECT * FROM sync_state WHERE entity = 'branches'")
    assert (state["deletions_withheld"], state["withheld_reason"]) == (1, "threshold")
    done = await shop.sync("products", full=True, deletion_threshold_percent=80)
    assert done["rows_deleted"] > 1
    await shop.check("branch", "stock", "product", "price")


async def test_rows_of_storefronts_that_the_operator_left_out_stay(shop: Shop) -> None:
    """A list of storefronts at the tenant says what to read, not what the ERP has."""
    await shop.sync("products")
    before = await shop.row("SELECT count(*) AS n FROM product")
    await shop.database.fetch("UPDATE tenant SET vitrines = ARRAY[424242]")
    await shop.sync("products", full=True)
    assert await shop.row("SELECT count(*) AS n FROM product WHERE deleted_at IS NULL") == before


async def test_a_wish_noted_on_a_job_that_has_read_in_full_is_carried_out(shop: Shop) -> None:
    """It waits for a retry, its full read done and its deletions withheld; then the operator accepts them."""
    await shop.sync()
    shop.simulator.admin.world.delete(SHOP, "customers", 30)
    admitted = await shop.claim(full=True)
    await shop.run(admitted)
    ledger = Ledger(shop.database)
    assert await ledger.settle([Settlement(admitted.job_id, admitted.fence, State.RETRYING, "retrying")])
    ticks = Ticks(shop.database, "operator")
    tick_id = await ticks.add_manual_tick(
        "customers", tenant_ids=[SHOP], urgent=True, full_read=True, accept_deletions=True
    )
    tick = await ticks.get(tick_id)
    await ticks.write_page(tick, after="", dispatched="", due=[(SHOP, tick.scheduled_for)])
    await shop.sync_again(admitted)
    job = await shop.row("SELECT rows_deleted FROM job_run WHERE job_id = %(id)s", id=admitted.job_id)
    assert job["rows_deleted"] == 30
    await shop.check("customer", "customer_address", "customer_contact")


class TestManyBranches:
    """A shop with six branches."""

    @pytest.fixture
    def simulator_population(self) -> Population:
        """Six branches of one size."""
        return Population(
            seed=7, customers_per_tenant=1, products_per_tenant=10, fixed_sizes=True, branches=6
        )

    async def test_vanished_scopes_are_measured_together(self, shop: Shop) -> None:
        """One after the other each would be within the threshold of what is left."""
        await shop.sync("products")
        before = await shop.row("SELECT count(*) AS rows FROM stock")
        shop.simulator.admin.world.delete(SHOP, "branches", 3)
        await shop.sync("products", full=True, deletion_threshold_percent=30)
        living = "SELECT count(*) AS rows FROM stock WHERE deleted_at IS NULL"
        assert await shop.row(living) == before
        await shop.sync("products", full=True, deletion_threshold_percent=60)
        await shop.check("stock", "branch")
        assert (await shop.row(living))["rows"] < before["rows"]
