"""How the ERP spoils a clean value: one function per kind of value. Each undoes nothing and loses nothing.

What comes out always means the clean value under the rules of the protocol reference (§4), so a correct
cleaner gets it back; where two readings are possible, the dirt is not made.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from streamsync.simulator.dice import Dice
from streamsync.simulator.digits import punctuated_cnpj, punctuated_cpf

SOFT_HYPHEN = "\u00ad"
_MINUTE_MS = 60_000
_DAY_MS = 86_400_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Style(NamedTuple):
    """How an answer is written. Part of the key under which rendered rows are cached."""

    #: wcf: `/Date(ms-off)/`; iso: with ms and Z; iso-seconds: without the ms; iso-naive: without the zone.
    dates: Literal["wcf", "iso", "iso-seconds", "iso-naive"] = "wcf"
    prices: bool = True
    keys: Literal["lower", "upper", "mixed"] = "lower"
    raw_control: bool = False
    dirt: bool = True
    preco1: Literal["price", "zero", "null"] = "price"
    trans_ids: bool = True
    branch_trans_ids: bool = False
    old_branch_names: bool = False
    single: Literal["arrays", "nested", "all"] = "arrays"
    extra_field: str = ""


def absent(dice: Dice) -> str | None:
    """Nothing, in one of the ways the ERP says it."""
    kind = dice.below(100)
    if kind < 82:
        return None
    return "" if kind < 97 else "  "


def text(dice: Dice, value: object) -> str | None:
    """A text with the blanks, soft hyphens and control characters that old data entry leaves behind."""
    if value is None:
        return absent(dice)
    clean = str(value)
    kind = dice.below(100)
    if kind < 62:
        return clean
    if kind < 80:
        return clean + " " * (1 + kind % 3)
    if kind < 84:
        return f" {clean} "
    if kind < 88:
        return clean.replace(" ", "  ")
    middle = len(clean) // 2
    if kind < 93:
        return clean[:middle] + SOFT_HYPHEN + clean[middle:]
    if kind < 95:
        # Some machines typed letter and accent apart.
        return unicodedata.normalize("NFD", clean)
    if kind < 97:
        return clean.replace(" ", "\t") + ("\n" if kind == 96 else "")
    if kind < 98:
        return clean.replace(" ", " \r\n", 1)
    return clean[:middle] + ("\x00" if kind == 98 else "\x1f") + clean[middle:]


def code(dice: Dice, value: object) -> str | None:
    """A display code: padded with blanks now and then, otherwise as it is."""
    if value is None:
        return absent(dice)
    return f"{value}  " if dice.below(10) == 9 else str(value)


def email(dice: Dice, value: object) -> str | None:
    """An e-mail address as typed: upper case, blanks around it."""
    if value is None:
        return absent(dice)
    clean = str(value)
    kind = dice.below(20)
    if kind < 12:
        return clean
    if kind < 16:
        return clean.upper()
    if kind < 18:
        return clean[:1].upper() + clean[1:] + " "
    return f"  {clean}"


def cpf(dice: Dice, value: object) -> str | None:
    """A CPF, with or without its punctuation."""
    if value is None:
        return absent(dice)
    return punctuated_cpf(str(value)) if dice.below(10) < 8 else code(dice, value)


def cnpj(dice: Dice, value: object) -> str | None:
    """A CNPJ, with or without its punctuation."""
    if value is None:
        return absent(dice)
    return punctuated_cnpj(str(value)) if dice.below(10) < 8 else code(dice, value)


def cep(dice: Dice, value: object) -> str | None:
    """A postal code, with or without its hyphen or point."""
    if value is None:
        return absent(dice)
    digits = str(value)
    if len(digits) != 8:
        return code(dice, digits)
    kind = dice.below(10)
    if kind < 6:
        return f"{digits[:5]}-{digits[5:]}"
    return digits if kind < 9 else f"{digits[:2]}.{digits[2:5]}-{digits[5:]} "


def state(dice: Dice, value: object) -> str | None:
    """A state's two letters, not always in upper case."""
    if value is None:
        return absent(dice)
    kind = dice.below(20)
    return str(value) if kind < 17 else (f"{value} " if kind < 19 else str(value).lower())


