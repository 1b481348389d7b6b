"""Pages of any entity as an ERP might write them: good records with what they mean, broken ones, as bytes.

Made from the declarations, so that a new column is covered without a word here; what a good value means is said
here once more and independently of the rules (`_GOOD`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from streamsync.entity import Entity, Table
from streamsync.erp import values as v
from streamsync.erp.millennium.branches import BRANCHES
from streamsync.erp.millennium.customers import CUSTOMERS
from streamsync.erp.millennium.prices import PRICES
from streamsync.erp.millennium.products import PRODUCTS
from streamsync.erp.millennium.stock import STOCK
from streamsync.store.commit import Unit
from streamsync.store.merge import stage_columns

ENTITIES = (CUSTOMERS, BRANCHES, PRODUCTS, PRICES, STOCK)

#: Letters that UTF-8 and Windows-1252 both have, none of which makes UTF-8 of the other by chance.
_WORDS = st.text("ABCxyz019 .-/'\"\\{}çãéÍÕü", min_size=1, max_size=12).map(lambda s: " ".join(s.split()))
_ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
_MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(tzinfo=UTC, microsecond=moment.microsecond // 1000 * 1000)
)
_DAYS = st.dates(date(1900, 1, 1), date(2100, 1, 1))

#: (what the ERP sends, what it means)
Meant = tuple[Any, Any]


def _text(clean: str) -> st.SearchStrategy[Meant]:
    spoilt = [
        clean,
        f" {clean}",
        f"{clean} \t",
        clean.replace(" ", "  "),
        f"{clean}\u00ad" if clean.isascii() else clean,
    ]
    return st.sampled_from([*spoilt, f"{clean}\x00\x1f\r\n"]).map(lambda raw: (raw, clean or None))


def _ms(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _moment(moment: datetime) -> st.SearchStrategy[Meant]:
    ms = _ms(moment)
    iso = moment.replace(tzinfo=None).isoformat()
    forms = [f"/Date({ms}-180)/", f"/Date({ms})/", f"/Date({ms}+0000)/", f"{iso}Z", iso, f"{iso}+00:00 "]
    return st.sampled_from(forms).map(lambda raw: (raw, moment))


def _day(day: date) -> st.SearchStrategy[Meant]:
    ms = _ms(datetime(day.year, day.month, day.day, tzinfo=UTC))
    forms = [f"/Date({ms + 10_800_000}-180)/", f"{day}T00:00:00-03:00", f"{day}", f"{day}T03:00:00.0000000Z"]
    return st.sampled_from(forms).map(lambda raw: (raw, day))


def _truth(truth: bool) -> st.SearchStrategy[Meant]:
    return st.sampled_from([True, "T", "1", 1, "S", "true", 1.0] if truth else [False, "F", "0", 0, "N"]).map(
        lambda raw: (raw, truth)
    )


def _number(number: Decimal) -> st.SearchStrategy[Meant]:
    return st.sampled_from([number, f"{number:f}", f" {number:f} "]).map(lambda raw: (raw, number))


_GOOD: dict[Callable[..., object], st.SearchStrategy[Meant]] = {
    v.text: _WORDS.flatmap(_text),
    v.integer: st.integers(-(2**63), 2**63 - 1).flatmap(lambda n: st.sampled_from([(n, n), (str(n), n)])),
    v.decimal: st.decimals(-(10**12), 10**12, places=6).flatmap(_number),
    v.boolean: st.booleans().flatmap(_truth),
    v.timestamp: _MOMENTS.flatmap(_moment),
    v.calendar_date: _DAYS.flatmap(_day),
    v.email: st.sampled_from(
        [("A@B.Example ", "a@b.example"), ("<x.y@example.invalid>", "x.y@example.invalid")]
    ),
}
_ABSENT = st.sampled_from([(None, None), ("", None), ("  ", None)])
_DIGITS = st.text("0123456789.-/ ", max_size=20)

#: Whatever JSON can say, and Python's reader lets in.
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | _ANY_TEXT
    | st.sampled_from(
        ["\x00", "\ud83d", "NaN", "/Date(99999999999999999)/", "1e400", 10**400, "x" * 3000, "é" * 511]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)


def _nest(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


_DEEP = st.integers(1, 150).map(_nest)


@dataclass(frozen=True)
class Good:
    """A record that has to be kept: its fields as sent, its key, and what columns must hold."""

    record: dict[str, Any]
    key: tuple[Any, ...]
    expected: dict[str, Any]


def _fields(draw: st.DrawFn, table: Table, fixed: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A record for a table, and what the columns that `_GOOD` knows must hold."""
    record: dict[str, Any] = {source: draw(_DIGITS | st.none()) for source in table.expand_sources}
    expected: dict[str, Any] = {}
    for column in table.fields:
        for source in column.sources:
            if source in fixed:
                record[source] = fixed[source]
            elif source not in record and source != "#":
                meant = _GOOD.get(column.rule)
                if meant is None:
                    record[source] = draw(_DIGITS | st.none() | st.integers(0, 10**14))
                else:
                    record[source], expected[column.column] = draw(meant | _ABSENT)
                    if record[source] is None and draw(st.booleans()):
                        del record[source]
    return record, expected


