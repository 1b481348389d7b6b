"""Customers, their addresses and contacts as they really are: the clean rows, before the ERP's dirt.

Each function fills one row of a target table from dice; what the ERP sends is rendered from these rows in
`render`, so that the truth owes nothing to the cleaner that is tested against it.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from streamsync.simulator import words
from streamsync.simulator.dice import Dice
from streamsync.simulator.digits import cnpj_of, cpf_of, with_wrong_check_digit

Row = dict[str, object]

_EPOCH_DAY = date(1970, 1, 1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=4096)
def ascii_word(word: str) -> str:
    """A word as it may stand in an e-mail address: lower case, without accents and marks."""
    bare = unicodedata.normalize("NFD", word).encode("ascii", "ignore").decode()
    return "".join(character for character in bare.lower() if character.isalnum())


def moment(milliseconds: int) -> datetime:
    """An instant given in milliseconds since 1970, as a datetime in UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def day(number: int) -> date:
    """A date given in days since 1970."""
    return _EPOCH_DAY + timedelta(days=number)


def customer(dice: Dice, customer_id: int, rank: int, trans_id: int, updated_ms: int, first_ms: int) -> Row:
    """The clean row of one customer; `first_ms` is after it was registered."""
    company = dice.chance(120)
    surname = dice.pick(words.SURNAMES)
    if company:
        head = f"{dice.pick(words.TRADES)} {surname}"
        name = f"{head} {dice.pick(words.COMPANY_ENDINGS)}"
        trade_name: str | None = head if dice.chance(800) else None
        gender: str | None = "U" if dice.chance(300) else None
        mail_user = ascii_word(head)
    else:
        female = dice.chance(560)
        first = dice.pick(words.FEMALE if female else words.MALE)
        middle = dice.pick(words.SURNAMES)
        link = dice.pick(("", "", "da ", "dos ", "de "))
        name = f"{first} {middle} {link}{surname}"
        trade_name = None
        gender = ("F" if female else "M") if dice.chance(800) else dice.pick((None, "U"))
        mail_user = f"{ascii_word(first)}.{ascii_word(surname)}"
    if dice.chance(650):
        name = name.upper()
    cpf, cpf_valid = _cpf(dice) if not company else (None, None)
    cnpj, cnpj_valid = _cnpj(dice) if company else (None, None)
    city = dice.pick(words.CITIES)
    registered = first_ms // 86_400_000 - dice.below(2500)
    return {
        "customer_id": customer_id,
        "customer_code": f"C{rank:07d}" if rank % 3 else f"{rank:08d}",
        "name": name,
        "trade_name": trade_name,
        "person_type": "PJ" if company else "PF",
        "cpf": cpf,
        "cpf_valid": cpf_valid,
        "cnpj": cnpj,
        "cnpj_valid": cnpj_valid,
        "rg": f"{dice.below(10**9):09d}" if not company and dice.chance(500) else None,
        "state_registration": _state_registration(dice) if company else None,
        "email": f"{mail_user}{dice.below(9000)}@{dice.pick(words.MAIL_HOSTS)}" if dice.chance(880) else None,
        "mobile": _mobile(dice, city.ddd),
        "birth_date": day(dice.below(23_000) - 10_500) if not company and dice.chance(750) else None,
        "registered_on": day(registered) if dice.chance(970) else None,
        "source_updated_at": moment(updated_ms),
        "gender": gender,
        "accepts_newsletter": dice.pick((True, False, True, None)),
        "accepts_sms": dice.pick((True, False, False, None)),
        "accepts_mail": dice.pick((None, None, True, False)),
        "external_id": f"ext-{dice.below(10**9):x}" if dice.chance(200) else None,
        "notes": dice.pick(words.NOTES) if dice.chance(80) else None,
        "trans_id": trans_id,
    }


def addresses(dice: Dice, customer_id: int) -> list[Row]:
    """The clean rows of a customer's addresses, in the order of their ids."""
    count = (0, 1, 1, 1, 1, 1, 1, 2, 2, 3)[dice.below(10)]
    return [_address(dice, customer_id, number) for number in range(1, count + 1)]


