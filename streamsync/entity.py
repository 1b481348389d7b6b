"""What an entity declaration is made of: one place says method, scope, fields, cleaning rules, tables, keys.

Declarations live with their connector (`erp/millennium/customers.py`, …); `sync` cleans by them and `store`
builds its COPY and merge from them. Only the shapes are here, so that neither needs to know the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Scope(StrEnum):
    """What an entity is read per: the whole ERP, one storefront, or one branch."""

    ERP = "erp"
    VITRINE = "vitrine"
    FILIAL = "filial"


class Reading(StrEnum):
    """How an entity is read: changes since a cursor, or the whole list each time (it has no cursor)."""

    CURSOR = "cursor"
    LIST = "list"


class FieldRejected(ValueError):
    """A value that a rule cannot accept. `reason` is a fixed phrase, never the value itself."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


#: A cleaning rule: raw JSON values in, as many as the field has sources; database value out (None = absent).
#: Raises FieldRejected.
Rule = Callable[..., object]


@dataclass(frozen=True, slots=True)
class Field:
    """One column and where its value comes from: ERP fields (lower case) through a rule.

    A field without sources is filled by the sync with the scope (a storefront's id); the source `#` is a
    nested record's place in its list, from 1.
    """

    column: str
    pg_type: str
    rule: Rule
    sources: tuple[str, ...]
    required: bool = False


def field(column: str, pg_type: str, rule: Rule, *sources: str, required: bool = False) -> Field:
    """A Field in one line of a declaration; without sources it is named like its column."""
    return Field(column, pg_type, rule, sources or (column,), required)


@dataclass(frozen=True, slots=True)
class Table:
    """A target table. `tenant_id` is its first key column everywhere and is not repeated here.

    `key` names the rest of the primary key. For a child, `source` is the ERP field holding the nested
    list, and `parent_key` names the parent's key columns that are copied into each row. `expand` turns one
    nested record into several (a SKU into its barcodes) and may raise FieldRejected; `expand_sources` are the ERP
    fields that it reads. `raw`: a column of that name keeps the ERP's fields that no column is made of.
    """

    name: str
    key: tuple[str, ...]
    fields: tuple[Field, ...]
    source: str = ""
    parent_key: tuple[str, ...] = ()
    expand: Callable[[Mapping[str, Any]], Iterable[Mapping[str, Any]]] | None = None
    expand_sources: tuple[str, ...] = ()
    raw: bool = True

    @property
    def own_key(self) -> tuple[str, ...]:
        """The key columns that are not the parent's."""
        return tuple(column for column in self.key if column not in self.parent_key)


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity of an ERP and the tables that keep it.

    `method` is the ERP's name for reading it, `parameters` are always sent. `scope_column` is the parent's
    column that holds the scope (a storefront's or branch's id) and is part of its key; empty for entities read
    per ERP. `date_parameter` is the ERP's "changed since" where it has one, `date_source` the field it looks at:
    the cursor of servers without trans_id.
    `version_column` orders two states of one record: an older one never overwrites a newer one.
    """

    name: str
    method: str
    scope: Scope
    table: Table
    children: tuple[Table, ...] = ()
    scope_column: str = ""
    version_column: str = "trans_id"
    parameters: tuple[tuple[str, str], ...] = ()
    reading: Reading = Reading.CURSOR
    date_parameter: str = ""
    date_source: str = ""
