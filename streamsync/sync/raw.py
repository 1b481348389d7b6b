"""Records as JSON text: for the `raw` columns, which PostgreSQL must accept, and for the quarantine. No I/O.

orjson writes what it can. What it refuses or jsonb would (NUL, lone surrogates, numbers beyond all measure, depth
without end) is mended on a second path, never rejected: nobody asked for these fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from decimal import Decimal
from typing import Any, Final

import orjson

#: jsonb keeps numbers as numeric, which has 131,072 digits before its point; no sane number has a hundredth of it.
_MAX_DIGITS: Final = 1_000
#: orjson stops at 254 levels, PostgreSQL where its stack ends.
_MAX_DEPTH: Final = 100
_TOO_DEEP: Final = "nested too deeply to be kept"
_NUL: Final = b"\\u0000"


def raw_json(record: Mapping[str, Any], known: Set[str]) -> str | None:
    """The fields of a record that are not `known`, as text for a jsonb column; None if there are none.

    Fields that are null are absent: servers differ in whether they send those at all, and a row must not change
    with that. The order of fields is of no account, jsonb has its own.
    """
    rest = {name: value for name, value in record.items() if value is not None and name not in known}
    if not rest:
        return None
    try:
        text = orjson.dumps(rest, default=_exact)
    except TypeError:
        return _mended_text(rest).decode()
    # A backslash before the u may itself be escaped; then the second path changes nothing.
    return (_mended_text(rest) if _NUL in text else text).decode()


def record_text(record: Mapping[str, Any]) -> bytes:
    """The record for the quarantine, whatever it holds."""
    try:
        return orjson.dumps(record, default=_exact)
    except TypeError:
        return _mended_text(record)


def _mended_text(value: object) -> bytes:
    return orjson.dumps(_mended(value, _MAX_DEPTH), default=_exact)


def _mended(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, dict | list) and depth == 0:
        return _TOO_DEEP
    if isinstance(value, dict):
        return {_mended(name, depth): _mended(item, depth - 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_mended(item, depth - 1) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)  # orjson's integers end at 64 bits
    return value


def _exact(number: object) -> orjson.Fragment:
    """A Decimal for orjson: digit by digit, as text where it is beyond measure, null where it is no number."""
    if not isinstance(number, Decimal):
        raise TypeError(f"no JSON for {type(number).__name__}")
    if not number.is_finite():
        return orjson.Fragment("null")
    if abs(number.adjusted()) <= _MAX_DIGITS and len(number.as_tuple().digits) <= _MAX_DIGITS:
        return orjson.Fragment(str(number))
    return orjson.Fragment(f'"{str(number)[:_MAX_DIGITS]}"')
