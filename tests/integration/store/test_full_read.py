"""The end of a full read: what was not seen is marked as deleted, if the read can be trusted that far."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamsync.entity import Entity
from streamsync.erp.millennium.customers import CUSTOMERS
from streamsync.erp.millennium.products import PRODUCTS
from streamsync.store.commit import Claim, Committed, Finish, FullStep, Unit, commit
from streamsync.store.pool import Database
from streamsync.store.sqlstate import FullReadLost
from streamsync.store.tenants import SyncState, Tenants
from streamsync.sync.clean import Cleaner
from tests.integration.store.helpers import add_job, add_shops, admit, claim_of, one
from tests.integration.store.units import Record, broken, customer

ACCEPTED = Finish(complete=True, accept=True, threshold_percent=30)
CAREFUL = Finish(complete=True, accept=False, threshold_percent=30)
CUT = Finish(complete=False, accept=True, threshold_percent=100)


class Shop:
    """A shop under one claim, and the commits of its reads."""

    def __init__(self, database: Database, claim: Claim) -> None:
        self.database = database
        self.claim = claim

    async def write(
        self,
        *records: Record,
        full: FullStep | None = None,
        cursor: int = 10,
        entity: Entity = CUSTOMERS,
        scope: str = "",
    ) -> Committed:
        """One commit; without `full` an incremental one."""
        cleaner = Cleaner(entity, scope)
        unit: Unit = cleaner.new_unit(cursor)
        unit.full = full
        cleaner.add(unit, records)
        unit.pages = 1
        done = await commit(self.database, self.claim, unit)
        self.claim = replace(self.claim, commits=self.claim.commits + 1)
        return done

    async def read_all(self, *records: Record, finish: Finish, cursor: int = 10) -> Committed:
        """A whole full read in one commit."""
        return await self.write(*records, full=FullStep(begins=True, finish=finish), cursor=cursor)

    async def living(self, table: str = "customer", column: str = "customer_id") -> list[int]:
        """Keys of the rows that are not marked as deleted."""
        query = f"SELECT coalesce(array_agg({column} ORDER BY {column}), '{{}}') AS ids FROM {table}"
        if table in ("customer", "product"):
            query += " WHERE deleted_at IS NULL"
        async with self.database.connection() as connection:
            cursor = await connection.execute(query.encode())
            row = await cursor.fetchone()
            assert row is not None
            return list(row["ids"])

    async def state(self, entity: str = "customers", scope: str = "") -> SyncState:
        """How far the scope has been read."""
        return (await Tenants(self.database).sync_states("a", entity))[scope]

    async def seen(self) -> int:
        """Keys noted and not yet forgotten."""
        return int((await one(self.database, "SELECT count(*) AS n FROM full_read_seen"))["n"])


@pytest.fixture
async def shop(database: Database) -> Shop:
    """Ten customers with two addresses each, read incrementally."""
    await add_shops(database, "a", "b")
    shop = Shop(database, claim_of(await admit(database, await add_job(database, "a"))))
    await shop.write(*ten())
    return shop


def ten(*, without: tuple[int, ...] = (), trans_id: int = 5) -> list[Record]:
    """Customers 1 to 10."""
    return [customer(n, trans_id, addresses=(1, 2)) for n in range(1, 11) if n not in without]


async def test_what_was_not_seen_is_marked_and_its_nested_rows_go(shop: Shop) -> None:
    """Marked, counted in the ledger, addresses gone; the rest is not touched."""
    look = "SELECT array_agg(xmin::text ORDER BY customer_id) AS v FROM customer WHERE customer_id > 2"
    before = await one(shop.database, look)
    done = await shop.read_all(*ten(without=(1, 2)), finish=CAREFUL)
    assert (done.inserted, done.updated, done.deleted, done.withheld) == (0, 0, 2, 0)
    assert await shop.living() == list(range(3, 11))
    assert await shop.living("customer_address") == sorted([*range(3, 11)] * 2)
    assert await one(shop.database, look) == before
    row = await one(shop.database, "SELECT rows_deleted, deletions_withheld FROM job_run")
    assert (row["rows_deleted"], row["deletions_withheld"]) == (2, 0)
    assert await shop.seen() == 0


async def test_a_deleted_one_that_comes_back_lives_again(shop: Shop) -> None:
    """With its addresses, even unchanged."""
    await shop.read_all(*ten(without=(1,)), finish=CAREFUL)
    await shop.write(customer(1, 5, addresses=(1, 2)))
    assert await shop.living() == list(range(1, 11))
    assert await shop.living("customer_address") == sorted([*range(1, 11)] * 2)


async def test_too_many_are_reported_and_kept(shop: Shop) -> None:
    """Beyond the threshold nothing is marked; the state and the ledger say how many and why."""
    done = await shop.read_all(*ten(without=(1, 2, 3, 4)), finish=CAREFUL)
    assert (done.deleted, done.withheld, done.reason) == (0, 4, "threshold")
    assert await shop.living() == list(range(1, 11))
    row = await one(shop.database, "SELECT deletions_withheld, withheld_reason FROM sync_state")
    assert (row["deletions_withheld"], row["withheld_reason"]) == (4, "threshold")
    row = await one(shop.database, "SELECT rows_deleted, deletions_withheld FROM job_attempt")
    assert (row["rows_deleted"], row["deletions_withheld"]) == (0, 4)


async def test_exactly_the_threshold_is_applied(shop: Shop) -> None:
    """30 % of ten are three."""
    assert (await shop.read_all(*ten(without=(1, 2, 3)), finish=CAREFUL)).deleted == 3


async def test_an_operator_may_accept_them(shop: Shop) -> None:
    """Even all of them; the report of the last time goes with it."""
    await shop.read_all(finish=CAREFUL)
    assert (await shop.read_all(finish=ACCEPTED)).deleted == 10
    assert await shop.living() == []
    row = await one(shop.database, "SELECT deletions_withheld, withheld_reason FROM sync_state")
    assert (row["deletions_withheld"], row["withheld_reason"]) == (0, None)


async def test_a_read_that_may_have_been_cut_deletes_nothing(shop: Shop) -> None:
    """Whatever was accepted."""
    done = await shop.read_all(*ten(without=(1,)), finish=CUT)
    assert (done.deleted, done.withheld, done.reason) == (0, 1, "incomplete")
    assert await shop.living() == list(range(1, 11))


async def test_a_bad_record_is_not_a_vanished_one(shop: Shop) -> None:
    """Its key was read, and that is enough."""
    assert (await shop.read_all(*ten(without=(1,)), broken(1), finish=CAREFUL)).deleted == 0
    assert 1 in await shop.living()


async def test_a_bad_record_without_a_key_may_be_anyone(shop: Shop) -> None:
    """Then nobody is deleted; also where another commit of the same read met it."""
    nameless = {**broken(1), "cliente": "no number"}
    await shop.write(nameless, full=FullStep(begins=True))
    done = await shop.write(*ten(without=(1,)), full=FullStep(finish=ACCEPTED))
    assert (done.deleted, done.withheld, done.reason) == (0, 1, "incomplete")


async def test_a_read_of_several_commits(shop: Shop) -> None:
    """Keys are kept from one to the next; the incremental cursor stays until the end."""
    await shop.write(*ten()[:4], full=FullStep(begins=True), cursor=3)
    state = await shop.state()
    assert (state.cursor, state.full_read_cursor, state.full_read_job_id) == (10, 3, shop.claim.job_id)
    await shop.write(*ten()[4:8], full=FullStep(), cursor=6)
    done = await shop.write(*ten()[7:9], full=FullStep(finish=CAREFUL), cursor=9)
    assert done.deleted == 1
    state = await shop.state()
    assert (state.cursor, state.full_read_cursor) == (9, None)
    assert state.full_read_at is not None


async def test_it_may_lower_trans_ids_and_the_cursor(shop: Shop) -> None:
    """An ERP restored from a backup: an incremental read leaves newer rows alone, a full one believes the ERP."""
    await shop.write(customer(1, 2, name="OLD"))
    assert (await one(shop.database, "SELECT name FROM customer WHERE customer_id = 1"))["name"] == "PESSOA"
    await shop.read_all(customer(1, 2, name="OLD"), *ten(without=(1,), trans_id=1), finish=CAREFUL, cursor=2)
    row = await one(shop.database, "SELECT name, trans_id FROM customer WHERE customer_id = 1")
    assert (row["name"], row["trans_id"]) == ("OLD", 2)
    assert (await shop.state()).cursor == 2


async def test_a_crash_that_emptied_the_seen_keys_is_noticed(shop: Shop) -> None:
    """Nothing is written; begun anew, the read is right."""
    await shop.write(*ten()[:5], full=FullStep(begins=True), cursor=3)
    async with shop.database.connection() as connection:
        await connection.execute("TRUNCATE full_read_seen")
    with pytest.raises(FullReadLost):
        await shop.write(*ten()[5:], full=FullStep(finish=ACCEPTED))
    assert await shop.living() == list(range(1, 11))
    assert (await shop.read_all(*ten(without=(3,)), finish=CAREFUL)).deleted == 1


async def test_one_begun_anew_forgets_what_the_other_saw(shop: Shop) -> None:
    """An earlier job's keys must not save a row."""
    await shop.write(*ten(), full=FullStep(begins=True))
    assert (await shop.read_all(*ten(without=(9,)), finish=CAREFUL)).deleted == 1


