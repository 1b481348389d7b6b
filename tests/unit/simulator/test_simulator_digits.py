"""Check digits, against documents whose digits are published as examples."""

from __future__ import annotations

import pytest

from streamsync.simulator import digits
from tests.unit.simulator import undirt_values as undirt


def test_cpf_has_the_published_check_digits() -> None:
    assert digits.cpf_of(123456789) == "12345678909"
    assert digits.cpf_of(529982247) == "52998224725"
    assert digits.cpf_of(1) == "00000000191"


def test_cnpj_has_the_published_check_digits() -> None:
    assert digits.cnpj_of(112223330001) == "11222333000181"
    assert digits.cnpj_of(1) == "00000000000191"


def test_ean13_has_the_published_check_digit() -> None:
    assert digits.ean13_of(400638133393) == "4006381333931"
    assert digits.ean13_of(789100010010) == "7891000100103"


def test_punctuation_is_the_usual_one() -> None:
    assert digits.punctuated_cpf("12345678909") == "123.456.789-09"
    assert digits.punctuated_cnpj("11222333000181") == "11.222.333/0001-81"
    assert digits.punctuated_cpf("123") == "123"


@pytest.mark.parametrize("base", [0, 1, 99, 123456789, 999999998])
def test_a_changed_last_digit_is_wrong(base: int) -> None:
    assert undirt.valid_cpf(digits.with_wrong_check_digit(digits.cpf_of(base))) is False
    assert undirt.valid_cnpj(digits.with_wrong_check_digit(digits.cnpj_of(base))) is False
    assert undirt.valid_ean13(digits.with_wrong_check_digit(digits.ean13_of(base))) is False
