"""Rules for texts, documents, addresses and telephones."""

from __future__ import annotations

import pytest

from streamsync.entity import FieldRejected
from streamsync.erp import values as v


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (None, None),
        ("", None),
        ("  \t\n ", None),
        (" CAMISA  FICTICIA ", "CAMISA FICTICIA"),
        ("MARCA\u00adTESTE", "MARCATESTE"),
        ("linha 1\r\nlinha 2", "linha 1 linha 2"),
        ("a\x00b\x07c\x9fd", "abcd"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("Jose\u0301", "José"),
        ("Jos\u00a0e", "Jos e"),
        ("0007", "0007"),
        (7, "7"),
        (180.0, "180"),
        (329.9, "329.9"),
        (1e21, "1000000000000000000000"),
        (12345678901234567890123456789, "12345678901234567890123456789"),
        (0, "0"),
        (-3, "-3"),
    ],
)
def test_text_is_trimmed_composed_and_printable(raw: object, clean: str | None) -> None:
    """Blank is absent; runs of white space are one blank; control and format characters go; numbers are text."""
    assert v.text(raw) == clean


def test_half_an_emoji_is_dropped_and_the_text_stays() -> None:
    """A surrogate without its partner (an emoji cut by a column's length) cannot be stored; the rest can."""
    assert v.text("obrigado \ud83d") == "obrigado"
    assert v.text("\udc00") is None


def test_an_accent_behind_a_soft_hyphen_is_composed_too() -> None:
    """What stands between a letter and its accent is taken out before the two are joined."""
    assert v.text("Jose\u00ad\u0301") == "José"


@pytest.mark.parametrize("raw", [True, [], {}, ["a"], {"a": 1}, float("nan"), float("inf"), -float("inf")])
def test_what_is_not_text_is_rejected(raw: object) -> None:
    """Truth values, lists, objects and numbers that are none are no texts."""
    with pytest.raises(FieldRejected):
        v.text(raw)


def test_a_number_of_absurd_length_is_rejected() -> None:
    """An integer that Python itself refuses to print is a rejected field, not an error of ours."""
    for rule in (v.text, v.integer, v.decimal, v.boolean, v.digits, v.upper, v.email):
        with pytest.raises(FieldRejected):
            rule(10**5000)


def test_a_key_has_room_in_an_index() -> None:
    """One record's absurd key is that record's fault; it must not stop the page at PostgreSQL's limit."""
    assert v.key(" 70001_12_0_M ") == "70001_12_0_M"
    assert v.key("ü" * 510) == "ü" * 510
    with pytest.raises(FieldRejected):
        v.key("x" * 511)


@pytest.mark.parametrize(("raw", "clean"), [(" sp ", "SP"), ("pf", "PF"), (None, None), ("", None)])
def test_codes_are_in_capitals(raw: object, clean: str | None) -> None:
    """`upper` is text in capitals."""
    assert v.upper(raw) == clean


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("000.111.222-33", "00011122233"),
        ("01234-567", "01234567"),
        (1234567, "1234567"),
        ("sem", None),
        ("  ", None),
        (None, None),
        ("\u0663\u0664 5", "5"),
    ],
)
def test_documents_keep_ascii_digits_only(raw: object, clean: str | None) -> None:
    """Documents and postal codes are kept as digits 0 to 9, leading zeros included."""
    assert v.digits(raw) == clean


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Pessoa.Teste@Example.INVALID", "pessoa.teste@example.invalid"),
        (" a@b.c ", "a@b.c"),
        ("a @ b.c", "a@b.c"),
        ("<A@b.c>; ", "a@b.c"),
        ("mailto:a@b.c", "a@b.c"),
        ("", None),
        (None, None),
    ],
)
def test_addresses_are_lower_case(raw: object, clean: str | None) -> None:
    """E-mail addresses lose blanks and capitals."""
    assert v.email(raw) == clean


@pytest.mark.parametrize("raw", ["nao tem", "a@b", "@b.c", "a@@b.c", "a@b.", "a@b.c;d@e.f", 5, True])
def test_what_is_no_address_is_rejected(raw: object) -> None:
    """Something in an address's place that is none is told, not kept."""
    with pytest.raises(FieldRejected):
        v.email(raw)


@pytest.mark.parametrize(
    ("area", "number", "clean"),
    [
        ("011", "98765-4321", "+5511987654321"),
        ("11", "3456-7890", "+551134567890"),
        (None, "(011) 3456-7890", "+551134567890"),
        ("", "", None),
        ("011", None, None),
        (None, "190", "190"),
        (11, 987654321, "+5511987654321"),
        (None, "+55 (11) 98765-4321", "+5511987654321"),
        (None, "+55 (011) 3456-7890", "+551134567890"),
        ("11", "5511987654321", "+5511987654321"),
        ("55", "3221-1234", "+555532211234"),
        ("11", "(11) 98765-4321", "+5511987654321"),
        (None, "+1 (415) 555-2671", "+14155552671"),
        ("11", "+598 2 901 2345", "+59829012345"),
        (None, "+123", "123"),
        (None, "98765-4321", "987654321"),
        (None, "0800 123 4567", "+558001234567"),
    ],
)
def test_telephones_are_e164_where_they_are_brazilian(
    area: object, number: object, clean: str | None
) -> None:
    """Area code and number, together or apart; what is no Brazilian number stays digits."""
    assert v.phone(area, number) == clean
