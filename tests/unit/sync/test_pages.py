"""Whole pages, from bytes to a commit's unit: good records are all there, whatever stands between them."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsync.entity import Entity
from streamsync.erp.millennium.decode import records_of
from streamsync.sync.clean import Cleaner
from tests.pages import ENTITIES, Page, check_rows, pages

#: What a rejection may say, and of which fields: never anything that an ERP wrote.
REASONS = {
    "missing", "expected text", "expected a number", "expected a whole number", "number out of range",
    "expected a truth value", "key too long", "expected a date", "date out of range",
    "expected an e-mail address", "expected a list of records",
}  # fmt: skip


def check_page(page: Page) -> None:
    """Decode and clean a page; everything that must hold does."""
    records = records_of(page.body)
    assert len(records) == page.sent
    cleaner = Cleaner(page.entity, "901" if page.entity.scope_column else "")
    unit = cleaner.new_unit(0)
    cleaner.add(unit, records)
    check_rows(unit)

    alone = []
    for record in records:
        single = cleaner.new_unit(0)
        cleaner.add(single, [record])
        alone.append(single)
    rejected = [bad for single in alone for bad in single.rejected]
    assert rejected == unit.rejected
    keys = [key for single in alone for key in single.rows]
    assert set(keys) == set(unit.rows)
    duplicates = len(keys) - len(set(keys))
    assert unit.fetched == len(records) == len(unit.rows) + duplicates + len(unit.rejected)
    for record, single in zip(records, alone, strict=True):
        if single.rows:
            assert cleaner.key_of(record) == next(iter(single.rows))

    columns = [field.column for field in page.entity.table.fields]
    for good in page.good:
        row = dict(zip(columns, unit.rows[good.key], strict=False))
        assert {name: row[name] for name in good.expected} == good.expected
    for bad in unit.rejected:
        assert bad.reason in REASONS
        assert bad.field.replace("_", "").replace(".", "").replace("+", "").isalnum()
        assert isinstance(json.loads(bad.record), dict)
    for child in unit.children.values():
        assert child.keys() == unit.rows.keys()


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(data=st.data())
def test_whatever_a_page_holds_its_good_records_are_kept(entity: Entity, data: st.DataObject) -> None:
    """No exception leaves; each record is kept, overtaken by another state of itself, or rejected with its field
    and a fixed phrase; and the good ones hold what they mean."""
    check_page(data.draw(pages(entity)))
