"""From an answer's bytes to rows, or to `erp_garbage`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamsync.erp.millennium.decode import records_of
from streamsync.errors import PermanentError, SyncError, TransientError

_ROW = b'{"cliente":1,"nome":"A"}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"odata.count":1,"value":[%s]}',
        b'{"ODATA.COUNT":1,"VALUE":[%s]}',
        b'{"values":[%s]}',
        b'{"data":[%s]}',
        b"[%s]",
        b' \r\n{"value":[%s]}\n',
        b'{"odata.count":900,"value":[%s]}',
    ],
)
def test_every_known_envelope(body: bytes) -> None:
    """Rows come in several wrappers, and `odata.count` is never believed."""
    assert records_of(body % _ROW) == [{"cliente": 1, "nome": "A"}]


def test_rows_in_a_string() -> None:
    """A customer module answers with JSON inside a JSON string."""
    assert records_of(orjson.dumps({"value": f"[{_ROW.decode()}]"})) == [{"cliente": 1, "nome": "A"}]


@pytest.mark.parametrize("body", [b"", b"  \n", b"{}", b"[]", b'{"value":[]}', b'{"value":null}', b"null"])
def test_nothing_is_nothing(body: bytes) -> None:
    """An empty body, an empty object and an empty list all say that there are no rows."""
    assert records_of(body) == []


def test_keys_are_lower_case_at_every_depth() -> None:
    """`X-IdentifierCase: upper` servers are read like all others, their nested records too."""
    body = b'{"VALUE":[{"CLIENTE":1,"ENDERECOS":[{"CEP":"0"}]}]}'
    assert records_of(body) == [{"cliente": 1, "enderecos": [{"cep": "0"}]}]


def test_one_key_in_capitals_is_enough() -> None:
    """Rows of one answer may be written differently, and so may what is nested in them; the last of twins counts."""
    body = (
        b'{"value":[{"a":1},{"a":2,"l":[[{"x":1}],[{"Cep":"0"}]]},{"Nome":"A","NOME":"B","N":"1","N":"2"}]}'
    )
    assert records_of(body) == [
        {"a": 1},
        {"a": 2, "l": [[{"x": 1}], [{"cep": "0"}]]},
        {"nome": "B", "n": "2"},
    ]


def test_a_single_record_may_stand_without_its_list() -> None:
    """As an object in the place of the list, also inside a string."""
    assert records_of(b'{"value":%s}' % _ROW) == [{"cliente": 1, "nome": "A"}]
    assert records_of(orjson.dumps({"value": _ROW.decode() + " "})) == [{"cliente": 1, "nome": "A"}]


@pytest.mark.parametrize(
    "body",
    [b'<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"/>', b"\xef\xbb\xbf\n <feed>", b"<a/>"],
)
def test_xml_is_told_as_such_at_once(body: bytes) -> None:
    """JSON was asked for in both ways that there are: another try would get XML again."""
    with pytest.raises(PermanentError) as caught:
        records_of(body)
    assert caught.value.error_class == "erp_not_json"
    assert "$format=json" in str(caught.value)


@pytest.mark.parametrize(
    ("written", "exactly"),
    [
        ("123456789012.345678", Decimal("123456789012.345678")),
        ("-0.12345678901234567890", Decimal("-0.12345678901234567890")),
        ("12345678901234567e2", Decimal("1234567890123456700")),
        ("18446744073709551616", 18446744073709551616),
        ("9223372036854775807", 2**63 - 1),
        ("123456789.12", 123456789.12),
        ("0.1", 0.1),
        ("1e400", Decimal("1e400")),
        ("1" * 400, Decimal("1" * 400)),
    ],
)
def test_numbers_arrive_digit_by_digit(written: str, exactly: object) -> None:
    """What a binary float cannot hold comes as Decimal, what it can as the float whose text it is."""
    for body in (f'{{"value":[{{"n":{written}}}]}}', f'{{"value":[{{"n": [ {written} ]}}]}}'):
        (row,) = records_of(body.encode())
        assert row["n"] in (exactly, [exactly])


@given(st.decimals(allow_nan=False, allow_infinity=False) | st.integers() | st.integers(-(2**80), 2**80))
@example(-(2**63) - 1)
@example(2**64)
def test_any_number_arrives_digit_by_digit(number: Decimal | int) -> None:
    """In any notation that JSON has."""
    (row,) = records_of(f'{{"value":[{{"n":{number}}}]}}'.encode())
    arrived = row["n"]
    assert Decimal(str(arrived) if isinstance(arrived, float) else arrived) == number


@pytest.mark.parametrize(
    "written", ["NaN", "-Infinity", "1e99999999999999999999", "-1e-99999999999999999999"]
)
def test_numbers_that_are_none_are_their_fields_fault(written: str) -> None:
    """They stop no page: the field that holds one is judged by its rule."""
    assert records_of(f'{{"value":[{{"cliente":1,"n":{written}}}]}}'.encode())[0]["cliente"] == 1


def test_one_text_in_another_encoding_spoils_no_other() -> None:
    """A text in Windows-1252 among many in UTF-8, and a letter that a column's length cut in two."""
    body = '{"value":[{"a":"JOÃO É AÇÃO"},{"a":"'.encode() + "JOSÉ".encode("cp1252") + b'"},{"a":"A\xc3"}]}'
    assert records_of(body) == [{"a": "JOÃO É AÇÃO"}, {"a": "JOSÉ"}, {"a": "AÃ"}]


