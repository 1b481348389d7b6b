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
_NOT_ALPHANUMERIC = re.compile(r"[^0-9A-Z]")
#: Letters in the first twelve places from July 2026 on (IN RFB 2.229/2024); the check digits stay digits.
_CNPJ_WITH_LETTERS = re.compile(r"[0-9A-Z]{12}[0-9]{2}")
#: `/Date(<ms>-180)/`: ms of the epoch, which may be negative, and an offset in minutes that is already in it.
_WCF_DATE = re.compile(r"/Date\((-?\d{1,17})(?:[+-]\d{1,4})?\)/")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_TRUE: Final = frozenset({"t", "1", "s", "true", "y"})
_FALSE: Final = frozenset({"f", "0", "n", "false"})
_BIGINT: Final = 2**63
#: What programs write for "no date": Delphi's TDateTime 0, and .NET's DateTime.MinValue. Nobody alive was born and
#: no shop did anything on either day, and an ERP written in Delphi writes the first wherever a date is not set.
_ZERO_DAYS: Final = frozenset({date(1899, 12, 30), date(1, 1, 1)})
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
    if string.isascii() and string.isprintable() and "  " not in string:  # most are, and are done with
        return string.strip() or None
    # NFC is last, because what was taken out may have stood between a letter and its accent.
    return unicodedata.normalize("NFC", _SPACES.sub(" ", _UNPRINTABLE.sub("", string)).strip()) or None


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
    return unicodedata.normalize("NFC", string.upper()) if string else None


def digits(value: object) -> str | None:
    """Only the digits: CPFs, postal codes."""
    string = text(value)
    return (_NOT_DIGIT.sub("", string) or None) if string else None


def cnpj(value: object) -> str | None:
    """A CNPJ without its punctuation. Letters are kept only in what has the form of an alphanumeric one."""
    string = upper(value)
    if string is None:
        return None
    bare = _NOT_ALPHANUMERIC.sub("", string)
    return bare if _CNPJ_WITH_LETTERS.fullmatch(bare) else digits(string)


def integer(value: object) -> int | None:
    """A whole number of 64 bits; whole floats and numeric text are accepted."""
    if type(value) is int and -_BIGINT <= value < _BIGINT:
        return value
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
    if isinstance(value, Decimal) and value.is_finite():
        value = float(value)
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
    """A moment in UTC, from `/Date(ms±min)/` (ms is UTC already) or ISO 8601 (UTC if it names no zone).

    The days that mean "no date" (`_ZERO_DAYS`) are absent.
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise FieldRejected("expected a date")
    string = value.strip()
    if not string:
        return None
    try:
        if match := _WCF_DATE.fullmatch(string):
            moment = _EPOCH + timedelta(milliseconds=int(match[1]))
        else:
            moment = _iso(string)
            if moment.date() in _ZERO_DAYS:  # in its own zone, before that moves it out of what Python holds
                return None
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise FieldRejected("date out of range") from None
    return None if moment.date() in _ZERO_DAYS else moment


def _iso(string: str) -> datetime:
    try:
        return datetime.fromisoformat(string)
    except ValueError:
        raise FieldRejected("expected a date") from None


def calendar_date(value: object) -> date | None:
    """A date without time: the UTC calendar date of the moment, right for local midnight in all of Brazil."""
    moment = timestamp(value)
    return moment.date() if moment else None


def email(value: object) -> str | None:
    """Lower case, without blanks and what copying from a mail leaves around it; what is no address is rejected."""
    string = text(value)
    if string is None:
        return None
    string = unicodedata.normalize("NFC", string.replace(" ", "").lower())
    string = string.strip("<>;,.\"'").removeprefix("mailto:")
    if not _EMAIL.fullmatch(string):
        raise FieldRejected("expected an e-mail address")
    return string


def phone(area: object, number: object) -> str | None:
    """E.164 where area code and number, together or apart, make a telephone number, else the digits.

    A number that begins with `+` says its country; any other is Brazilian, with or without 55 and trunk zeros. A
    number that is whole already makes its area code superfluous.
    """
    string = text(number)
    national = digits(string)
    if string is None or national is None:
        return None
    if string.lstrip("( ").startswith("+") and not national.startswith(("0", "55")):
        if len(national) in range(8, 16):
            return f"+{national}"
        return national
    whole = (digits(area) or "").lstrip("0") + national
    return _brazilian(national) or _brazilian(whole) or whole


def _brazilian(number: str) -> str | None:
    """Two digits of area code and eight or nine of the subscriber, in E.164; None if it is not so."""
    number = number.lstrip("0")
    if len(number) not in (10, 11) and number.startswith("55"):
        number = number[2:].lstrip("0")
    return f"+55{number}" if len(number) in (10, 11) else None
