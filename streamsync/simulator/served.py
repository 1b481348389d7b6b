"""What a clean row becomes on servers that do not keep or send all of it: the truth is what can be known."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from streamsync.simulator.dirt import Style
from streamsync.simulator.people import Row

_PRICED: Final = frozenset({"sku", "price"})


def as_served(table: str, row: Row, style: Style) -> Row:
    """The row as far as this style of answer tells it; the row itself where it tells all.

    `preco1` other than "price": the selling price stands in preco2 and preco1 is 0 or null. Without
    `trans_ids`, and for branches without `branch_trans_ids`, the trans_id is 0. `iso-seconds` has no fraction.
    """
    if style.preco1 != "price" and table in _PRICED:
        row = row | {"price": Decimal(0) if style.preco1 == "zero" else None, "list_price": row["price"]}
    sent = style.branch_trans_ids and style.trans_ids if table == "branch" else style.trans_ids
    if not sent and "trans_id" in row:
        row = row | {"trans_id": 0}
    if style.dates == "iso-seconds":
        moment = row.get("source_updated_at")
        if isinstance(moment, datetime):
            row = row | {"source_updated_at": moment.replace(microsecond=0)}
    return row
