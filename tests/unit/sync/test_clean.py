"""From raw records to a commit's unit."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsync.erp.millennium.branches import BRANCHES
from streamsync.erp.millennium.customers import CUSTOMERS
from streamsync.erp.millennium.prices import PRICES
from streamsync.erp.millennium.products import PRODUCTS
from streamsync.erp.millennium.stock import STOCK
from streamsync.store.commit import Unit
from streamsync.sync.clean import Cleaner


def _customer(number: int, trans_id: object = 5, **more: Any) -> dict[str, Any]:
    return {"cliente": number, "trans_id": trans_id, "nome": f"PESSOA {number}", **more}


def _clean(*records: dict[str, Any]) -> Unit:
    cleaner = Cleaner(CUSTOMERS, "")
    unit = cleaner.new_unit(0)
    cleaner.add(unit, records)
    return unit


def _column(unit: Unit, key: tuple[Any, ...], column: str) -> Any:
    return unit.rows[key][[field.column for field in unit.entity.table.fields].index(column)]


def test_a_bad_record_leaves_the_rest() -> None:
    """The bad one goes to the quarantine with its field and a fixed phrase; its neighbours are kept."""
    unit = _clean(_customer(1), _customer(2, data_cadastro="/Date(abc)/"), _customer(3))
    assert list(unit.rows) == [(1,), (3,)]
    (bad,) = unit.rejected
    assert (bad.field, bad.reason) == ("data_cadastro", "expected a date")
    assert orjson.loads(bad.record)["cliente"] == 2
    assert unit.fetched == 3


@pytest.mark.parametrize("record", [{"trans_id": 5}, {"cliente": None, "trans_id": 5}, {"cliente": 1}])
def test_a_record_without_key_or_version_is_rejected(record: dict[str, Any]) -> None:
    """What cannot be placed cannot be kept."""
    (bad,) = _clean(record).rejected
    assert bad.reason == "missing"


def test_of_two_states_the_newest_stays_with_its_children() -> None:
    """Whichever comes first; of equals the later one."""
    old = _customer(1, 5, nome="OLD", enderecos=[{"cod_endereco": 1}])
    new = _customer(1, 6, nome="NEW", enderecos=[{"cod_endereco": 2}])
    for records in ((old, new), (new, old)):
        unit = _clean(*records)
        assert _column(unit, (1,), "name") == "NEW"
        assert [row[:2] for row in unit.children["customer_address"][(1,)]] == [(1, 2)]
        assert unit.fetched == 2
    assert _column(_clean(old, {**old, "nome": "AGAIN"}), (1,), "name") == "AGAIN"


def test_children_carry_their_parents_key_and_the_parent_theirs() -> None:
    """A child's row begins with its parent's key; the parent's row ends with the keys of its children."""
    unit = _clean(_customer(1, enderecos=[{"cod_endereco": 7, "cidade": "X"}, {"cod_endereco": "8"}]))
    group = unit.children["customer_address"][(1,)]
    assert [row[:2] for row in group] == [(1, 7), (1, 8)]
    assert unit.rows[(1,)][-2:] == ([7, 8], [])


def test_a_child_that_comes_twice_counts_once() -> None:
    """The last of two children with one key stays."""
    unit = _clean(
        _customer(1, enderecos=[{"cod_endereco": 7, "cidade": "A"}, {"cod_endereco": 7, "cidade": "B"}])
    )
    (row,) = unit.children["customer_address"][(1,)]
    assert "B" in row
    assert unit.rows[(1,)][-2:] == ([7], [])


@pytest.mark.parametrize(
    ("nested", "count"), [(None, 0), ([], 0), ({"cod_endereco": 1}, 1), ([{"cod_endereco": 1}], 1)]
)
def test_a_single_child_may_stand_without_its_list(nested: object, count: int) -> None:
    """null and [] are none; an object is a list of one."""
    assert len(_clean(_customer(1, enderecos=nested)).children["customer_address"][(1,)]) == count


@pytest.mark.parametrize("nested", ["rua", 7, True, ["rua"], [None], [[]], [{"cod_endereco": 1}, 5]])
def test_children_that_are_no_records_reject_the_parent(nested: object) -> None:
    """Half a record is not kept: without its children it would delete them."""
    unit = _clean(_customer(1, enderecos=nested), _customer(2))
    assert list(unit.rows) == [(2,)]
    assert [(bad.field, bad.reason) for bad in unit.rejected] == [("enderecos", "expected a list of records")]


def test_a_bad_child_rejects_its_parent_and_names_the_field() -> None:
    """The field is told with its list."""
    unit = _clean(_customer(1, enderecos=[{"cod_endereco": "x"}]))
    assert [bad.field for bad in unit.rejected] == ["enderecos.cod_endereco"]


def test_the_storefront_comes_from_the_scope() -> None:
    """Whatever the record says of itself; it is part of the key."""
    cleaner = Cleaner(PRODUCTS, "901")
    unit = cleaner.new_unit(0)
    cleaner.add(unit, [{"produto": 5, "trans_id": 1, "vitrine": 7, "sku": [{"sku": "5_1_0_M"}]}])
    assert list(unit.rows) == [(901, 5)]
    assert unit.children["sku"][(901, 5)][0][:3] == (901, 5, "5_1_0_M")


@pytest.mark.parametrize("strange", ["half \ud83d", 10**30, -(10**40), "\x00", float("nan"), {"\ud800": 1}])
def test_whatever_a_bad_record_holds_it_can_be_quarantined(strange: object) -> None:
    """Lone surrogates and huge numbers, which lenient JSON lets in, do not keep a record from its place."""
    (bad,) = _clean({"cliente": "x", "obs": strange}).rejected
    assert json.loads(bad.record)["cliente"] == "x"