@st.composite
def good_records(draw: st.DrawFn, entity: Entity, number: int) -> Good:
    """A record with the number as its key and version."""

    def keys(table: Table, place: int) -> dict[str, Any]:
        sources = [f.sources[0] for f in table.fields if f.column in table.own_key and f.sources]
        return {source: {"sku": f"{place}_1_0_M", "lote": ""}.get(source, place) for source in sources}

    key = keys(entity.table, number)
    record, expected = _fields(draw, entity.table, {**key, "trans_id": number})
    for child in entity.children:
        nested = record.setdefault(child.source, [{} for _ in range(draw(st.integers(0, 3)))])
        for place, item in enumerate(nested, 1):
            more, _ = _fields(draw, child, {} if child.expand else keys(child, place))
            item.update({name: value for name, value in more.items() if name not in item})
    record.update(
        draw(st.dictionaries(st.sampled_from(["novo_campo", "obs_2", "lista"]), ANYTHING, max_size=2))
    )
    scope = (901,) if entity.scope_column else ()
    return Good(record, (*scope, *key.values()), expected)


@st.composite
def bad_records(draw: st.DrawFn, entity: Entity) -> dict[str, Any]:
    """A record in which some fields, nested ones too, hold anything at all; it may by chance be acceptable."""
    number = draw(st.integers(1, 3))
    record: dict[str, Any] = dict(draw(good_records(entity, number)).record)
    names = st.sampled_from(
        sorted({s for f in entity.table.fields for s in f.sources} | {c.source for c in entity.children})
    )
    for name in draw(st.lists(names, min_size=1, max_size=3)):
        record[name] = draw(ANYTHING | _DEEP)
    for child in entity.children:
        nested = record.get(child.source)
        if isinstance(nested, list) and nested and isinstance(nested[0], dict):
            inner = st.sampled_from(
                sorted({s for f in child.fields for s in f.sources} | {*child.expand_sources})
            )
            record[child.source] = [{**nested[0], draw(inner): draw(ANYTHING)}, *nested[1:]]
    for name in draw(st.lists(names, max_size=2)):
        record.pop(name, None)
    return record


@dataclass
class Page:
    """A page and what is in it."""

    entity: Entity
    body: bytes
    sent: int
    good: list[Good]


@st.composite
def pages(draw: st.DrawFn, entity: Entity) -> Page:
    """Good and broken records in any order, in one of the ways that servers write them."""
    good = [draw(good_records(entity, 10**9 + place)) for place in range(draw(st.integers(0, 4)))]
    records = [one.record for one in good] + draw(st.lists(bad_records(entity), max_size=4))
    records = draw(st.permutations(records))
    if draw(st.booleans()):
        records = [_renamed(record, draw(st.sampled_from([str.upper, str.title]))) for record in records]
    envelope = draw(
        st.sampled_from(['{"odata.count":7,"value":%s}', "%s", '{"Values":%s}', '{"x":[],"data":%s}\r\n'])
    )
    text = _written(records, ascii_only=draw(st.booleans()), raw_control=draw(st.booleans()))
    if draw(st.integers(0, 5)) == 0:
        envelope, text = '{"value":%s}', json.dumps(text)
    encoding, errors = draw(
        st.sampled_from([("utf-8", "surrogatepass"), ("utf-8-sig", "surrogatepass"), ("cp1252", "replace")])
    )
    return Page(entity, (envelope % text).encode(encoding, errors), len(records), good)


def _renamed(value: Any, how: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {
            how(key) if key.lower() == how(key).lower() else key: _renamed(item, how)
            for key, item in value.items()
        }
    return [_renamed(item, how) for item in value] if isinstance(value, list) else value


_MARKS = {code: 0xE000 + code for code in range(32)}
_BACK = {mark: code for code, mark in _MARKS.items()}


def _marked(value: Any) -> Any:
    """Control characters as marks that JSON does not escape."""
    if isinstance(value, str):
        return value.translate(_MARKS)
    if isinstance(value, dict):
        return {_marked(key): _marked(item) for key, item in value.items()}
    return [_marked(item) for item in value] if isinstance(value, list) else value


def _written(records: list[Any], *, ascii_only: bool, raw_control: bool) -> str:
    """JSON, in which Decimals are written digit by digit."""
    numbers: list[Decimal] = []

    def marked_number(value: Decimal) -> str:
        numbers.append(value)
        return f"@@@{len(numbers) - 1}@@@"

    if raw_control:
        text = json.dumps(_marked(records), ensure_ascii=False, default=marked_number).translate(_BACK)
    else:
        text = json.dumps(records, ensure_ascii=ascii_only, default=marked_number)
    for place, number in enumerate(numbers):
        text = text.replace(f'"@@@{place}@@@"', str(number))
    return text


KINDS: dict[str, type | tuple[type, ...]] = {
    "bigint": int, "integer": int, "text": str, "boolean": bool, "numeric": Decimal, "date": date,
    "timestamptz": datetime, "jsonb": str,
}  # fmt: skip


def check_rows(unit: Unit) -> None:
    """Every row has its table's columns in COPY order, each of its type and such as PostgreSQL takes."""
    entity = unit.entity
    groups = [(entity.table, list(unit.rows.values()))]
    groups += [(c, [row for rows in unit.children[c.name].values() for row in rows]) for c in entity.children]
    for table, rows in groups:
        columns = stage_columns(entity, table)
        for row in rows:
            for (name, kind), value in zip(columns, row, strict=True):
                if kind.endswith("[]"):
                    assert isinstance(value, list), name
                elif value is not None:
                    assert isinstance(value, KINDS[kind]), name
                if isinstance(value, str):
                    assert "\0" not in value.encode().decode(), name
                if kind == "jsonb" and value is not None:
                    assert json.loads(value), name
