"""What a commit writes, what it leaves alone, and that the counters add up."""

from __future__ import annotations

from dataclasses import replace

from streamsync.entity import Entity
from streamsync.erp.millennium.products import PRODUCTS
from streamsync.store.commit import Claim, Committed, Unit, commit
from streamsync.store.pool import Database
from streamsync.store.tenants import Tenants
from tests.integration.store.helpers import add_job, add_shops, admit, claim_of, one
from tests.integration.store.units import Record, broken, customer, unit_of

_COUNTERS = "rows_fetched", "rows_inserted", "rows_updated", "rows_unchanged", "rows_rejected"


async def cursors(tenants: Tenants, entity: str) -> dict[str, int]:
    """How far the shop's entity has been read, per scope."""
    return {scope: state.cursor for scope, state in (await tenants.sync_states("a", entity)).items()}


class Committing:
    """A claim of one shop and the commits made under it."""

    def __init__(self, database: Database, claim: Claim) -> None:
        self.database = database
        self.claim = claim

    async def unit(self, unit: Unit) -> Committed:
        """Commit, and count it."""
        done = await commit(self.database, self.claim, unit)
        self.claim = replace(self.claim, commits=self.claim.commits + 1)
        return done

    async def __call__(self, *records: Record, cursor: int = 10) -> tuple[int, int]:
        done = await self.unit(unit_of(*records, cursor=cursor))
        return done.inserted, done.updated


async def _begin(database: Database, tenant_id: str = "a", kind: str = "customers") -> Committing:
    await add_shops(database, tenant_id)
    return Committing(
        database, claim_of(await admit(database, await add_job(database, tenant_id, kind=kind)))
    )


async def test_counters_add_up_on_job_and_attempt(database: Database) -> None:
    """fetched = inserted + updated + unchanged + rejected, duplicates within a page counted as unchanged."""
    write = await _begin(database)
    assert await write(customer(1), customer(2), customer(2, 6), broken(3)) == (2, 0)
    assert await write(customer(1), customer(2, 7, name="NEW"), customer(4), broken(3), broken(3)) == (1, 1)
    for row in (
        await one(database, "SELECT * FROM job_run"),
        await one(database, "SELECT * FROM job_attempt"),
    ):
        assert [row[name] for name in _COUNTERS] == [9, 3, 1, 2, 3]
        assert row["pages"] == 2
    assert (await one(database, "SELECT commits FROM job_run"))["commits"] == 2


async def test_unchanged_rows_are_not_written_at_all(database: Database) -> None:
    """No new row version (xmin), no update, no dead tuple: in the parent and in the child."""
    write = await _begin(database)
    records = [customer(number, addresses=(1, 2)) for number in range(50)]
    await write(*records)
    look = (
        "SELECT (SELECT array_agg((xmin::text, ctid::text) ORDER BY customer_id) FROM customer) AS parents,"
        " (SELECT array_agg((xmin::text, ctid::text) ORDER BY customer_id, address_id) FROM customer_address) AS kids"
    )
    before = await one(database, look)
    assert await write(*records, cursor=11) == (0, 0)
    assert await one(database, look) == before
    async with database.connection() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
    for table in ("customer", "customer_address"):
        figures = await one(
            database,
            "SELECT n_tup_ins, n_tup_upd, n_tup_del, n_dead_tup FROM pg_stat_user_tables WHERE relname = %(table)s",
            table=table,
        )
        assert (figures["n_tup_upd"], figures["n_tup_del"], figures["n_dead_tup"]) == (0, 0, 0)


async def test_an_older_state_never_overwrites_a_newer_one(database: Database) -> None:
    """Nor does it touch the children; the same trans_id with another content does."""
    write = await _begin(database)
    await write(customer(1, 9, name="NEW", addresses=(1, 2)))
    assert await write(customer(1, 8, name="OLD", addresses=(3,))) == (0, 0)
    row = await one(database, "SELECT name, trans_id FROM customer")
    assert (row["name"], row["trans_id"]) == ("NEW", 9)
    assert await _addresses(database) == [(1, "CIDADE NEW"), (2, "CIDADE NEW")]
    assert await write(customer(1, 9, name="SAME", addresses=(1,))) == (0, 1)
    assert await _addresses(database) == [(1, "CIDADE SAME")]


