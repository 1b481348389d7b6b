"""What each entity's merge writes and what it leaves alone, on real PostgreSQL."""

from __future__ import annotations

import copy
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from streamsync.entity import Entity
from streamsync.erp.millennium.customers import CUSTOMERS
from streamsync.erp.millennium.products import PRODUCTS
from streamsync.erp.millennium.stock import STOCK
from streamsync.store.commit import Claim, Committed, Unit, commit
from streamsync.store.pool import Database
from streamsync.sync.clean import Cleaner
from tests.integration.store.helpers import add_job, add_shops, admit, claim_of
from tests.integration.store.units import Record, unit_of
from tests.pages import ENTITIES

_CUSTOMER: Record = {
    "cliente": 1, "trans_id": 5, "nome": "PESSOA", "cnpj": "12.ABC.345/01DE-35", "ufie": "SP", "vitrine": None,
    "categorias": [3, 1], "nova": {"b": 1, "a": [True, None, 1.50]},
    "enderecos": [{"cod_endereco": 1, "estado": "sp", "cep": "01000-000", "ramal": "7"}, {"cod_endereco": 2}],
    "contato": [{"nome": "A", "cpf": "529.982.247-25", "bip": "x"}, {"nome": "B"}, {"gerador_contato": 9}],
}  # fmt: skip
_PRODUCT: Record = {
    "produto": 1, "trans_id": 5, "descricao1": "CAMISA", "peso": 0.25, "vitrine": 901, "lead_time_entrega": 3,
    "classificacoes": [{"vitrine_classificacao": 4, "desc_classificacao": "X", "visivel_web": "T", "n": 1}],
    "sku": [
        {"sku": "1_1_0_M", "barra13": "4006381333931", "barra": "4006381333931", "barra_ref": "R1", "id": "x"},
        {"sku": "1_1_0_G", "barra": "1-G", "preco1": 180, "produto": 1},
    ],
}  # fmt: skip
_BRANCH: Record = {"filial": -3, "cgc": "11.222.333/0001-81", "estado": "sp", "tipo": "L"}
_PRICE: Record = {"sku": "1_1_0_M", "trans_id": 5, "preco1": 0, "preco2": 199.9, "vitrine": 901, "x": "y"}
_STOCK: Record = {"sku": "1_1_0_M", "trans_id": 5, "saldo": -2, "filial": 901, "saldo_naovitrine": 1.5}
_SAMPLES = dict(zip((e.name for e in ENTITIES), (_CUSTOMER, _BRANCH, _PRODUCT, _PRICE, _STOCK), strict=True))


class Shop:
    """A shop with a claimed job; commits units and looks at tables."""

    def __init__(self, database: Database, claim: Claim) -> None:
        self.database = database
        self.claim = claim

    async def unit(self, unit: Unit) -> Committed:
        done = await commit(self.database, self.claim, unit)
        self.claim = replace(self.claim, commits=self.claim.commits + 1)
        return done

    async def write(self, entity: Entity, *records: Record) -> tuple[int, int]:
        done = await self.unit(unit_of(*records, entity=entity, scope="901" if entity.scope_column else ""))
        return done.inserted, done.updated

    async def versions(self, entity: Entity) -> dict[str, list[Any]]:
        """Of each table, where each row is and which transaction wrote it."""
        return {
            table.name: await self.rows(f"SELECT xmin::text, ctid::text FROM {table.name} ORDER BY ctid")
            for table in (entity.table, *entity.children)
        }

    async def rows(self, query: str) -> list[Any]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(query.encode())
            return [tuple(row.values()) for row in await cursor.fetchall()]


@pytest_asyncio.fixture
async def shop(database: Database) -> Shop:
    """A shop and its running job."""
    await add_shops(database, "a")
    return Shop(database, claim_of(await admit(database, await add_job(database, "a"))))