def _address(dice: Dice, customer_id: int, address_id: int) -> Row:
    city = dice.pick(words.CITIES)
    abroad = dice.chance(5)
    postal_code = None
    street = dice.pick(words.STREETS)
    upper = dice.chance(600)
    cep = city.cep_from + dice.below(city.cep_to - city.cep_from + 1)
    if not abroad and not dice.chance(20):
        postal_code = f"{cep:05d}{dice.below(1000):03d}"
        if dice.chance(25):
            # What is typed where a postal code is asked for and not known, or with its zero lost.
            postal_code = "00000000" if dice.below(2) else postal_code[1:]
    state: str | None = "EX" if abroad else city.state
    state_valid: bool | None = True
    if not abroad and dice.chance(20):
        state, state_valid = dice.pick((("XX", False), ("S", False), (None, None)))
    return {
        "customer_id": customer_id,
        "address_id": address_id,
        "street": street.upper() if upper else street,
        "number": _house_number(dice),
        "complement": dice.pick(words.COMPLEMENTS) if dice.chance(350) else None,
        "district": dice.pick(words.DISTRICTS) if dice.chance(950) else None,
        "city": city.name.upper() if upper else city.name,
        "city_ibge_code": city.ibge if not abroad and dice.chance(850) else None,
        "state": state,
        "state_valid": state_valid,
        "postal_code": postal_code,
        "postal_code_valid": None
        if postal_code is None
        else len(postal_code) == 8 and postal_code != "00000000",
        "phone": _landline(dice, city.ddd),
        "country": "Uruguai" if abroad else dice.pick(("BRASIL", "Brasil", None)),
    }


def contacts(dice: Dice, customer_id: int) -> list[Row]:
    """The clean rows of a customer's contacts, in their order; their place in it is their key."""
    count = (0, 0, 0, 0, 0, 0, 1, 1, 2, 3)[dice.below(10)]
    return [_contact(dice, customer_id, position) for position in range(1, count + 1)]


def _contact(dice: Dice, customer_id: int, position: int) -> Row:
    first, surname = dice.pick(words.FEMALE), dice.pick(words.SURNAMES)
    cpf, cpf_valid = _cpf(dice) if dice.chance(400) else (None, None)
    mail = f"{ascii_word(first)}.{ascii_word(surname)}{dice.below(900)}@{dice.pick(words.MAIL_HOSTS)}"
    return {
        "customer_id": customer_id,
        "position": position,
        "contact_id": 40_000 + dice.below(10**6) if dice.chance(850) else None,
        "name": f"{first} {surname}",
        "role": dice.pick(words.ROLES),
        "department": dice.pick(words.OFFICES),
        "cpf": cpf,
        "cpf_valid": cpf_valid,
        "email": mail if dice.chance(700) else None,
        "mobile": _mobile(dice, dice.pick(words.CITIES).ddd),
        "birth_date": day(dice.below(18_000) - 7_000) if dice.chance(300) else None,
    }


def _cpf(dice: Dice) -> tuple[str | None, bool | None]:
    if dice.chance(60):
        return None, None
    digits = cpf_of(dice.below(999_999_998) + 1)
    if not dice.chance(30):
        # Nine equal digits give a document of eleven equal ones, which is nobody's.
        return digits, len(set(digits)) > 1
    # What people type to get past a form: a wrong digit, or one digit repeated.
    return (with_wrong_check_digit(digits) if dice.chance(700) else str(dice.below(10)) * 11), False


def _cnpj(dice: Dice) -> tuple[str | None, bool | None]:
    if dice.chance(40):
        return None, None
    digits = cnpj_of((dice.below(99_999_998) + 1) * 10_000 + 1 + dice.below(3))
    return (with_wrong_check_digit(digits), False) if dice.chance(30) else (digits, True)


def _state_registration(dice: Dice) -> str | None:
    return dice.pick(("ISENTO", f"{dice.below(10**12):012d}", f"{dice.below(10**9):09d}", None))


def _mobile(dice: Dice, ddd: str) -> str | None:
    kind = dice.below(100)
    if kind < 12:
        return None
    if kind < 90:
        return f"+55{ddd}9{dice.below(10**8):08d}"
    if kind < 97:
        return f"+55{ddd}{2 + dice.below(4)}{dice.below(10**7):07d}"
    # No area code was ever kept: it cannot become an international number.
    return f"9{dice.below(10**8):08d}"


def _landline(dice: Dice, ddd: str) -> str | None:
    kind = dice.below(100)
    if kind < 45:
        return None
    number = f"{2 + dice.below(4)}{dice.below(10**7):07d}"
    return number if kind < 50 else f"+55{ddd}{number}"


def _house_number(dice: Dice) -> str | None:
    kind = dice.below(100)
    if kind < 85:
        return str(1 + dice.below(4999))
    return dice.pick(("S/N", f"{1 + dice.below(900)}A", "0", f"0{1 + dice.below(90)}", None))
