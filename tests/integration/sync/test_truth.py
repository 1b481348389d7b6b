"""After a sync the tables hold what the ERP holds."""

from __future__ import annotations

import pytest

from streamsync.jobs import KINDS
from streamsync.simulator.data import Population
from tests.integration.sync.conftest import SHOP, Shop


class TestSound:
    """Shops whose records can all be accepted."""

    @pytest.mark.parametrize("exclusive", [False, True])
    async def test_customers(self, shop: Shop, exclusive: bool) -> None:
        """Every row and every address, whether the ERP includes the cursor or not; then nothing is new."""
        shop.simulator.admin.switch(exclusive=exclusive)
        first = await shop.sync()
        await shop.check("customer", "customer_address")
        assert (first["rows_inserted"], first["rows_updated"], first["rows_rejected"]) == (60, 0, 0)
        assert first["rows_fetched"] == first["rows_inserted"] + first["rows_unchanged"]
        assert first["commits"] > 1

    @pytest.mark.parametrize(
        ("switch", "value"),
        [
            ("raw_control", True),
            ("keys", "upper"),
            ("empty", "object"),
            ("count_total", True),
            ("honour_skip", True),
        ],
    )
    async def test_servers_differ_and_the_rows_do_not(self, shop: Shop, switch: str, value: object) -> None:
        """Raw control characters, upper-case names, `{}` for nothing: the same truth."""
        shop.simulator.admin.switch(None, **{switch: value})
        await shop.sync()
        await shop.check("customer", "customer_address")

    async def test_a_second_run_writes_nothing(self, shop: Shop) -> None:
        """Only the overlap is read, and no row version is new."""
        await shop.sync()
        look = "SELECT array_agg((xmin::text, ctid::text) ORDER BY customer_id) AS v FROM customer"
        before = await shop.row(look)
        since = len(shop.asked())
        second = await shop.sync()
        assert (second["rows_inserted"], second["rows_updated"]) == (0, 0)
        assert second["rows_fetched"] == second["rows_unchanged"] == 1
        assert await shop.row(look) == before
        assert len(shop.asked()) - since == 1


class TestVitrines:
    """Several storefronts, with records that cannot be accepted."""

    @pytest.fixture
    def simulator_population(self) -> Population:
        """Three storefronts, a tenth of the records broken."""
        return Population(
            seed=3,
            customers_per_tenant=60,
            products_per_tenant=45,
            fixed_sizes=True,
            vitrines=3,
            bad_rate=0.1,
        )

    async def test_products_of_all_storefronts(self, shop: Shop) -> None:
        """Products and SKUs per storefront; the bad ones counted and in the quarantine, once each."""
        done = await shop.sync("products")
        await shop.check(
            "branch", "product", "sku", "sku_barcode", "product_classification", "price", "stock"
        )
        rejected = 0
        for entity in KINDS["products"]:
            bad = shop.simulator.population.bad_count(SHOP, entity)
            assert bad > 0 or entity == "branches"
            quarantined = await shop.row(
                "SELECT count(*) AS n FROM rejected_record WHERE entity = %(entity)s", entity=entity
            )
            assert quarantined["n"] == bad
            rejected += bad
        assert done["rows_rejected"] >= rejected  # the overlap of two pages shows some of them twice
        scopes = await shop.row(
            "SELECT array_agg(scope ORDER BY scope) AS s FROM sync_state WHERE entity = 'products'"
        )
        assert scopes["s"] == [str(v) for v in shop.simulator.population.vitrine_ids(SHOP)]

    async def test_bad_customers_in_one_page_are_counted_exactly(self, shop: Shop) -> None:
        """Without an overlap the rejected count is the number of bad records."""
        done = await shop.sync(erp_page_size=1000)
        await shop.check("customer", "customer_address")
        bad = shop.simulator.population.bad_count(SHOP, "customers")
        quarantined = await shop.row("SELECT count(*) AS n FROM rejected_record")
        assert quarantined["n"] == bad
        assert done["rows_inserted"] == 60 - bad
        total = done["rows_inserted"] + done["rows_updated"] + done["rows_unchanged"] + done["rows_rejected"]
        assert done["rows_fetched"] == total

    async def test_only_the_storefronts_named_at_the_tenant(self, shop: Shop) -> None:
        """Named ones are read and no others."""
        first = shop.simulator.population.vitrine_ids(SHOP)[0]
        await shop.database.fetch("UPDATE tenant SET vitrines = ARRAY[%(v)s::bigint]", {"v": first})
        await shop.sync("products")
        assert {row["vitrine"] for row in await shop.rows("product")} == {first}


class TestShared:
    """Records that share a trans_id, in groups longer than a page."""

    @pytest.fixture
    def simulator_population(self) -> Population:
        """Groups of up to 30 records with one trans_id."""
        return Population(
            seed=5, customers_per_tenant=90, products_per_tenant=1, fixed_sizes=True,
            shared_trans_id_rate=0.95, shared_trans_id_max=30,
        )  # fmt: skip

    @pytest.mark.parametrize("exclusive", [False, True])
    @pytest.mark.parametrize("size", [1, 7, 30])
    async def test_a_group_cut_by_top_is_read_whole(self, shop: Shop, exclusive: bool, size: int) -> None:
        """Nothing is lost where `$top` cuts a group, and a group longer than a page does not loop."""
        shop.simulator.admin.switch(exclusive=exclusive)
        await shop.sync(erp_page_size=size)
        await shop.check("customer", "customer_address")
        if size < 30:
            assert max(top or 0 for _, top in shop.asked()) > size
