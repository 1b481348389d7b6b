"""The truth as lines of JSON, for a checker in another process: Decimals, dates and times stay what they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson

from streamsync.simulator.people import Row


def line_of(row: Row) -> bytes:
    """One row as a line, its end included. What JSON has no type for is an object that names the type."""
    return orjson.dumps(
        row, default=_tagged, option=orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_APPEND_NEWLINE
    )


def rows_from(lines: Iterable[bytes | str]) -> Iterator[Row]:
    """The rows again, as `Admin.truth` gives them in its own process."""
    for line in lines:
        if line.strip():
            yield {name: _untagged(value) for name, value in orjson.loads(line).items()}


def _tagged(value: Any) -> dict[str, str]:
    match value:
        case Decimal():
            return {"decimal": str(value)}
        case datetime():
            return {"datetime": value.isoformat()}
        case date():
            return {"date": value.isoformat()}
    raise TypeError(f"no row holds a {type(value).__name__}")


def _untagged(value: Any) -> object:
    match value:
        case {"decimal": text}:
            return Decimal(text)
        case {"datetime": text}:
            return datetime.fromisoformat(text)
        case {"date": text}:
            return date.fromisoformat(text)
    return value
