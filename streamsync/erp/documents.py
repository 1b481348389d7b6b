"""Whether documents, codes and places are what they say: rules that flag a value and never reject it.

Each takes the raw value, cleans it as its column's own rule does, and gives None where it is absent.
"""

from __future__ import annotations

from typing import Final

from streamsync.erp import values as v

#: The 26 states, the federal district, and EX, which the ERP writes for "abroad".
STATES: Final = frozenset(
    "AC AL AM AP BA CE DF ES GO MA MG MS MT PA PB PE PI PR RJ RN RO RR RS SC SE SP TO EX".split()  # noqa: SIM905
)

_CNPJ_WEIGHTS: Final = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)


def cpf_valid(raw: object) -> bool | None:
    """Whether a CPF has 11 digits, not all equal, and its two check digits are right."""
    value = v.digits(raw)
    if value is None:
        return None
    if len(value) != 11 or value == value[0] * 11:
        return False
    return all(_modulo_11(value[:n], range(n + 1, 1, -1)) == value[n] for n in (9, 10))


def cnpj_valid(raw: object) -> bool | None:
    """Whether a CNPJ has 14 places, not all equal, and its two check digits are right.

    Letters count as their ASCII code less 48, so that for digits nothing changes (Receita Federal, "CNPJ
    Alfanumérico", 2024).
    """
    value = v.cnpj(raw)
    if value is None:
        return None
    if len(value) != 14 or value == value[0] * 14:
        return False
    return all(_modulo_11(value[:n], _CNPJ_WEIGHTS[13 - n :]) == value[n] for n in (12, 13))


def _modulo_11(string: str, weights: range | tuple[int, ...]) -> str:
    rest = sum((ord(place) - 48) * weight for place, weight in zip(string, weights, strict=True)) % 11
    return "0" if rest < 2 else str(11 - rest)


def ean13_valid(raw: object) -> bool | None:
    """Whether a barcode is an EAN-13 (13 digits, not all zero) with a right check digit.

    EAN-8, UPC-A and GTIN-14 are other codes, however right.
    """
    value = v.text(raw)
    if value is None:
        return None
    if len(value) != 13 or not (value.isascii() and value.isdigit()) or value == "0" * 13:
        return False
    total = sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(value[:12]))
    return str(-total % 10) == value[12]


def state_valid(*raws: object) -> bool | None:
    """Whether the first of these values that is there is a Brazilian state's two letters, or EX."""
    value = first_upper(*raws)
    return None if value is None else value in STATES


def first_upper(*raws: object) -> str | None:
    """The first of these values that is there, in capitals: servers differ in a field's name."""
    return next((value for raw in raws if (value := v.upper(raw)) is not None), None)


def postal_code_valid(raw: object) -> bool | None:
    """Whether a CEP has eight digits, not all zero."""
    value = v.digits(raw)
    return None if value is None else len(value) == 8 and value != "00000000"