async def test_only_the_scope_and_the_tenant_are_looked_at(shop: Shop) -> None:
    """A storefront's read deletes nothing of another one, nor of another shop."""
    products = [{"produto": n, "trans_id": 5, "sku": [{"sku": f"{n}_1"}]} for n in range(1, 6)]
    for scope in ("901", "902"):
        await shop.write(*products, entity=PRODUCTS, scope=scope)
    other = Shop(shop.database, claim_of(await admit(shop.database, await add_job(shop.database, "b"))))
    await other.write(*ten())
    step = FullStep(begins=True, finish=ACCEPTED)
    done = await shop.write(*products[1:], full=step, entity=PRODUCTS, scope="901")
    assert done.deleted == 1
    assert await shop.living("product", "product_id") == sorted([*range(2, 6), *range(1, 6)])
    await shop.read_all(finish=ACCEPTED)
    assert await shop.living() == list(range(1, 11))  # the other shop's


async def test_unchanged_rows_are_not_written(shop: Shop) -> None:
    """No new version of a row, in neither table."""
    for table in ("customer", "customer_address"):
        look = f"SELECT array_agg(ctid::text ORDER BY ctid) AS v FROM {table}"
        async with shop.database.connection() as connection:
            before = await (await connection.execute(look.encode())).fetchall()
            await shop.read_all(*ten(), finish=CAREFUL)
            assert await (await connection.execute(look.encode())).fetchall() == before


async def test_what_the_read_itself_brings_does_not_widen_the_threshold(shop: Shop) -> None:
    """A base URL that leads to another, bigger shop: all ten rows are missing, whatever came instead."""
    others = [customer(n, 5) for n in range(100, 200)]
    done = await shop.read_all(*others, finish=CAREFUL)
    assert (done.inserted, done.deleted, done.withheld, done.reason) == (100, 0, 10, "threshold")


async def test_what_was_kept_unseen_does_not_keep_newer_records_out(shop: Shop) -> None:
    """After a restored backup the ERP gives the keys of rows that were kept, too, out again, with lower trans_ids."""
    await shop.read_all(*ten(without=(1, 2, 3, 4), trans_id=1), finish=CAREFUL, cursor=2)
    await shop.write(customer(1, 3, name="NEW"), cursor=3)
    assert (await one(shop.database, "SELECT name FROM customer WHERE customer_id = 1"))["name"] == "NEW"
