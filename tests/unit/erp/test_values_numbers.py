"""Rules for numbers, truth values and check digits."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsync.entity import FieldRejected
from streamsync.erp import documents as d
from streamsync.erp import values as v


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        (0, 0),
        (7.0, 7),
        ("42", 42),
        (" -9 ", -9),
        ("1e3", 1000),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (Decimal("5.00"), 5),
    ],
)
def test_whole_numbers(raw: object, clean: int | None) -> None:
    """Integers of 64 bits, also as whole floats and as text."""
    assert v.integer(raw) == clean


@pytest.mark.parametrize(
    "raw",
    [
        2**63, -(2**63) - 1, 2**64 - 1, 1.5, "1,5", "SEM CODIGO", True, [], {}, "NaN", "Infinity", float("nan"),
        float("inf"), 1e300, "1e999999999", "1E+9999999999999999999", "0x10", "70001_12", "\x001",
    ],
)  # fmt: skip
def test_what_is_no_whole_number_is_rejected(raw: object) -> None:
    """Out of 64 bits, fractions, decimal commas, words, truth values, and codes joined by underscores."""
    with pytest.raises(FieldRejected):
        v.integer(raw)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (None, None),
        ("", None),
        (180, Decimal(180)),
        (329.9, Decimal("329.9")),
        ("12.50", Decimal("12.50")),
        (0.1, Decimal("0.1")),
        (-0.0, Decimal(0)),
    ],
)
def test_decimals_are_exact(raw: object, clean: Decimal | None) -> None:
    """329.9 is 329.9 and not the nearest binary fraction."""
    assert v.decimal(raw) == clean


@pytest.mark.parametrize(
    "raw",
    [
        "12,50", "leve", "1 000", "1_000", "NaN", "sNaN", "-Infinity", float("inf"), 1e31, 1e-300, "1e-31",
        "1e-99999999999", False, [1], "0." + "1" * 20_000, "1" * 20_000, "0e99999",
    ],
)  # fmt: skip
def test_what_postgresql_could_not_hold_or_nobody_meant_is_rejected(raw: object) -> None:
    """Commas, words, not-a-number, exponents without end, and more digits than a numeric takes."""
    with pytest.raises(FieldRejected):
        v.decimal(raw)


@pytest.mark.parametrize("raw", [True, "T", "t", "1", 1, 1.0, "S", "true", "TRUE ", "y"])
def test_yes_in_every_dialect(raw: object) -> None:
    """true, "T", "1", S."""
    assert v.boolean(raw) is True


@pytest.mark.parametrize("raw", [False, "F", "0", 0, 0.0, "N", "n", "false"])
def test_no_in_every_dialect(raw: object) -> None:
    """false, "F", "0", N."""
    assert v.boolean(raw) is False


@pytest.mark.parametrize("raw", [None, "", "   "])
def test_neither_yes_nor_no(raw: object) -> None:
    """Null and blank are absent, never "no"."""
    assert v.boolean(raw) is None


@pytest.mark.parametrize("raw", ["talvez", "2", 2, -1, 0.5, float("nan"), [], {}, Decimal("sNaN")])
def test_what_is_no_truth_value_is_rejected(raw: object) -> None:
    """Anything else is told, not guessed."""
    with pytest.raises(FieldRejected):
        v.boolean(raw)


@pytest.mark.parametrize("document", ["52998224725", "11144477735", "00000000191"])
def test_right_cpfs(document: str) -> None:
    """Published examples whose check digits are right."""
    assert d.cpf_valid(document) is True


@pytest.mark.parametrize("document", ["52998224724", "11111111111", "00000000000", "5299822472"])
def test_wrong_cpfs(document: str) -> None:
    """A wrong digit, eleven equal digits, a wrong length."""
    assert d.cpf_valid(document) is False


def test_cnpjs() -> None:
    """Published examples, a wrong digit, equal digits, a wrong length, none."""
    assert d.cnpj_valid("11222333000181") is True
    assert d.cnpj_valid("00000000000191") is True
    assert d.cnpj_valid("11222333000180") is False
    assert d.cnpj_valid("00000000000000") is False
    assert d.cnpj_valid("1122233300018") is False
    assert d.cnpj_valid(None) is None
    assert d.cpf_valid(None) is None


def test_ean13s() -> None:
    """Published examples, a wrong digit, an internal code of the same length, none."""
    assert d.ean13_valid("4006381333931") is True
    assert d.ean13_valid("0000000000017") is True
    assert d.ean13_valid("4006381333932") is False
    assert d.ean13_valid("40063813339A1") is False
    assert d.ean13_valid("400638133393") is False
    assert d.ean13_valid(None) is None


@given(st.text("0123456789", min_size=9, max_size=9), st.integers(0, 10), st.integers(1, 9))
def test_any_single_wrong_digit_of_a_cpf_is_noticed(base: str, position: int, change: int) -> None:
    """Of the 100 pairs of check digits one is right, and no digit of it can change alone, but for 10 ≡ 0.

    A check digit stands for its remainder, and 10 is written 0: only there may two digits be exchanged.
    """
    right = [f"{base}{pair:02d}" for pair in range(100) if d.cpf_valid(f"{base}{pair:02d}")]
    if len(set(base)) == 1 and not right:
        return
    assert len(right) == 1
    document = right[0]
    if "0" in document[9:]:
        return
    digit = (int(document[position]) + change) % 10
    other = document[:position] + str(digit) + document[position + 1 :]
    if position >= 9:
        assert d.cpf_valid(other) is False
