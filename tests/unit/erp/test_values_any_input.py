"""Whatever the ERP sends, a rule gives a value or rejects the field; nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsync.entity import FieldRejected, Table
from streamsync.erp import values as v
from streamsync.erp.millennium.products import PRODUCTS
from tests.pages import ENTITIES, KINDS

#: All of Unicode, lone surrogates and NUL included, and texts that nearly are what a rule wants.
_TEXTS = st.one_of(
    st.text(st.characters(codec=None, exclude_categories=())),
    st.from_regex(r"/Date\(-?\d{0,20}([+-]\d{0,5})?\)/", fullmatch=True),
    st.from_regex(r"[+-]?\d{0,25}[.,]?\d{0,25}([eE][+-]?\d{0,22})?", fullmatch=True),
    st.from_regex(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d([.,]\d{0,9})?(Z|[+-]\d\d:?\d\d)?", fullmatch=True),
    st.sampled_from(["NaN", "sNaN", "-Infinity", "T", "F", "s", "true", "1", "0", " ", "\x00", "\ud800"]),
)
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(2**70), 2**70), st.floats(), st.decimals(), _TEXTS
)
_ANYTHING = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)

_ONE_VALUE: dict[str, Callable[[object], object]] = {
    "text": v.text,
    "key": v.key,
    "upper": v.upper,
    "digits": v.digits,
    "cnpj": v.cnpj,
    "integer": v.integer,
    "decimal": v.decimal,
    "boolean": v.boolean,
    "timestamp": v.timestamp,
    "calendar_date": v.calendar_date,
    "email": v.email,
}


#: What a rejection may say: never the value.
_PHRASES = {
    "", "expected text", "expected a number", "expected a whole number", "number out of range",
    "expected a truth value", "key too long", "expected a date", "date out of range", "expected an e-mail address",
}  # fmt: skip


@pytest.mark.parametrize("name", _ONE_VALUE)
@given(raw=_ANYTHING)
def test_a_value_or_a_rejection(name: str, raw: object) -> None:
    """Any input gives a database value of the rule's kind, None, or FieldRejected with a fixed phrase."""
    clean, reason = None, ""
    try:
        clean = _ONE_VALUE[name](raw)
    except FieldRejected as rejected:
        reason = rejected.reason
    assert reason in _PHRASES
    assert clean is None or isinstance(clean, str | bool | int | Decimal | datetime | date)
    if isinstance(clean, str):
        clean.encode()  # PostgreSQL is spoken to in UTF-8
        assert "\x00" not in clean
    if isinstance(clean, Decimal):
        assert clean.is_finite()
    if type(clean) is int:
        assert -(2**63) <= clean < 2**63


@pytest.mark.parametrize("name", _ONE_VALUE)
@given(raw=_SCALARS)
def test_cleaning_twice_changes_nothing(name: str, raw: object) -> None:
    """What has been cleaned is clean: moments and days as ISO text, all else as it is."""
    try:
        clean = _ONE_VALUE[name](raw)
    except FieldRejected:
        return
    again = clean.isoformat() if isinstance(clean, date) else clean
    assert _ONE_VALUE[name](again) == clean


@given(area=_ANYTHING, number=_ANYTHING)
def test_telephones_of_anything(area: object, number: object) -> None:
    """Two inputs, the same promise; and what is E.164 stays so when it is cleaned again."""
    try:
        clean = v.phone(area, number)
    except FieldRejected:
        return
    if clean is not None:
        assert v.phone(None, clean) == clean
        assert clean.removeprefix("+").isascii()
        assert clean.removeprefix("+").isdigit()


_TABLES = [table for entity in ENTITIES for table in (entity.table, *entity.children)]


@pytest.mark.parametrize("table", _TABLES, ids=lambda table: table.name)
@given(data=st.data())
def test_every_rule_of_every_declared_column(table: Table, data: st.DataObject) -> None:
    """The declarations' own rules (check digits among them) keep the promise too: a value of the column's type, or
    a rejection with a fixed phrase."""
    field = data.draw(st.sampled_from([f for f in table.fields if f.sources]))
    raw = [data.draw(_ANYTHING) for _ in field.sources]
    clean, reason = None, ""
    try:
        clean = field.rule(*raw)
    except FieldRejected as rejected:
        reason = rejected.reason
    assert reason in _PHRASES
    assert clean is None or isinstance(clean, KINDS[field.pg_type])


@given(raw=st.dictionaries(st.sampled_from(["sku", "barra", "barra13", "barra_ref"]), _ANYTHING))
def test_barcodes_of_anything(raw: dict[str, object]) -> None:
    """A SKU is expanded into distinct codes or rejected."""
    expand = next(table.expand for table in PRODUCTS.children if table.expand)
    codes: list[str] = []
    reason = ""
    try:
        codes = [part["barcode"] for part in expand(raw)]
    except FieldRejected as rejected:
        reason = rejected.reason
    assert reason in _PHRASES
    assert len(set(codes)) == len(codes) <= 3
    assert all(codes)
