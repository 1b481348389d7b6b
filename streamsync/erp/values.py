"""Cleaning rules: raw JSON values in, database values out. No I/O, no state.

A rule returns None for "absent" (null, empty, blank) and raises FieldRejected with a fixed phrase for a value
it cannot accept; the phrase never quotes the value.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from streamsync.entity import FieldRejected

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SPACES = re.compile(r"\s+")
#: Control and format characters, the soft hyphen among them; tab and line ends are spaces and stay until then.
#: Lone surrogates too: half an emoji, cut off by some column's length, which no UTF-8 can hold.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2060\ufeff\ud800-\udfff]")
_NOT_DIGIT = re.compile(r"\D", re.ASCII)
#: `/Date(<ms>-180)/`: ms of the epoch, which may be negative, and an offset in minutes that is already in it.
_WCF_DATE = re.compile(r"/Date\((-?\d{1,17})(?:[+-]\d{1,4})?\)/")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_TRUE: Final = frozenset({"t", "1", "s", "true", "y"})
_FALSE: Final = frozenset({"f", "0", "n", "false"})
_BIGINT: Final = 2**63
#: PostgreSQL's numeric holds more, but no price or weight has more digits; beyond it is rubbish.
_MAX_EXPONENT: Final = 30
_MAX_DIGITS: Final = 100
#: Twice what the ERP documents for an SKU; at four bytes each it fits into PostgreSQL's 2,704.
_MAX_KEY: Final = 510


def text(value: object) -> str | None:
    """NFC, no control characters, runs of spaces as one, trimmed; numbers become their text."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise FieldRejected("expected text")
    string = value if isinstance(value, str) else _plain(value)
    string = _SPACES.sub(" ", _UNPRINTABLE.sub("", string)).strip()
    if (
        not string.isascii()
    ):  # last, because what was taken out may have stood between a letter and its accent
        string = unicodedata.normalize("NFC", string)
    return string or None


def _plain(value: float | Decimal) -> str:
    """A number's text without exponent and trailing zeros."""
    string = format(decimal(value) or Decimal(0), "f")
    return string.rstrip("0").rstrip(".") if "." in string else string


def key(value: object) -> str | None:
    """Text that is part of a primary key: an index has no room for the longest ones."""
    string = text(value)
    if string is not None and len(string) > _MAX_KEY:
        raise FieldRejected("key too long")
    return string


def upper(value: object) -> str | None:
    """Text in capitals: codes, states."""
    string = text(value)
    return string.upper() if string else None


def digits(value: object) -> str | None:
    """Only the digits: documents, postal codes."""
    string = text(value)
    return (_NOT_DIGIT.sub("", string) or None) if string else None


def integer(value: object) -> int | None:
    """A whole number of 64 bits; whole floats and numeric text are accepted."""
    number = decimal(value)
    if number is None:
        return None
    if number != number.to_integral_value():
        raise FieldRejected("expected a whole number")
    if not -_BIGINT <= number < _BIGINT:
        raise FieldRejected("number out of range")
    return int(number)


def decimal(value: object) -> Decimal | None:
    """An exact number with a decimal point."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise FieldRejected("expected a number")
    try:
        string = str(value).strip()
    except ValueError:  # an int of more digits than Python prints
        raise FieldRejected("number out of range") from None
    if not string:
        return None
    if "_" in string:  # Python's own notation; here it joins the parts of a code
        raise FieldRejected("expected a number")
    try:
        number = Decimal(string)
    except InvalidOperation:
        raise FieldRejected("expected a number") from None
    if not number.is_finite() or abs(number.adjusted()) > _MAX_EXPONENT or len(string) > _MAX_DIGITS:
        raise FieldRejected("number out of range")
    return number


def boolean(value: object) -> bool | None:
    """The ERP's three dialects: true/false, "T"/"F", "1"/"0"; also S/N."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    if isinstance(value, str):
        word = value.strip().lower()
        if not word:
            return None
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    raise FieldRejected("expected a truth value")


def timestamp(value: object) -> datetime | None:
    """A moment in UTC, from `/Date(ms±min)/` (ms is UTC already) or ISO 8601 (UTC if it names no zone)."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise FieldRejected("expected a date")
    string = value.strip()
    if not string:
        return None
    if match := _WCF_DATE.fullmatch(string):
        try:
            return _EPOCH + timedelta(milliseconds=int(match[1]))
        except OverflowError:
            raise FieldRejected("date out of range") from None
    try:
        moment = datetime.fromisoformat(_shorten_fraction(string))
    except ValueError:
        raise FieldRejected("expected a date") from None
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise FieldRejected("date out of range") from None


def _shorten_fraction(string: str) -> str:
    """Python reads at most six digits of a fraction; the ERP may send seven."""
    return re.sub(r"(\.\d{6})\d+", r"\1", string)


def calendar_date(value: object) -> date | None:
    """A date without time: the UTC calendar date of the moment, right for local midnight in all of Brazil."""
    moment = timestamp(value)
    return moment.date() if moment else None


def email(value: object) -> str | None:
    """Lower case; what is not an address at all is rejected."""
    string = text(value)
    if string is None:
        return None
    string = string.replace(" ", "").lower()
    if not _EMAIL.fullmatch(string):
        raise FieldRejected("expected an e-mail address")
    return string


def phone(area: object, number: object) -> str | None:
    """E.164 (`+55…`) where area code and number, together or apart, make a Brazilian one, else the digits."""
    national = digits(number)
    if national is None:
        return None
    whole = (digits(area) or "").lstrip("0") + national
    without_trunk = whole.lstrip("0")
    return f"+55{without_trunk}" if len(without_trunk) in (10, 11) else whole


def cpf_valid(value: str | None) -> bool | None:
    """Whether the two check digits of a CPF (digits only) are right; None for None."""
    if value is None:
        return None
    if len(value) != 11 or value == value[0] * 11:
        return False
    return all(_mod11(value[:n], range(n + 1, 1, -1)) == int(value[n]) for n in (9, 10))


def cnpj_valid(value: str | None) -> bool | None:
    """Whether the two check digits of a CNPJ (digits only) are right; None for None."""
    if value is None:
        return None
    if len(value) != 14 or value == value[0] * 14:
        return False
    weights = (5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
    return _mod11(value[:12], weights) == int(value[12]) and _mod11(value[:13], (6, *weights)) == int(
        value[13]
    )


def _mod11(string: str, weights: range | tuple[int, ...]) -> int:
    rest = sum(int(digit) * weight for digit, weight in zip(string, weights, strict=True)) % 11
    return 0 if rest < 2 else 11 - rest


def ean13_valid(value: str | None) -> bool | None:
    """Whether a barcode is an EAN-13 with a right check digit; None for None."""
    if value is None:
        return None
    if len(value) != 13 or not (value.isascii() and value.isdigit()):
        return False
    total = sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(value[:12]))
    return (10 - total % 10) % 10 == int(value[12])
