"""The ERP's two cursors: `trans_id`, and the date of change for servers that have none."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from streamsync.entity import FieldRejected
from streamsync.erp import values as v

_BIGINT: Final = 2**63

#: A date further ahead of us than any two clocks are apart is a mistake, and must not become the cursor.
_AHEAD: Final = timedelta(days=2)

#: Where a read by date begins: before any record.
_BEGINNING: Final = "1900-01-01 00:00:00"

#: The server's clock is Brasília's, even for shops elsewhere.
_BRASILIA: Final = ZoneInfo("America/Sao_Paulo")


def trans_ids(records: Iterable[dict[str, Any]]) -> list[int]:
    """The rows' trans_ids. One beyond 64 bits is its record's fault (it is quarantined) and must not become the
    cursor."""
    return [
        number
        for row in records
        if type(number := row.get("trans_id")) is int and -_BIGINT <= number < _BIGINT
    ]


def dated(records: Iterable[dict[str, Any]], source: str) -> list[int]:
    """The rows' dates of change in ms since 1970.

    A row without trans_id gets its date instead (0 where it has neither), so that of two states of one record
    the newer is known. A date that cannot be read is for the cleaning to quarantine.
    """
    found = []
    latest = datetime.now(UTC) + _AHEAD
    for row in records:
        try:
            moment = v.timestamp(row.get(source)) if source else None
        except FieldRejected:
            moment = None
        milliseconds = None if moment is None else round(moment.timestamp() * 1000)
        if milliseconds is not None and moment is not None and moment <= latest:
            found.append(milliseconds)
        if row.get("trans_id") is None:
            row["trans_id"] = milliseconds or 0
    return found


def local_second(milliseconds: int) -> str:
    """A cursor as the ERP reads a date parameter: local time, whole seconds."""
    if milliseconds <= 0:
        return _BEGINNING
    return (
        datetime.fromtimestamp(milliseconds // 1000, UTC).astimezone(_BRASILIA).strftime("%Y-%m-%d %H:%M:%S")
    )
