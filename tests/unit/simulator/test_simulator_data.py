"""The population: the same in every process, true to what is served, and searchable without walking."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import unicodedata
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from streamsync.simulator import listing as listing_module
from streamsync.simulator.data import IMPORT_COLUMNS, TABLES, Population
from streamsync.simulator.dirt import Style
from streamsync.simulator.listing import Listing
from streamsync.simulator.render import encode
from tests.unit.simulator import undirt

SHOP = "shop-00001"
SMALL = Population(seed=7, customers_per_tenant=60, products_per_tenant=40, fixed_sizes=True)
LARGE = Population(seed=3, customers_per_tenant=3000, products_per_tenant=1500, vitrines=2, bad_rate=0.02)


def _records(population: Population, entity: str, style: Style) -> list[undirt.Record]:
    return [
        json.loads(encode(listing.record(index, style), style), strict=False)
        for listing in population.listings(SHOP, entity)
        for index in range(listing.size)
        if not listing.is_bad(index)
    ]


def _by(rows: list[undirt.Record], *names: str) -> list[undirt.Record]:
    return sorted(rows, key=lambda row: tuple(row[name] for name in names))


def test_a_customer_by_hand() -> None:
    """One record read by eye, so that no code of ours vouches for itself."""
    listing = SMALL.listing(SHOP, "customers")
    assert listing is not None
    index = listing.index_of_id(1160)
    assert index is not None
    record = listing.record(index, Style())
    assert record["cliente"] == 1160
    assert record["fantasia"] == " Empório Gonçalves "
    assert record["cnpj"] == "01.799.558/0002-22"
    assert record["ie"] == "807503102354  "
    assert (record["ddd_celular"], record["cel"]) == ("069", "958401709")
    assert record["data_cadastro"] == "/Date(1506308400000-180)/"
    assert record["data_atualizacao"] == "/Date(1619713092433-180)/"
    addresses = record["enderecos"]
    assert isinstance(addresses, list)
    assert addresses[1]["bairro"] == "Água \u00adVerde"
    assert addresses[1]["numero"] == 2731
    assert addresses[1]["cep"] == "14042-915"
    assert addresses[0]["estado"] == "RS "

    truth = {row["customer_id"]: row for row in SMALL.truth(SHOP, "customer")}[1160]
    assert truth["trade_name"] == "Empório Gonçalves"
    assert truth["cnpj"] == "01799558000222"
    assert truth["cnpj_valid"] is True
    assert truth["cpf_valid"] is None
    assert truth["state_registration"] == "807503102354"
    assert truth["mobile"] == "+5569958401709"
    assert truth["registered_on"] == date(2017, 9, 25)
    assert truth["source_updated_at"] == datetime(2021, 4, 29, 16, 18, 12, 433000, tzinfo=UTC)
    second = [row for row in SMALL.truth(SHOP, "customer_address") if row["customer_id"] == 1160][1]
    assert second["district"] == "Água Verde"
    assert second["number"] == "2731"
    assert second["postal_code"] == "14042915"
    assert second["phone"] == "+551630235121"
    assert second["country"] == "Brasil"


def test_a_product_by_hand() -> None:
    listing = SMALL.listing(SHOP, "products", SMALL.vitrine_ids(SHOP)[0])
    assert listing is not None
    index = listing.index_of_id(10000103)
    assert index is not None
    record = listing.record(index, Style())
    assert record["desc_colecao"] == "0005 - LIQUIDAÇÃO "
    assert record["custo"] == 345.93
    assert record["nome_produto_site"] == "  "
    truth = next(row for row in SMALL.truth(SHOP, "product") if row["product_id"] == 10000103)
    assert truth["collection"] == "0005 - LIQUIDAÇÃO"
    assert truth["cost"] == Decimal("345.93")
    assert truth["site_name"] is None
    assert truth["active"] is True
    assert truth["registered_on"] == date(2017, 7, 12)
    sku = next(row for row in SMALL.truth(SHOP, "sku") if row["product_id"] == 10000103)
    assert sku["sku"] == "10000103_1_0_U"
    assert sku["barcode"] == "7905705113488"
    assert sku["price"] is None


@pytest.mark.parametrize(
    "style", [Style(), Style(iso_dates=True), Style(raw_control=True)], ids=["default", "iso", "raw"]
)
def test_undoing_the_dirt_gives_the_truth(style: Style) -> None:
    customers = _records(LARGE, "customers", style)
    assert _by([undirt.customer(record) for record in customers], "customer_id") == list(
        LARGE.truth(SHOP, "customer")
    )
    addresses = [row for record in customers for row in undirt.addresses(record)]
    assert _by(addresses, "customer_id", "address_id") == list(LARGE.truth(SHOP, "customer_address"))
    products = _records(LARGE, "products", style)
    assert _by([undirt.product(record) for record in products], "vitrine", "product_id") == list(
        LARGE.truth(SHOP, "product")
    )
    skus = [row for record in products for row in undirt.skus(record)]
    assert _by(skus, "vitrine", "sku") == list(LARGE.truth(SHOP, "sku"))


def test_every_kind_of_dirt_is_there() -> None:
    """The shops must be as dirty as the reference says, or the comparison above shows nothing."""
    body = b"\n".join(
        encode(listing.record(index, Style()), Style())
        for entity in ("customers", "products")
        for listing in LARGE.listings(SHOP, entity)
        for index in range(listing.size)
    ).decode()
    marks = (
        "\u00ad",
        "\\u0000",
        "\\t",
        "\\n",
        '"T"',
        '"1"',
        ":true",
        ":null",
        ':""',
        "-120)/",
        '":" ',
        '  "',
        "/Date(-",
    )
    assert [mark for mark in marks if mark not in body] == []
    assert not unicodedata.is_normalized("NFC", body)


def test_truth_is_ordered_normalised_and_unique() -> None:
    keys = {
        "customer": ("customer_id",),
        "customer_address": ("customer_id", "address_id"),
        "product": ("vitrine", "product_id"),
        "sku": ("vitrine", "sku"),
    }
    for table in TABLES:
        rows = list(LARGE.truth(SHOP, table))
        found = [tuple(row[name] for name in keys[table]) for row in rows]
        assert found == sorted(set(found))
        for row in rows:
            for value in row.values():
                if isinstance(value, str):
                    assert value == undirt.text(value)


def test_counts_are_those_of_the_truth() -> None:
    for entity, table in (("customers", "customer"), ("products", "product")):
        bad = LARGE.bad_count(SHOP, entity)
        assert LARGE.count(SHOP, entity) == sum(1 for _ in LARGE.truth(SHOP, table))
        assert bad == sum(
            listing.is_bad(i) for listing in LARGE.listings(SHOP, entity) for i in range(listing.size)
        )
        assert 0.005 < bad / (bad + LARGE.count(SHOP, entity)) < 0.05
        assert SMALL.bad_count(SHOP, entity) == 0


def test_a_bad_record_differs_from_its_good_self() -> None:
    good = replace(LARGE, bad_rate=0.0)
    pairs = zip(LARGE.listings(SHOP, "products"), good.listings(SHOP, "products"), strict=True)
    for broken, whole in pairs:
        for index in range(broken.size):
            same = broken.record(index, Style()) == whole.record(index, Style())
            assert same is not broken.is_bad(index)


def test_another_process_sees_the_same_shops() -> None:
    code = (
        "import hashlib\n"
        "from streamsync.simulator.data import *\n"
        f"population = {LARGE!r}\n"
        "rows = repr([list(population.truth('shop-00009', table)) for table in TABLES])\n"
        "print(hashlib.sha256(rows.encode()).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    here = repr([list(LARGE.truth("shop-00009", table)) for table in TABLES])
    assert there.strip() == hashlib.sha256(here.encode()).hexdigest()


def test_tenants_and_seeds_differ() -> None:
    def names(population: Population, tenant: str) -> set[object]:
        return {(row["customer_id"], row["name"], row["cpf"]) for row in population.truth(tenant, "customer")}

    assert not names(SMALL, SHOP) & names(SMALL, "shop-00002")
    assert not names(SMALL, SHOP) & names(replace(SMALL, seed=8), SHOP)


def test_templates_are_shared() -> None:
    few = replace(SMALL, templates=3)
    shops = {repr(list(few.truth(tenant, "sku"))) for tenant in Population.tenants(30)}
    assert len(shops) == 3


def test_sizes_vary_around_the_mean() -> None:
    population = Population(seed=5, customers_per_tenant=300, products_per_tenant=200)
    sizes = [population.count(tenant, "customers") for tenant in Population.tenants(400)]
    assert 150 <= min(sizes) < 170
    assert 430 < max(sizes) <= 450
    assert 285 < sum(sizes) / len(sizes) < 315


@pytest.mark.parametrize("size", [0, 1, 2, 3, 64, 65, 997, 1000])
def test_rank_and_index_are_each_other_s_inverse(size: int) -> None:
    population = replace(SMALL, customers_per_tenant=size)
    listing = population.listings(SHOP, "customers")[0]
    assert sorted(listing.rank(index) for index in range(size)) == list(range(size))
    for index in range(size):
        assert listing.index_at_rank(listing.rank(index)) == index
        assert listing.index_of_id(listing.id_at_rank(listing.rank(index))) == index
    ids = {listing.id_at_rank(rank) for rank in range(size)}
    assert [i for i in range(3 * size + 2000) if (listing.index_of_id(i) is not None) != (i in ids)] == []


@pytest.mark.parametrize(("shared_rate", "shared_max"), [(0.0, 8), (0.3, 8), (1.0, 50)])
def test_cursors_are_ordered_and_found(shared_rate: float, shared_max: int) -> None:
    population = replace(SMALL, shared_trans_id_rate=shared_rate, shared_trans_id_max=shared_max)
    listing = population.listings(SHOP, "customers")[0]
    cursors = [listing.trans_id(index) for index in range(listing.size)]
    assert cursors == sorted(cursors)
    groups = {cursor: cursors.count(cursor) for cursor in cursors}
    assert max(groups.values()) <= shared_max
    assert (max(groups.values()) > 1) is (shared_rate > 0)
    for probe in range(cursors[0] - 2, cursors[-1] + 3):
        inclusive = listing.first_index(probe, exclusive=False)
        exclusive = listing.first_index(probe, exclusive=True)
        assert inclusive == sum(cursor < probe for cursor in cursors)
        assert exclusive == sum(cursor <= probe for cursor in cursors)


def test_some_cursors_need_more_than_32_bits() -> None:
    population = replace(SMALL, products_per_tenant=1)
    found = [next(population.truth(tenant, "product"))["trans_id"] for tenant in Population.tenants(20)]
    assert any(isinstance(cursor, int) and cursor > 2**32 for cursor in found)
    assert any(isinstance(cursor, int) and cursor < 2**31 for cursor in found)


def test_changed_since_agrees_with_the_times() -> None:
    listing = SMALL.listings(SHOP, "customers")[0]
    times = [listing.updated_ms(index) for index in range(listing.size)]
    assert times == sorted(times)
    for probe in (0, times[0], times[10] + 1, times[-1], times[-1] + 1):
        assert listing.first_changed_since(probe) == sum(moment < probe for moment in times)


def test_finding_a_cursor_does_not_walk_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop of a billion customers is as quick as a small one: nothing is counted through."""
    calls = 0
    original = Listing.trans_id

    def counted(self: Listing, index: int) -> int:
        nonlocal calls
        calls += 1
        return original(self, index)

    monkeypatch.setattr(listing_module.Listing, "trans_id", counted)
    huge = replace(SMALL, customers_per_tenant=10**9).listings(SHOP, "customers")[0]
    cursor = original(huge, 987_654_321)
    assert huge.first_index(cursor, exclusive=False) == 987_654_321
    assert calls < 40


def test_import_rows_match_the_header() -> None:
    rows = list(SMALL.import_rows("http://erp.invalid:6017", 2))
    assert [len(row) for row in rows] == [len(IMPORT_COLUMNS)] * 2
    assert rows[1][0] == "shop-00002"
    assert rows[1][2] == "http://erp.invalid:6017/erp/shop-00002"
    assert rows[1][4] == SMALL.password_of("shop-00002") != rows[0][4]


@pytest.mark.parametrize("wrong", [{"vitrines": 0}, {"bad_rate": 1.5}, {"customers_per_tenant": -1}])
def test_impossible_populations_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        replace(SMALL, **wrong)  # type: ignore[arg-type]


def test_unknown_tables_and_entities_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown table"):
        next(SMALL.truth(SHOP, "orders"))
    with pytest.raises(ValueError, match="unknown entity"):
        SMALL.listing(SHOP, "orders")
