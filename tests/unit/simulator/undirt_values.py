"""The values of a cleaner of the simulator's own tests; see `undirt`."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any


def text(value: object) -> str | None:
    if value is None:
        return None
    clean = unicodedata.normalize("NFC", str(value)).replace("\u00ad", "")
    clean = re.sub(r"[\n\t]", " ", clean)
    clean = "".join(character for character in clean if unicodedata.category(character) != "Cc")
    return re.sub(" +", " ", clean).strip() or None


def digits(value: object) -> str | None:
    return re.sub(r"\D", "", str(value or "")) or None


def phone(ddd: object, number: object) -> str | None:
    local = digits(number)
    if local is None:
        return None
    national = (digits(ddd) or "").lstrip("0") + local
    return f"+55{national}" if len(national) in (10, 11) else national


def boolean(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    word = text(value)
    return None if word is None else {"T": True, "F": False, "1": True, "0": False}[word]


def stamp(value: object) -> datetime | None:
    raw = text(value)
    if raw is None:
        return None
    found = re.fullmatch(r"/Date\((-?\d+)([+-]\d+)\)/", raw)
    if found:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(found[1]))
    moment = datetime.fromisoformat(raw)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def day(value: object) -> date | None:
    moment = stamp(value)
    return None if moment is None else moment.date()


def number(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def upper(value: object) -> str | None:
    return (text(value) or "").upper() or None


def listed(value: Any) -> list[dict[str, Any]]:
    return [value] if isinstance(value, dict) else value


def valid_state(state: str | None) -> bool | None:
    states = "AC AL AM AP BA CE DF ES GO MA MG MS MT PA PB PE PI PR RJ RN RO RR RS SC SE SP TO EX"
    return None if state is None else state in states.split()


def valid_cep(cep: str | None) -> bool | None:
    return None if cep is None else len(cep) == 8 and cep != "00000000"


def valid_cpf(cpf: str | None) -> bool | None:
    if cpf is None:
        return None
    if len(cpf) != 11 or len(set(cpf)) == 1:
        return False
    for size in (9, 10):
        total = sum(int(cpf[i]) * (size + 1 - i) for i in range(size))
        if total * 10 % 11 % 10 != int(cpf[size]):
            return False
    return True


def valid_cnpj(cnpj: str | None) -> bool | None:
    if cnpj is None:
        return None
    if len(cnpj) != 14:
        return False
    for size in (12, 13):
        weights = [(size - 1 - i) % 8 + 2 for i in range(size)]
        total = sum(int(cnpj[i]) * weights[i] for i in range(size))
        if total * 10 % 11 % 10 != int(cnpj[size]):
            return False
    return True


def valid_ean13(code: str | None) -> bool | None:
    if code is None:
        return None
    if not re.fullmatch(r"\d{13}", code):
        return False
    return sum(int(c) * (3 if i % 2 else 1) for i, c in enumerate(code)) % 10 == 0
