"""All entities of Millennium by name, and the tables that keep them."""

from __future__ import annotations

from typing import Final

from streamsync.entity import Entity, Table
from streamsync.erp.millennium.branches import BRANCHES
from streamsync.erp.millennium.customers import CUSTOMERS
from streamsync.erp.millennium.prices import PRICES
from streamsync.erp.millennium.products import PRODUCTS
from streamsync.erp.millennium.stock import STOCK

ENTITIES: Final[dict[str, Entity]] = {
    entity.name: entity for entity in (CUSTOMERS, BRANCHES, PRODUCTS, PRICES, STOCK)
}


def tables_of(entity: Entity) -> tuple[Table, ...]:
    """The entity's own table and those of its nested records."""
    return (entity.table, *entity.children)


TABLES: Final[dict[str, Table]] = {
    table.name: table for entity in ENTITIES.values() for table in tables_of(entity)
}
