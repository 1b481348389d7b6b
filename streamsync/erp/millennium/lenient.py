"""From an answer's bytes to a JSON document, however badly written. Numbers arrive exactly.

Fast path: orjson. It makes binary floats of numbers, which hold 15 digits and no more, so an answer with a longer
number goes the lenient way, where fractions become Decimals; so does everything that orjson refuses: raw control
characters in strings, bytes that are not UTF-8, NaN, half emojis.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, Final

import orjson

from streamsync.errors import PermanentError, TransientError

#: Python prints and reads integers of up to 4,300 digits; a number that long is nobody's.
_MAX_INT_DIGITS: Final = 100
_BOM: Final = b"\xef\xbb\xbf"
#: Half of a surrogate pair, encoded as if it were a letter.
_HALF_EMOJI = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
#: How Python's `surrogateescape` marks bytes that are not UTF-8, and what they are in Windows-1252.
_NOT_UTF_8 = re.compile(r"[\udc80-\udcff]+")
_WINDOWS_1252: Final = {0xDC00 + byte: bytes([byte]).decode("cp1252", "replace") for byte in range(128, 256)}

#: Makes every digit and point `0` and every other byte a blank: a run of 16 is then found at memory's speed.
_DIGITS_ONLY: Final = bytes(0x30 if chr(byte) in "0123456789." else 0x20 for byte in range(256))
_LONG_RUN: Final = b"0" * 16
#: What orjson would bend: an integer beyond 64 bits, a fraction of more than 15 digits.
_INEXACT = re.compile(rb"\d{19}|(?=[\d.]{17})\d+\.|\d{16,}[eE]")
#: What may stand before a number. Before one in a text there is a quotation mark or a letter; where it is a comma or
#: a blank all the same, the lenient way was not needed and does no harm.
_BEFORE: Final = b":,[- \t\r\n"

#: Without these bytes a key in lower case is `"":`, and only one with a capital ends in `A":`; a quotation mark in a
#: text keeps its backslash.
_NEITHER_KEY_NOR_CAPITAL: Final = bytes(set(range(256)) - set(b'ABCDEFGHIJKLMNOPQRSTUVWXYZ":\\'))
_CAPITAL_IN_KEY = re.compile(rb'[A-Z]":')


def parse(body: bytes) -> Any:
    """The document, every key at every depth in lower case. Of two keys that differ in case only, or not at all,
    the last counts.

    Raises TransientError(`erp_garbage`) for what is no JSON (HTML of a proxy, text, a cut answer), and
    PermanentError(`erp_not_json`) for other XML.
    """
    document = _read(body)
    if _CAPITAL_IN_KEY.search(body.translate(None, _NEITHER_KEY_NOR_CAPITAL)):
        return _lower(document)
    return document


def text_of(body: bytes) -> str:
    """The text. Of bytes that are not UTF-8 each is read as Windows-1252: somebody cut a column in the middle of a
    letter. Where there are more such than letters in UTF-8, those are an accident and the whole is Windows-1252.
    """
    body = body.removeprefix(_BOM)
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        body = _HALF_EMOJI.sub(b"?", body)
    text = body.decode("utf-8", "surrogateescape")
    wrong = sum(len(run) for run in _NOT_UTF_8.findall(text))
    if wrong and 2 * wrong >= sum(len(run) for run in _NOT_ASCII.findall(text)):
        return body.decode("cp1252", "replace")
    return text.translate(_WINDOWS_1252)


def _read(body: bytes) -> Any:
    if not _is_inexact(body):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
    return _lenient(body)


def _lower(value: Any) -> Any:
    if isinstance(value, dict):
        return {key.lower(): _lower(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_lower(item) for item in value]
    return value


def _is_inexact(body: bytes) -> bool:
    runs = body.translate(_DIGITS_ONLY)
    start = runs.find(_LONG_RUN)
    while start >= 0:
        if body[start - 1] in _BEFORE and _INEXACT.match(body, start):
            return True
        end = runs.find(b" ", start)
        start = runs.find(_LONG_RUN, end) if end >= 0 else -1
    return False


def _lenient(body: bytes) -> Any:
    text = text_of(body)
    head = text.lstrip()[:1]
    if head == "<":
        raise _markup(text, len(body))
    if head not in ("{", "["):
        raise TransientError("erp_garbage", f"the answer is not JSON ({len(body)} bytes)")
    try:
        document = _loads(text)
    except ValueError as error:
        raise TransientError("erp_garbage", f"the answer is broken JSON ({len(body)} bytes)") from error
    return _whole(document) if "\\ud" in text or "\\uD" in text else document


def _markup(text: str, size: int) -> PermanentError | TransientError:
    """HTML comes from something in front of the ERP and passes. XML, though `$format` and `Accept` both asked for
    JSON, is what this server or URL answers with: a retry would get it again, and the next schedule tries anyway.
    An error in XML says nothing about what the server answers with when it works."""
    start = text[:2000].casefold()
    if "<html" in start or "<!doctype html" in start:
        return TransientError("erp_garbage", f"the answer is HTML ({size} bytes)")
    if re.search(r"<(\w+:)?(error|fault)\b", start):
        return TransientError("erp_garbage", f"the answer is an error in XML ({size} bytes)")
    return PermanentError(
        "erp_not_json",
        f"the answer is XML ({size} bytes) though JSON was asked for; the base URL must lead to the ERP itself,"
        " and its version must know $format=json",
    )


def _integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _MAX_INT_DIGITS else Decimal(digits)


def _fraction(number: str) -> Decimal | float:
    try:
        return Decimal(number)
    except InvalidOperation:  # an exponent beyond what even Decimal holds: infinite, or next to nothing
        return float(number)


_loads: Final[Callable[[str], Any]] = partial(
    json.loads, strict=False, parse_int=_integer, parse_float=_fraction
)


def _whole(value: Any) -> Any:
    """Half of a surrogate pair, written as an escape, is text for Python and for nobody else."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return value
