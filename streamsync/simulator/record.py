"""A record as the ERP sends it: its JSON, the liberties that servers take with it, and how records break."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from zlib import crc32

import orjson

from streamsync.simulator.dice import Dice
from streamsync.simulator.dirt import Style

Record = dict[str, object]

#: Ways to break a record so that no honest cleaner can accept it: (field, value). `...` takes the field away.
Breaks = Sequence[tuple[str, object]]

_MIXED: Final[tuple[Callable[[str], str], ...]] = (str.lower, str.upper, str.title)


def break_record(dice: Dice, record: Record, ways: Breaks) -> None:
    """Make a record one that has to be quarantined."""
    field, value = dice.pick(ways)
    if value is ...:
        record.pop(field, None)
    else:
        record[field] = value


def forget_a_null(dice: Dice, record: Record) -> None:
    """Versions differ in their columns: an absent value's key may be absent too."""
    if dice.below(20) == 0:
        key = dice.pick(list(record))
        if record[key] is None:
            del record[key]


def encode(record: Record, style: Style, version: int = 0) -> bytes:
    """The record's JSON. With `raw_control`, line ends and tabs stand in it unescaped, as some servers do.

    `version` tells two states of a record apart in the value of `extra_field`.
    """
    if style.extra_field:
        record = _with_extra(record, style.extra_field, f"{style.extra_field}-{version}")
    if style.single != "arrays":
        record = {name: _alone(value) for name, value in record.items()}
    body = orjson.dumps(record if style.keys == "lower" else renamed(record, style))
    if style.raw_control:
        # No value has a backslash, so these pairs are escapes and nothing else.
        body = body.replace(rb"\n", b"\n").replace(rb"\r", b"\r").replace(rb"\t", b"\t")
    return body


def renamed(value: object, style: Style) -> object:
    """The same value with every field's name in upper case, or in any case (but each name in one)."""
    if isinstance(value, dict):
        return {_name(str(key), style): renamed(item, style) for key, item in value.items()}
    if isinstance(value, list):
        return [renamed(item, style) for item in value]
    return value


def _name(key: str, style: Style) -> str:
    return key.upper() if style.keys == "upper" else _MIXED[crc32(key.encode()) % len(_MIXED)](key)


def _alone(value: object) -> object:
    """A nested list of one record as that record, as some modules send it."""
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) else value


def _with_extra(record: Record, name: str, value: str) -> Record:
    whole: Record = {name: value}
    for key, item in record.items():
        nested = isinstance(item, list) and all(isinstance(one, dict) for one in item)
        whole[key] = [_with_extra(one, name, value) for one in item] if nested else item  # type: ignore[attr-defined]
    return whole
