"""Units of customers and products, made the way a sync makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamsync.entity import Entity
from streamsync.erp.millennium.customers import CUSTOMERS
from streamsync.store.commit import Unit
from streamsync.sync.clean import Cleaner

Record = dict[str, Any]


def customer(
    number: int, trans_id: int = 5, *, name: str = "PESSOA", addresses: Sequence[int] = ()
) -> Record:
    """A raw customer."""
    return {
        "cliente": number, "trans_id": trans_id, "nome": name,
        "enderecos": [{"cod_endereco": address, "cidade": f"CIDADE {name}"} for address in addresses],
    }  # fmt: skip


def broken(number: int) -> Record:
    """A raw customer that cannot be accepted."""
    return {"cliente": number, "trans_id": 5, "data_cadastro": "/Date(abc)/"}


def unit_of(*records: Record, cursor: int = 10, entity: Entity = CUSTOMERS, scope: str = "") -> Unit:
    """One page of records as a unit."""
    cleaner = Cleaner(entity, scope)
    unit = cleaner.new_unit(cursor)
    cleaner.add(unit, records)
    unit.pages = 1
    return unit