def test_half_an_emoji_does_not_make_an_answer_windows_1252() -> None:
    """It may even be written as if it were a letter of UTF-8."""
    body = '{"value":[{"a":"obrigada \ud83d\ud83d"},{"a":"JOSÉ"}]}'.encode("utf-8", "surrogatepass")
    assert records_of(body) == [{"a": "obrigada ??"}, {"a": "JOSÉ"}]


def test_letters_of_windows_1252_may_look_like_utf_8() -> None:
    """A soft hyphen behind Ã is the two bytes of í; the rest of the answer says which is meant."""
    body = '{"value":[{"a":"LEÃ\u00adO CORRÊA DE ASSUNÇÃO"}]}'.encode("cp1252")
    assert records_of(body) == [{"a": "LEÃ\u00adO CORRÊA DE ASSUNÇÃO"}]


def test_raw_control_characters_in_strings() -> None:
    """Line ends and tabs that stand unescaped in a string are read as they are."""
    assert records_of(b'{"value":[{"obs":"a\nb\tc\x01"}]}') == [{"obs": "a\nb\tc\x01"}]


def test_bytes_that_are_not_utf_8_are_windows_1252() -> None:
    """A server in Latin-1 is understood."""
    assert records_of('{"value":[{"nome":"JOSÉ – AÇÚCAR"}]}'.encode("cp1252")) == [{"nome": "JOSÉ – AÇÚCAR"}]


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>login</body></html>",
        b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "x"><html xmlns="y"/>',
        b'<?xml version="1.0"?><m:error><m:code/></m:error>',
        b"Service unavailable",
        b'{"value":[{"cliente":1},{"cli',
        b'{"value":[',
        b'{"value":[1,2]}',
        b'{"value":["a"]}',
        b'{"value":[{"a":1},null]}',
        b'{"value":7}',
        b'{"value":{}}',
        b'{"value":[],"error":{"code":500,"message":"x"}}',
        b'{"value":""}',
        b'{"odata.count":0}',
        b'{"value":"not json"}',
        b'{"value":"7"}',
        b'{"error":{"code":500,"message":"x"}}',
        b"7",
        b'"text"',
        b"true",
        b"\xff\xfe\x00",
        b"\x1f\x8b\x08",
        b"[" * 5000,
        b"[" * 2000 + b"]" * 2000,
        b'{"value":[{"A":' + b"[" * 1500 + b"]" * 1500 + b"}]}",
        b'{"value":[{"N":' + b"9" * 5000 + b",\n\x01}]}",
    ],
)
def test_what_is_not_rows_is_garbage(body: bytes) -> None:
    """HTML, XML, cut JSON, other shapes, absurd depth: never "no rows", and never quoted."""
    with pytest.raises(TransientError) as caught:
        records_of(body)
    assert caught.value.error_class == "erp_garbage"
    assert "cliente" not in str(caught.value)


@given(
    st.binary(max_size=200) | st.binary(max_size=100).map(lambda inner: b'{"value":[{"a":"' + inner + b'"}]}')
)
def test_any_bytes_are_rows_or_garbage(body: bytes) -> None:
    """No answer, however broken, ends in another error."""
    rows: list[dict[str, Any]] | str
    try:
        rows = records_of(body)
    except SyncError as error:
        rows = error.error_class
    assert rows in ("erp_garbage", "erp_not_json") or all(isinstance(row, dict) for row in rows)


@given(st.integers(1, 60))
def test_a_cut_answer_is_never_fewer_rows(length: int) -> None:
    """Wherever an answer is cut, it is garbage; half a page never counts as a page."""
    body = b'{"odata.count":2,"value":[{"cliente":1},{"cliente":2}]}'
    with pytest.raises(TransientError):
        records_of(body[: min(length, len(body) - 1)])
