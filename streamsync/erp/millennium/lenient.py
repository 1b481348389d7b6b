"""From an answer's bytes to a JSON document, however badly written. Numbers arrive exactly.

Fast path: orjson. It makes binary floats of numbers, which hold 15 digits and no more, so an answer with a longer
number goes the lenient way, where fractions become Decimals; so does everything that orjson refuses: raw control
characters in strings, bytes that are not UTF-8, NaN, half emojis.
"""

from __future__ import annotations

import codecs
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

#: Makes every digit and point `0` and every other byte a blank: a run of 16 is then found at memory's speed.
_DIGITS_ONLY: Final = bytes(0x30 if chr(byte) in "0123456789." else 0x20 for byte in range(256))
_LONG_RUN: Final = b"0" * 16
#: What orjson would bend: an integer beyond 64 bits, a fraction of more than 15 digits. An `"` before it makes it
#: text. (It may still stand in a text, behind a comma, say; then the lenient way was not needed and does no harm.)
_INEXACT = re.compile(rb"[:,\[\s]-?(?:\d{20}|(?=[\d.]{17})\d+\.|\d{16,}[eE])")


def parse(body: bytes) -> Any:
    """The document.

    Raises TransientError(`erp_garbage`) for what is no JSON (HTML of a proxy, text, a cut answer), and
    PermanentError(`erp_not_json`) for other XML.
    """
    if not _is_inexact(body):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
    return _lenient(body)


def text_of(body: bytes) -> str:
    """The text. Bytes that are not UTF-8 are Windows-1252, each for itself: records of one answer differ."""
    return body.removeprefix(_BOM).decode("utf-8", _WINDOWS_1252)


def _is_inexact(body: bytes) -> bool:
    return _LONG_RUN in body.translate(_DIGITS_ONLY) and _INEXACT.search(body) is not None


def _lenient(body: bytes) -> Any:
    text = text_of(body)
    head = text.lstrip()[:1]
    if head == "<":
        raise _markup(text, len(body))
    if head not in ("{", "["):
        raise TransientError("erp_garbage", f"the answer is not JSON ({len(body)} bytes)")
    try:
        return _whole(_loads(text))
    except ValueError as error:
        raise TransientError("erp_garbage", f"the answer is broken JSON ({len(body)} bytes)") from error


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


def _windows_1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


_WINDOWS_1252: Final = "streamsync-windows-1252"
codecs.register_error(_WINDOWS_1252, _windows_1252)