def house_number(dice: Dice, value: object) -> str | int | None:
    """A house number: documented as text, sent as a number by some modules."""
    if isinstance(value, str) and value.isdigit() and str(int(value)) == value and dice.below(3) == 2:
        return int(value)
    return text(dice, value)


def phone(dice: Dice, value: object) -> tuple[str | None, str | None]:
    """A phone as the ERP splits it: (area code, number)."""
    if value is None:
        # An area code without a number is still no phone.
        return ("000", None) if dice.below(10) == 9 else (absent(dice), absent(dice))
    digits = str(value)
    kind = dice.below(10)
    if not digits.startswith("+55"):
        return absent(dice), digits if kind < 5 else f"{digits[:-4]}-{digits[-4:]}"
    ddd, number = digits[3:5], digits[5:]
    hyphened = f"{number[:-4]}-{number[-4:]}"
    if kind < 4:
        return ddd, hyphened
    if kind < 7:
        return f"0{ddd}", number
    if kind < 9:
        return ddd + " ", f" {hyphened} "
    return absent(dice), f"({ddd}) {hyphened}"


def boolean(dice: Dice, value: object) -> bool | str | None:
    """A truth value in one of the three dialects."""
    if value is None:
        return "" if dice.below(8) == 7 else None
    kind = dice.below(10)
    if kind < 7:
        return bool(value)
    return ("T" if value else "F") if kind < 9 else ("1" if value else "0")


def letter(dice: Dice, value: object) -> str | None:
    """A truth value in the `T`/`F` dialect."""
    return absent(dice) if value is None else ("T" if value else "F")


def number(value: object) -> int | float | None:
    """A number as the ERP writes it: trailing zeros dropped, so a whole one loses its point."""
    if value is None:
        return None
    if not isinstance(value, Decimal):
        raise TypeError(f"not a decimal column: {type(value).__name__}")
    whole = int(value)
    return whole if whole == value else float(value)


def day(dice: Dice, value: object, style: Style) -> str | None:
    """A date without time: local midnight, in the offset of its time of year."""
    if value is None:
        return absent(dice)
    if not isinstance(value, date):
        raise TypeError(f"not a date column: {type(value).__name__}")
    # Brazil kept summer time until 2019; a few servers still write it for old dates.
    offset = 120 if value.year < 2019 and value.month in (1, 12) and dice.below(2) else 180
    match style.dates:
        case "wcf":
            milliseconds = (value.toordinal() - _EPOCH_ORDINAL) * _DAY_MS + offset * _MINUTE_MS
            return f"/Date({milliseconds}-{offset})/"
        case "iso":
            kind = dice.below(3)
            if kind == 0:
                return f"{value.isoformat()}T00:00:00-0{offset // 60}:00"
            return f"{value.isoformat()}T0{offset // 60}:00:00{'.000Z' if kind == 1 else 'Z'}"
        case "iso-seconds":
            return f"{value.isoformat()}T0{offset // 60}:00:00Z"
        case "iso-naive":
            return f"{value.isoformat()}T00:00:00"


def timestamp(value: object, style: Style) -> str:
    """An instant: milliseconds in UTC and the server's offset, or ISO text in UTC."""
    if not isinstance(value, datetime):
        raise TypeError(f"not a timestamp column: {type(value).__name__}")
    match style.dates:
        case "wcf":
            since = value - _EPOCH
            milliseconds = since.days * _DAY_MS + since.seconds * 1000 + since.microseconds // 1000
            return f"/Date({milliseconds}-180)/"
        case "iso":
            return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case "iso-seconds":
            return value.isoformat(timespec="seconds").replace("+00:00", "Z")
        case "iso-naive":
            return value.replace(tzinfo=None).isoformat(timespec="milliseconds")
