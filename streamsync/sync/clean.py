"""Turns raw records into rows by an entity's declaration, and collects them into a commit's unit. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from streamsync.entity import Entity, Field, FieldRejected, Table
from streamsync.store.commit import Rejected, Unit


class RecordRejected(Exception):
    """A record that cannot be kept: which field, and a fixed phrase why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Cleaner:
    """Cleans the records of one entity and scope."""

    def __init__(self, entity: Entity, scope: str) -> None:
        self.entity = entity
        self.scope = scope
        self._scope_value = int(scope) if entity.scope_column else None
        columns = [field.column for field in entity.table.fields]
        self._key = [columns.index(name) for name in entity.table.key]
        self._version = columns.index(entity.version_column)
        self._child_parents = {
            child.name: [columns.index(name) for name in child.parent_key] for child in entity.children
        }
        self._child_keys = {
            child.name: [field.column for field in child.fields].index(child.key[-1])
            for child in entity.children
        }

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
                unit.rejected.append(Rejected(bad.field, bad.reason, _json_text(record)))
                if unit.full is not None:
                    unit.full.seen_keys.append(self.key_of(record))

    def key_of(self, record: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """The key of a record that may be bad elsewhere; None where the key itself cannot be read."""
        fields = tuple(self.entity.table.fields[index] for index in self._key)
        try:
            return tuple(self._row(fields, record, ""))
        except RecordRejected:
            return None

    def _add(self, unit: Unit, record: Mapping[str, Any]) -> None:
        row = self._row(self.entity.table.fields, record, "")
        key = tuple(row[index] for index in self._key)
        held = unit.rows.get(key)
        if held is not None and held[self._version] > row[self._version]:
            return
        children = {}
        own_keys = []
        for child in self.entity.children:
            rows = self._children(
                child, record, tuple(row[index] for index in self._child_parents[child.name])
            )
            children[child.name] = list(rows.values())
            own_keys.append(list(rows))
        unit.rows[key] = (*row, *own_keys)
        for name, group in children.items():
            unit.children[name][key] = group

    def _children(
        self, child: Table, record: Mapping[str, Any], parent: tuple[Any, ...]
    ) -> dict[Any, tuple[Any, ...]]:
        nested = record.get(child.source)
        if nested is None:
            nested = []
        elif isinstance(nested, dict):
            nested = [nested]
        elif not isinstance(nested, list):
            raise RecordRejected(child.source, "expected a list of records")
        rows: dict[Any, tuple[Any, ...]] = {}
        for item in nested:
            if not isinstance(item, dict):
                raise RecordRejected(child.source, "expected a list of records")
            row = self._row(child.fields, item, child.source + ".")
            rows[row[self._child_keys[child.name]]] = (*parent, *row)
        return rows

    def _row(self, fields: tuple[Field, ...], record: Mapping[str, Any], prefix: str) -> list[Any]:
        row = []
        for field in fields:
            try:
                if len(field.sources) == 1:
                    value = field.rule(record.get(field.sources[0]))
                elif field.sources:
                    value = field.rule(*(record.get(source) for source in field.sources))
                else:
                    value = self._scope_value
            except FieldRejected as bad:
                raise RecordRejected(prefix + "+".join(field.sources), bad.reason) from None
            if value is None and field.required:
                raise RecordRejected(prefix + "+".join(field.sources), "missing")
            row.append(value)
        return row


def _json_text(record: Mapping[str, Any]) -> bytes:
    """The record for the quarantine. orjson refuses integers beyond 64 bits and lone surrogates, which an ERP
    may send; neither encoder takes depth without end."""
    try:
        return orjson.dumps(record)
    except TypeError:
        pass
    try:
        return json.dumps(record).encode()
    except RecursionError:
        return b'"nested too deeply to be kept"'
