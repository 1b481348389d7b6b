"""Turns raw records into rows by an entity's declaration, and collects them into a commit's unit. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from streamsync.entity import Entity, Field, FieldRejected, Table
from streamsync.store.commit import Rejected, Unit
from streamsync.store.merge import child_key
from streamsync.sync.raw import raw_json, record_text

#: PostgreSQL's index entries end at 2,704 bytes, of which the tenant's id, numbers and headers take up to 150.
_MAX_KEY_BYTES: Final = 2_500
_PLACE: Final = "#"


class RecordRejected(Exception):
    """A record that cannot be kept: which field, and a fixed phrase why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Rows:
    """How rows of one table are made, with everything looked up beforehand."""

    table: Table
    fields: tuple[Field, ...]
    prefix: str
    own_key: Callable[[list[Any]], Any]  #: of a row without its parent's key
    texts_in_key: tuple[int, ...]
    parent: tuple[int, ...]  #: where the parent's row has the columns of `parent_key`
    known: frozenset[str] | None  #: ERP fields that are no part of `raw`; None where there is no such column
    keeps_raw: bool

    def row(self, record: Mapping[str, Any], scope: int | None, place: int) -> list[Any]:
        """Raises RecordRejected."""
        row: list[Any] = []
        for field in self.fields:
            sources = field.sources
            try:
                if not sources:
                    value: Any = scope
                elif len(sources) > 1:
                    value = field.rule(*[record.get(source) for source in sources])
                else:
                    value = field.rule(place if sources[0] == _PLACE else record.get(sources[0]))
            except FieldRejected as bad:
                raise RecordRejected(self.prefix + "+".join(sources), bad.reason) from None
            if value is None and field.required:
                raise RecordRejected(self.prefix + "+".join(sources), "missing")
            row.append(value)
        if len(self.texts_in_key) > 1 and _is_too_long(row[index] for index in self.texts_in_key):
            last = self.fields[self.texts_in_key[-1]]
            raise RecordRejected(self.prefix + "+".join(last.sources), "key too long")
        if self.known is not None:
            row.append(raw_json(record, self.known) if self.keeps_raw else None)
        return row


class Cleaner:
    """Cleans the records of one entity and scope. Without `keep_raw` the `raw` columns become NULL."""

    def __init__(self, entity: Entity, scope: str, *, keep_raw: bool = True) -> None:
        self.entity = entity
        self.scope = scope
        self._scope_value = int(scope) if entity.scope_column else None
        self._parent = _rows_of(entity, entity.table, keep_raw=keep_raw)
        self._children = [_rows_of(entity, child, keep_raw=keep_raw) for child in entity.children]
        columns = [field.column for field in entity.table.fields]
        self._key = [columns.index(name) for name in entity.table.key]
        self._version = columns.index(entity.version_column)

    def new_unit(self, cursor: int) -> Unit:
        """An empty unit that leaves the cursor where it is."""
        return Unit(
            self.entity, self.scope, cursor, children={child.name: {} for child in self.entity.children}
        )

    def add(self, unit: Unit, records: Iterable[Mapping[str, Any]]) -> None:
        """Clean records into a unit. Of two states of one record the newer stays; bad records are rejected."""
        for record in records:
            unit.fetched += 1
            try:
                self._add(unit, record)
            except RecordRejected as bad:
                unit.rejected.append(Rejected(bad.field, bad.reason, record_text(record)))
                if unit.full is not None:
                    unit.full.seen_keys.append(self.key_of(record))

    def key_of(self, record: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """The key of a record, rejected ones too: `Unit.rows` would hold it under it. None if it has none."""
        key = []
        for index in self._key:
            field = self._parent.fields[index]
            try:
                value = field.rule(*map(record.get, field.sources)) if field.sources else self._scope_value
            except FieldRejected:
                return None
            if value is None:
                return None
            key.append(value)
        return None if _is_too_long(part for part in key if isinstance(part, str)) else tuple(key)

    def _add(self, unit: Unit, record: Mapping[str, Any]) -> None:
        row = self._parent.row(record, self._scope_value, 0)
        key = tuple(row[index] for index in self._key)
        held = unit.rows.get(key)
        if held is not None and held[self._version] > row[self._version]:
            return
        groups = []
        own_keys = []
        for child in self._children:
            rows = self._nested(child, record, tuple(row[index] for index in child.parent))
            groups.append(list(rows.values()))
            own_keys.append(list(rows))
        unit.rows[key] = (*row, *own_keys)
        for child, group in zip(self._children, groups, strict=True):
            unit.children[child.table.name][key] = group

    def _nested(
        self, child: _Rows, record: Mapping[str, Any], parent: tuple[Any, ...]
    ) -> dict[Any, tuple[Any, ...]]:
        source, expand = child.table.source, child.table.expand
        rows: dict[Any, tuple[Any, ...]] = {}
        for place, item in enumerate(_records(source, record.get(source)), 1):
            try:
                parts = (item,) if expand is None else expand(item)
            except FieldRejected as bad:
                raise RecordRejected(
                    child.prefix + "+".join(child.table.expand_sources), bad.reason
                ) from None
            for part in parts:
                row = child.row(part, self._scope_value, place)
                rows[child.own_key(row)] = (*parent, *row)
        return rows


def _is_too_long(texts: Iterable[str]) -> bool:
    return sum(len(text.encode()) for text in texts) > _MAX_KEY_BYTES


def _records(source: str, nested: object) -> list[dict[str, Any]]:
    """A nested list; a single record may stand without its list, and null is none."""
    if nested is None:
        return []
    if isinstance(nested, dict):
        return [nested]
    if not isinstance(nested, list) or not all(isinstance(item, dict) for item in nested):
        raise RecordRejected(source, "expected a list of records")
    return nested


def _rows_of(entity: Entity, table: Table, *, keep_raw: bool) -> _Rows:
    nested = table is not entity.table
    columns = [field.column for field in table.fields]
    parent_columns = [field.column for field in entity.table.fields]
    return _Rows(
        table,
        table.fields,
        f"{table.source}." if nested else "",
        child_key([columns.index(name) for name in table.own_key]) if nested else tuple,
        tuple(columns.index(name) for name in table.own_key if _type_of(table, name) == "text"),
        tuple(parent_columns.index(name) for name in table.parent_key),
        _known(entity, table) if table.raw else None,
        keep_raw,
    )


def _type_of(table: Table, column: str) -> str:
    return next(field.pg_type for field in table.fields if field.column == column)


def _known(entity: Entity, table: Table) -> frozenset[str]:
    """The ERP fields of a table's records that columns are made of: its own, its parent's key, the scope, what
    is expanded from them, and the lists that have tables of their own."""
    known = {source for field in table.fields for source in field.sources}
    known.update(
        source
        for field in entity.table.fields
        if field.column in table.parent_key
        for source in field.sources
    )
    if entity.scope_column:
        known.add(entity.scope.value)
    for child in entity.children:
        if table is entity.table:
            known.add(child.source)
        elif child.source == table.source:
            known.update(child.expand_sources)
    return frozenset(known)