async def test_children_follow_their_parent(database: Database) -> None:
    """They come, change and vanish with the record that holds them; other parents' stay."""
    write = await _begin(database)
    await write(customer(1, addresses=(1, 2, 3)), customer(2, addresses=(1,)))
    await write(customer(1, 6, name="X", addresses=(2, 4)), cursor=11)
    rows = await _addresses(database, of=1)
    assert rows == [(2, "CIDADE X"), (4, "CIDADE X")]
    assert await _addresses(database, of=2) == [(1, "CIDADE PESSOA")]
    await write(customer(1, 7), cursor=12)
    assert await _addresses(database, of=1) == []


async def test_a_deleted_row_that_comes_back_is_alive_again(database: Database) -> None:
    """What a full read marked as vanished and the ERP lists again loses its mark, content unchanged or not."""
    write = await _begin(database)
    await write(customer(1))
    await database.fetch("UPDATE customer SET deleted_at = now()")
    assert await write(customer(1)) == (0, 1)
    assert (await one(database, "SELECT deleted_at FROM customer"))["deleted_at"] is None


async def test_a_bad_record_is_kept_once_and_counted(database: Database) -> None:
    """One row per fingerprint: twice in a page is once, in another commit it is seen again."""
    write = await _begin(database)
    await write(broken(1), broken(1), broken(2))
    await write(broken(1), customer(9))
    rows = await database.fetch(
        "SELECT field, reason, record::json ->> 'cliente' AS id, times_seen FROM rejected_record ORDER BY 3"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("data_cadastro", "expected a date", "1", 2),
        ("data_cadastro", "expected a date", "2", 1),
    ]


async def test_a_bad_record_may_hold_anything(database: Database) -> None:
    """NUL, lone surrogates, percent signs, quotes and huge numbers reach the quarantine as text."""
    write = await _begin(database)
    strange = "\x00 \ud83d %s %(x)s ' \" \\ \u2028"
    assert await write({**broken(1), "obs": strange, "n": 10**30}) == (0, 0)
    assert (await one(database, "SELECT count(*) AS n FROM rejected_record"))["n"] == 1


async def test_the_cursor_never_goes_back(database: Database) -> None:
    """It moves forward only, per entity and scope."""
    write = await _begin(database)
    tenants = Tenants(database)
    for cursor, expected in ((10, 10), (7, 10), (12, 12)):
        await write(customer(1, cursor), cursor=cursor)
        assert await cursors(tenants, "customers") == {"": expected}
    await write.unit(unit_of(entity=PRODUCTS, scope="901", cursor=2**40))
    assert await cursors(tenants, "products") == {"901": 2**40}
    assert await cursors(tenants, "customers") == {"": 12}


async def test_keys_of_children_may_hold_any_text(database: Database) -> None:
    """Quotes, braces, commas, backslashes and the word NULL in an SKU survive the array they travel in."""
    write = await _begin(database, kind="products")
    skus = ['a"b', "{c}", "d,e", "f\\g", "NULL", "null", "h i", "ü"]

    def page(*names: str, entity: Entity = PRODUCTS) -> Unit:
        record = {"produto": 1, "trans_id": 5, "sku": [{"sku": name} for name in names]}
        return unit_of(record, entity=entity, scope="901")

    assert await write.unit(page(*skus)) == Committed(1, 0)
    await write.unit(page(*skus))
    assert await _skus(database) == set(skus)
    await write.unit(page("NULL", 'a"b'))
    assert await _skus(database) == {"NULL", 'a"b'}


async def _skus(database: Database) -> set[str]:
    return {row["sku"] for row in await database.fetch("SELECT sku FROM sku")}


async def _addresses(database: Database, *, of: int = 1) -> list[tuple[int, str]]:
    rows = await database.fetch(
        "SELECT address_id, city FROM customer_address WHERE customer_id = %(of)s ORDER BY 1", {"of": of}
    )
    return [(row["address_id"], row["city"]) for row in rows]
