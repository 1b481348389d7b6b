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
from streamsync.simulator.data import ENTITIES, IMPORT_COLUMNS, TABLES, Population
from streamsync.simulator.dirt import Style
from streamsync.simulator.listing import Listing
from streamsync.simulator.record import encode
from tests.unit.simulator import undirt, undirt_values

SHOP = "shop-00001"
SMALL = Population(seed=7, customers_per_tenant=60, products_per_tenant=40, fixed_sizes=True)
LARGE = Population(seed=3, customers_per_tenant=2000, products_per_tenant=300, vitrines=2, bad_rate=0.02)


def _records(population: Population, entity: str, style: Style) -> list[undirt.Record]:
    return [
        json.loads(encode(listing.record(listing.item(index), style), style), strict=False)
        for listing in population.listings(SHOP, entity)
        for index in range(listing.size)
        if not listing.is_bad(index)
    ]


def test_a_customer_by_hand() -> None:
    """One record read by eye, so that no code of ours vouches for itself."""
    listing = SMALL.listing(SHOP, "customers")
    assert listing is not None
    index = listing.index_of_id(1160)
    assert index is not None
    record = listing.record(listing.item(index), Style())
    assert record["cliente"] == 1160
    assert record["fantasia"] == " Empório Gonçalves "
    assert record["cnpj"] == "01.799.558/0002-22"
    assert record["obs"] == "Pediu 10% de desconto na última compra"
    assert (record["ddd_celular"], record["cel"]) == ("069", "958401709")
    assert record["data_cadastro"] == "/Date(1506308400000-180)/"
    assert record["data_atualizacao"] == "/Date(1619713092433-180)/"
    addresses = record["enderecos"]
    assert isinstance(addresses, list)
    assert addresses[1]["bairro"] == "Ilha  do  Leite"
    assert addresses[1]["cep"] == "82828-145"
    assert (addresses[1]["ddd"], addresses[1]["fone"]) == ("41 ", " 4070-9379 ")
    assert addresses[0]["estado"] == "RS "
    assert addresses[2]["nome_pais"] == "Bra\u00adsil"

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
    assert second["district"] == "Ilha do Leite"
    assert second["number"] == "3357"
    assert (second["postal_code"], second["postal_code_valid"]) == ("82828145", True)
    assert second["phone"] == "+554140709379"
    assert second["country"] == "Brasil"


def test_a_product_by_hand() -> None:
    listing = SMALL.listing(SHOP, "products", SMALL.vitrine_ids(SHOP)[0])
    assert listing is not None
    index = listing.index_of_id(100000100)
    assert index is not None
    record = listing.record(listing.item(index), Style())
    assert record["desc_colecao"] == "Alto Verão"
    assert record["custo"] == 309.51
    assert record["ncm"] == "64060396  "
    product = next(row for row in SMALL.truth(SHOP, "product") if row["product_id"] == 100000100)
    assert product["ncm"] == "64060396"
    assert product["cost"] == Decimal("309.51")
    assert product["reference"] is None
    assert product["active"] is True
    assert product["registered_on"] == date(2023, 11, 5)
    (sku,) = (row for row in SMALL.truth(SHOP, "sku") if row["product_id"] == 100000100)
    assert sku["sku"] == "100000100_13_0_U"
    assert sku["ean13"] == "7895381907528"
    assert sku["price"] == Decimal("299.9")
    codes = [row for row in SMALL.truth(SHOP, "sku_barcode") if row["product_id"] == 100000100]
    assert [(row["barcode"], row["kind"], row["ean13_valid"]) for row in codes] == [
        ("7895381907528", "ean13", True),
        ("R3391298", "reference", False),
    ]


def test_a_price_and_a_balance_by_hand() -> None:
    prices = SMALL.listing(SHOP, "prices", SMALL.vitrine_ids(SHOP)[0])
    stock = SMALL.listing(SHOP, "stock", 4)
    assert prices is not None
    assert stock is not None
    (index,) = prices.indices_of_key(100000100)
    record = prices.record(prices.item(index), Style())
    assert (record["sku"], record["preco1"], record["tamanho"]) == ("100000100_13_0_U", 299.9, "U")
    (index,) = stock.indices_of_key(100000100)
    record = stock.record(stock.item(index), Style())
    assert (record["filial"], record["cod_filial"], record["saldo"]) == (4, "000104", 34)
    assert (record["lote"], record["barra"]) == ("", "7895381907528")
    row = next(
        row for row in SMALL.truth(SHOP, "stock") if (row["branch_id"], row["sku"]) == (4, record["sku"])
    )
    assert (row["balance"], row["storefront_free"], row["lot"]) == (Decimal(34), Decimal(34), "")


@pytest.mark.parametrize(
    "style",
    [
        Style(),
        Style(dates="iso"),
        Style(dates="iso-naive"),
        Style(raw_control=True),
        Style(dirt=False),
        Style(single="nested"),
    ],
    ids=["default", "iso", "naive", "raw", "clean", "single"],
)
def test_undoing_the_dirt_gives_the_truth(style: Style) -> None:
    for entity in ENTITIES:
        records = _records(LARGE, entity, style)
        for table in (name for name, (bringing, _) in TABLES.items() if bringing == entity):
            assert undirt.rows_of(table, records) == list(LARGE.truth(SHOP, table)), table


def test_every_kind_of_dirt_is_there() -> None:
    """The shops must be as dirty as the reference says, or the comparison above shows nothing."""
    body = b"\n".join(
        encode(listing.record(listing.item(index), Style()), Style())
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
    for table in TABLES:
        rows = list(LARGE.truth(SHOP, table))
        found = [tuple(row[name] for name in undirt.KEYS[table]) for row in rows]
        assert found == sorted(set(found))
        for row in rows:
            for value in row.values():
                if isinstance(value, str) and value:  # a stock row without a lot has an empty one
                    assert value == undirt_values.text(value)


def test_counts_are_those_of_the_truth() -> None:
    parents = {entity: table for table, (entity, nested) in TABLES.items() if not nested}
    del parents["branches"]  # none of them is bad
    for entity, table in parents.items():
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
            same = broken.record(broken.item(index), Style()) == whole.record(whole.item(index), Style())
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


def _has(listing: Listing, record_id: int) -> bool:
    """Whether the id is one of the first records' (others are those of records to come)."""
    index = listing.index_of_id(record_id)
    return index is not None and index < listing.size


@pytest.mark.parametrize("size", [0, 1, 2, 3, 64, 65, 997, 1000])
def test_rank_and_index_are_each_other_s_inverse(size: int) -> None:
    population = replace(SMALL, customers_per_tenant=size)
    listing = population.listings(SHOP, "customers")[0]
    assert sorted(listing.rank(index) for index in range(size)) == list(range(size))
    for index in range(size):
        assert listing.index_at_rank(listing.rank(index)) == index
        assert listing.index_of_id(listing.id_at_rank(listing.rank(index))) == index
    ids = {listing.id_at_rank(rank) for rank in range(size)}
    assert [i for i in range(3 * size + 2000) if _has(listing, i) != (i in ids)] == []


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


@pytest.mark.parametrize(
    "wrong",
    [
        {"vitrines": 0},
        {"bad_rate": 1.5},
        {"customers_per_tenant": -1},
        {"branches": -1},
        {"products_per_tenant": 10**7},
    ],
)
def test_impossible_populations_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        replace(SMALL, **wrong)  # type: ignore[arg-type]


def test_unknown_tables_and_entities_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown table"):
        next(SMALL.truth(SHOP, "orders"))
    with pytest.raises(ValueError, match="unknown entity"):
        SMALL.listing(SHOP, "orders")
