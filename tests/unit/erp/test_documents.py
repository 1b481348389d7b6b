"""Documents, barcodes and places: what is right, what is flagged, what is absent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsync.erp import documents as d
from streamsync.erp import values as v

_CNPJ_BASES = st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=12, max_size=12)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("12.ABC.345/01DE-35", "12ABC34501DE35"),
        ("12abc34501de35 ", "12ABC34501DE35"),
        ("11.222.333/0001-81", "11222333000181"),
        ("CNPJ: 11.222.333/0001-81", "11222333000181"),
        ("ISENTO", None),
        ("12ABC34501DEAB", "1234501"),
        (11222333000181, "11222333000181"),
        ("", None),
        (None, None),
    ],
)
def test_a_cnpj_keeps_its_letters_and_nothing_else(raw: object, clean: str | None) -> None:
    """Letters count in the first twelve places of fourteen; elsewhere they are words around the digits."""
    assert v.cnpj(raw) == clean


def test_alphanumeric_cnpjs() -> None:
    """The example that the Receita Federal publishes, and two of its places changed."""
    assert d.cnpj_valid("12.ABC.345/01DE-35") is True
    assert d.cnpj_valid("12.ABC.345/01DE-36") is False
    assert d.cnpj_valid("12.ABD.345/01DE-35") is False


@given(_CNPJ_BASES)
def test_of_the_check_digits_of_any_cnpj_one_pair_is_right(base: str) -> None:
    """Of the hundred pairs of check digits, unless all places are equal."""
    right = [pair for pair in range(100) if d.cnpj_valid(f"{base}{pair:02d}")]
    assert len(right) == 1 or (not right and len(set(base)) == 1)


@given(st.text("0123456789", min_size=12, max_size=12))
def test_of_the_check_digits_of_any_ean13_one_is_right(base: str) -> None:
    """Of ten, unless the code is nothing but zeros, which is a filler."""
    right = [digit for digit in range(10) if d.ean13_valid(f"{base}{digit}")]
    assert len(right) == (0 if base == "0" * 12 else 1)


@pytest.mark.parametrize("code", ["96385074", "036000291452", "10012345678902", "0" * 13, "٤006381333931"])
def test_other_codes_are_no_ean13(code: str) -> None:
    """EAN-8, UPC-A and GTIN-14 with right check digits, zeros, digits of another script."""
    assert d.ean13_valid(code) is False


@pytest.mark.parametrize(
    ("raw", "valid"),
    [
        ("SP", True),
        (" df", True),
        ("EX", True),
        ("XX", False),
        ("São Paulo", False),
        ("", None),
        (None, None),
    ],
)
def test_states(raw: object, valid: bool | None) -> None:
    """The 27 and EX, in any case; anything else is flagged."""
    assert d.state_valid(raw) is valid


def test_there_are_27_states() -> None:
    """26, the federal district, and abroad."""
    assert len(d.STATES) == 28


def test_of_two_names_of_a_field_the_first_that_is_there_counts() -> None:
    """`uf`, else `estado`."""
    assert d.first_upper(" ", "rj") == "RJ"
    assert d.first_upper("sp", "rj") == "SP"
    assert d.first_upper(None, "") is None
    assert d.state_valid(None, "rj") is True


@pytest.mark.parametrize(
    ("raw", "valid"),
    [
        ("01000-000", True),
        (1310100, False),
        ("00000-000", False),
        ("123", False),
        ("sem", None),
        (None, None),
    ],
)
def test_postal_codes(raw: object, valid: bool | None) -> None:
    """Eight digits, not all zero; a number that lost its leading zero is flagged."""
    assert d.postal_code_valid(raw) is valid
