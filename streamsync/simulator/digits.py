"""Check digits of Brazilian documents and of bar codes, written for the generator.

Deliberately not shared with the cleaner: two implementations that agree are a test, one used twice is not.
"""

from __future__ import annotations

from collections.abc import Iterable


def _modulo_11(digits: Iterable[int], weights: Iterable[int]) -> int:
    rest = sum(digit * weight for digit, weight in zip(digits, weights, strict=True)) % 11
    return 0 if rest < 2 else 11 - rest


def cpf_of(base: int) -> str:
    """The valid CPF (11 digits) whose first nine digits are `base`."""
    digits = [int(character) for character in f"{base:09d}"]
    digits.append(_modulo_11(digits, range(10, 1, -1)))
    digits.append(_modulo_11(digits, range(11, 1, -1)))
    return "".join(map(str, digits))


def cnpj_of(base: int) -> str:
    """The valid CNPJ (14 digits) whose first twelve digits are `base`."""
    digits = [int(character) for character in f"{base:012d}"]
    weights = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
    digits.append(_modulo_11(digits, weights[1:]))
    digits.append(_modulo_11(digits, weights))
    return "".join(map(str, digits))


def ean13_of(base: int) -> str:
    """The valid EAN-13 whose first twelve digits are `base`."""
    digits = [int(character) for character in f"{base:012d}"]
    total = sum(digits[0::2]) + 3 * sum(digits[1::2])
    return f"{base:012d}{-total % 10}"


def is_ean13(code: str) -> bool:
    """Whether a code is thirteen digits of which the last is the right one."""
    return len(code) == 13 and code.isascii() and code.isdigit() and ean13_of(int(code[:12])) == code


def with_wrong_check_digit(document: str) -> str:
    """The same digits with the last one changed, so that the check fails."""
    return document[:-1] + str((int(document[-1]) + 1) % 10)


def punctuated_cpf(digits: str) -> str:
    """`12345678909` as `123.456.789-09`; anything that is not 11 digits is left alone."""
    if len(digits) != 11:
        return digits
    return f"{digits[:3]}.{digits[3:6]}.{digits[6:9]}-{digits[9:]}"


def punctuated_cnpj(digits: str) -> str:
    """`11222333000181` as `11.222.333/0001-81`; anything that is not 14 digits is left alone."""
    if len(digits) != 14:
        return digits
    return f"{digits[:2]}.{digits[2:5]}.{digits[5:8]}/{digits[8:12]}-{digits[12:]}"