def _reordered(value: Any) -> Any:
    """The same JSON with the fields of every object in another order."""
    if isinstance(value, dict):
        return {key: _reordered(value[key]) for key in sorted(value, reverse=True)}
    return [_reordered(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
async def test_unchanged_rows_are_not_written(shop: Shop, entity: Entity) -> None:
    """Not a row version in any table, not even where the ERP orders its fields otherwise or sends nulls."""
    sample = _SAMPLES[entity.name]
    assert await shop.write(entity, sample) == (1, 0)
    before = await shop.versions(entity)
    assert all(before.values()), "every table has rows"
    again = _reordered(copy.deepcopy(sample)) | {"novo_nulo": None}
    assert await shop.write(entity, again) == (0, 0)
    assert await shop.versions(entity) == before


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
async def test_a_change_in_raw_alone_is_a_change(shop: Shop, entity: Entity) -> None:
    """What the schema does not know changes and vanishes like everything else."""
    sample = _SAMPLES[entity.name]
    await shop.write(entity, sample)
    assert await shop.write(entity, {**sample, "novo": 1}) == (0, 1)
    (raw,) = await shop.rows(f"SELECT raw -> 'novo' FROM {entity.table.name}")
    assert raw == (1,)


@pytest.mark.parametrize("entity", ENTITIES[:1] + ENTITIES[2:], ids=lambda entity: entity.name)
async def test_an_older_state_touches_neither_the_row_nor_its_children(shop: Shop, entity: Entity) -> None:
    """It was overtaken: its children are not inserted, and those of the newer state do not vanish."""
    sample = _SAMPLES[entity.name]
    await shop.write(entity, sample)
    before = await shop.versions(entity)
    older = {**sample, "trans_id": 4, "novo": 1}
    for child in entity.children:
        older[child.source] = []
    assert await shop.write(entity, older) == (0, 0)
    assert await shop.versions(entity) == before


async def test_children_vanish_with_what_they_came_from(shop: Shop) -> None:
    """A barcode, a SKU, a classification and a contact that are listed no longer; their neighbours stay."""
    await shop.write(CUSTOMERS, _CUSTOMER)
    await shop.write(PRODUCTS, _PRODUCT)
    codes = "SELECT sku, barcode, kind, ean13_valid FROM sku_barcode ORDER BY 1, 2"
    assert await shop.rows(codes) == [
        ("1_1_0_G", "1-G", "barcode", False),
        ("1_1_0_M", "4006381333931", "ean13", True),
        ("1_1_0_M", "R1", "reference", False),
    ]
    before = await shop.rows("SELECT xmin::text, ctid::text FROM sku_barcode WHERE barcode = 'R1'")
    fewer = {**_PRODUCT, "classificacoes": [], "sku": [{"sku": "1_1_0_M", "barra_ref": "R1", "id": "x"}]}
    assert await shop.write(PRODUCTS, fewer) == (0, 0)
    assert await shop.rows(codes) == [("1_1_0_M", "R1", "reference", False)]
    assert await shop.rows("SELECT xmin::text, ctid::text FROM sku_barcode") == before
    assert await shop.rows("SELECT sku FROM sku") == [("1_1_0_M",)]
    assert await shop.rows("SELECT * FROM product_classification") == []
    await shop.write(CUSTOMERS, {**_CUSTOMER, "contato": _CUSTOMER["contato"][:1]})
    assert await shop.rows("SELECT position, name, cpf_valid FROM customer_contact") == [(1, "A", True)]


async def test_raw_holds_what_no_column_is_made_of(shop: Shop) -> None:
    """Not the keys, not the scope, not nested lists with tables of their own, not nulls; NULL where nothing is
    left; exact numbers."""
    await shop.write(CUSTOMERS, {**_CUSTOMER, "limite": Decimal("0.12345678901234567890")})
    await shop.write(PRODUCTS, _PRODUCT)
    assert await shop.rows("SELECT raw - 'limite', raw ->> 'limite' AS exact FROM customer") == [
        (
            {"ufie": "SP", "categorias": [3, 1], "nova": {"a": [True, None, 1.5], "b": 1}},
            "0.12345678901234567890",
        )
    ]
    assert await shop.rows("SELECT raw FROM customer_address ORDER BY address_id") == [
        ({"ramal": "7"},),
        (None,),
    ]
    assert await shop.rows("SELECT raw FROM customer_contact ORDER BY position") == [
        ({"bip": "x"},),
        (None,),
        (None,),
    ]
    assert await shop.rows("SELECT raw FROM product") == [({"lead_time_entrega": 3},)]
    assert await shop.rows("SELECT raw FROM sku ORDER BY sku") == [(None,), ({"id": "x"},)]
    assert await shop.rows("SELECT raw FROM product_classification") == [({"n": 1},)]


async def test_an_entity_whose_raw_fields_are_not_wanted(shop: Shop) -> None:
    """Its raw columns are NULL, also those that were filled before."""
    await shop.write(CUSTOMERS, _CUSTOMER)
    cleaner = Cleaner(CUSTOMERS, "", keep_raw=False)
    unit = cleaner.new_unit(10)
    cleaner.add(unit, [_CUSTOMER])
    assert (await shop.unit(unit)).updated == 1
    assert await shop.rows("SELECT raw FROM customer") == [(None,)]
    assert await shop.rows("SELECT DISTINCT raw FROM customer_address") == [(None,)]


async def test_lots_are_part_of_the_key_and_absent_ones_are_empty(shop: Shop) -> None:
    """Null, blank and missing are one lot; a named one is another."""
    lots = [{**_STOCK, "lote": lot} for lot in (None, " ", "L1")]
    assert await shop.write(STOCK, _STOCK, *lots) == (2, 0)
    assert await shop.rows("SELECT lot, balance FROM stock ORDER BY 1") == [("", -2), ("L1", -2)]


async def test_the_longest_keys_fit_into_the_index(shop: Shop) -> None:
    """What the cleaner lets pass PostgreSQL takes: incompressible texts of four bytes a character."""

    def text(length: int, seed: int) -> str:
        return "".join(chr(0x20000 + (seed + number * 7919) % 40_000) for number in range(length))

    for length in range(100, 130, 7):
        await shop.write(STOCK, {**_STOCK, "sku": text(510, length), "lote": text(length, 1)})
        record = {
            "produto": length,
            "trans_id": 1,
            "sku": [{"sku": text(510, length), "barra": text(length, 2)}],
        }
        await shop.write(PRODUCTS, record)
    await shop.write(STOCK, {**_STOCK, "sku": text(312, 3), "lote": text(313, 4)})
    kept = await shop.rows("SELECT count(*), max(octet_length(sku) + octet_length(lot)) FROM stock")
    assert kept == [(4, 2500)]
    assert await shop.rows("SELECT count(*) FROM product") == [(3,)]
    assert await shop.rows("SELECT DISTINCT reason FROM rejected_record") == [("key too long",)]


@pytest.mark.parametrize(
    "strange",
    ["\x00", "a\x00b", "\\u0000", "\ud83d", 10**400, -(10**30), 1e308, 5e-324, float("nan"), float("inf"),
     Decimal("1e99999999"), Decimal("-1e-99999999"), Decimal("NaN"), Decimal("1" * 2000), "x" * 100_000],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
async def test_whatever_an_unknown_field_holds_is_kept_or_made_harmless(shop: Shop, strange: object) -> None:
    """In a value, a key, and however deep; nothing that nobody asked for rejects a record or stops a page."""
    deep: Any = strange
    for _ in range(300):
        deep = [deep]
    record = {**_CUSTOMER, "novo": strange, "lista": [{"a": strange}]}
    if isinstance(strange, str):
        record[f"chave {strange[:50]}"] = 1
    assert await shop.write(CUSTOMERS, record) == (1, 0)
    assert await shop.write(CUSTOMERS, record) == (0, 0)
    assert await shop.write(CUSTOMERS, {**record, "fundo": deep}) == (0, 1)