def test_a_bad_record_nested_without_end_is_quarantined_too() -> None:
    """Its depth is told instead of its text."""
    deep: Any = 1
    for _ in range(1020):
        deep = [deep]
    (bad,) = _clean({"cliente": "x", "obs": deep}).rejected
    assert bad.record.startswith((b"{", b'"'))


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
_RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "cliente": st.integers(1, 3) | _JSON,
        "trans_id": st.integers(1, 9) | _JSON,
        "e_mail": _JSON,
        "enderecos": _JSON | st.lists(st.fixed_dictionaries({"cod_endereco": st.integers(1, 3)}), max_size=3),
    },
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_RECORDS, max_size=6))
def test_any_records_are_rows_or_rejects(records: list[dict[str, Any]]) -> None:
    """Every record is kept, overtaken by another state of itself, or rejected; none raises."""
    unit = _clean(*records)
    assert unit.fetched == len(records)
    assert len(unit.rows) + len(unit.rejected) <= len(records)
    assert unit.rows.keys() == unit.children["customer_address"].keys()


def test_the_place_in_the_list_is_the_key_of_a_contact() -> None:
    """From 1, in the order they come; a contact without a list is the first."""
    unit = _clean(_customer(1, contato=[{"nome": "A"}, {"nome": "A"}]), _customer(2, contato={"nome": "B"}))
    assert [row[:2] for row in unit.children["customer_contact"][(1,)]] == [(1, 1), (1, 2)]
    assert unit.rows[(1,)][-1] == [1, 2]
    assert [row[:2] for row in unit.children["customer_contact"][(2,)]] == [(2, 1)]


def _products(*skus: dict[str, Any]) -> Unit:
    cleaner = Cleaner(PRODUCTS, "901")
    unit = cleaner.new_unit(0)
    cleaner.add(unit, [{"produto": 5, "trans_id": 1, "sku": list(skus)}])
    return unit


def test_a_sku_has_one_row_per_distinct_barcode() -> None:
    """Under the first kind in the order ean13, barcode, reference; blanks are none; cleaned before they are told
    apart."""
    unit = _products(
        {"sku": "a", "barra13": "4006381333931 ", "barra": " 4006381333931", "barra_ref": "X"},
        {"sku": "b", "barra13": "", "barra": None, "barra_ref": " "},
        {"sku": "c", "barra": "1", "barra_ref": "1"},
    )
    assert unit.children["sku_barcode"][(901, 5)] == [
        (901, 5, "a", "4006381333931", "ean13", True),
        (901, 5, "a", "X", "reference", False),
        (901, 5, "c", "1", "barcode", False),
    ]
    assert "a\x1f4006381333931" in unit.rows[(901, 5)][-2]


def test_a_barcode_that_cannot_be_kept_rejects_its_product() -> None:
    """As every nested field does, and names the fields it may stand in."""
    (bad,) = _products({"sku": "a", "barra": ["x"]}).rejected
    assert (bad.field, bad.reason) == ("sku.barra", "expected text")
    (bad,) = _products({"sku": "a", "barra_ref": "x" * 511}).rejected
    assert (bad.field, bad.reason) == ("sku.barra13+barra+barra_ref", "key too long")
    (bad,) = _products({"sku": "é" * 510, "barra": "𠀀" * 400}).rejected
    assert (bad.field, bad.reason) == ("sku.barcode", "key too long")


def test_the_key_of_a_record_that_was_rejected() -> None:
    """Known if its own fields can be cleaned: a full read must not take a bad record for a deleted one."""
    customers, prices = Cleaner(CUSTOMERS, ""), Cleaner(PRICES, "901")
    stock, branches = Cleaner(STOCK, "7"), Cleaner(BRANCHES, "")
    assert customers.key_of({"cliente": "5", "data_cadastro": "ontem"}) == (5,)
    assert customers.key_of({"cliente": "x"}) is None
    assert customers.key_of({}) is None
    assert prices.key_of({"sku": " a ", "preco1": "x"}) == (901, "a")
    assert stock.key_of({"sku": "a"}) == (7, "a", "")
    assert stock.key_of({"sku": "a", "lote": "L"}) == (7, "a", "L")
    assert stock.key_of({"sku": "é" * 510, "lote": "𠀀" * 400}) is None
    assert branches.key_of({"filial": -3}) == (-3,)


def test_a_branch_without_a_version_has_version_0() -> None:
    """Then the state that comes last stays."""
    cleaner = Cleaner(BRANCHES, "")
    unit = cleaner.new_unit(0)
    cleaner.add(unit, [{"filial": 1, "nome": "A", "estado": "sp"}, {"filial": 1, "nome": "B", "cgc": "191"}])
    row = dict(zip((field.column for field in BRANCHES.table.fields), unit.rows[(1,)], strict=False))
    assert (row["name"], row["trans_id"], row["cnpj"], row["cnpj_valid"]) == ("B", 0, "191", False)


def test_raw_is_switched_off_per_cleaner() -> None:
    """The column stays and is NULL."""
    cleaner = Cleaner(CUSTOMERS, "", keep_raw=False)
    unit = cleaner.new_unit(0)
    cleaner.add(unit, [_customer(1, novo=1, enderecos=[{"cod_endereco": 1, "novo": 1}])])
    assert unit.rows[(1,)][-3] is None
    assert unit.children["customer_address"][(1,)][0][-1] is None
    cleaner = Cleaner(CUSTOMERS, "")
    cleaner.add(unit, [_customer(1, novo=1)])
    assert unit.rows[(1,)][-3] == '{"novo":1}'
