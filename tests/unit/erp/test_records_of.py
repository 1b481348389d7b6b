"""From an answer's bytes to rows, or to `erp_garbage`."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsync.erp.millennium.decode import records_of
from streamsync.errors import TransientError

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
        b'<?xml version="1.0"?><feed/>',
        b"Service unavailable",
        b'{"value":[{"cliente":1},{"cli',
        b'{"value":[',
        b'{"value":[1,2]}',
        b'{"value":["a"]}',
        b'{"value":[{"a":1},null]}',
        b'{"value":7}',
        b'{"value":{"cliente":1}}',
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
    except TransientError as error:
        rows = error.error_class
    assert rows == "erp_garbage" or all(isinstance(row, dict) for row in rows)


@given(st.integers(1, 60))
def test_a_cut_answer_is_never_fewer_rows(length: int) -> None:
    """Wherever an answer is cut, it is garbage; half a page never counts as a page."""
    body = b'{"odata.count":2,"value":[{"cliente":1},{"cliente":2}]}'
    with pytest.raises(TransientError):
        records_of(body[: min(length, len(body) - 1)])
