"""What an answer other than 200 means, by status and by text."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsync.erp.millennium.decode import error_of
from streamsync.errors import Deferred, PermanentError, SyncError, TransientError


def _body(message: str) -> bytes:
    return orjson.dumps({"error": {"code": 1, "message": {"lang": "pt-BR", "value": message}}})


def _error(status: int, body: bytes, retry_after: float | None = None) -> SyncError:
    return error_of(status, body, "erp.example.invalid", retry_after)


@pytest.mark.parametrize(
    ("status", "message", "kind", "error_class"),
    [
        (401, "PERMISSÃO NEGADA", PermanentError, "erp_wrong_password"),
        (401, "Senha inválida para o usuário", PermanentError, "erp_wrong_password"),
        (401, "Usuário ultrapassado o máximo de sessões", Deferred, "erp_too_many_sessions"),
        (401, "", TransientError, "erp_unauthorized"),
        (
            400,
            "Parameter cor_x not found in millenium_eco.produtos.precodetabela",
            PermanentError,
            "erp_unknown_parameter",
        ),
        (400, "Error in macro #SELECT\r\rSQLC LAYER", TransientError, "erp_bad_request"),
        (403, "", PermanentError, "erp_forbidden"),
        (404, "Object not found", PermanentError, "erp_not_found"),
        (301, "", PermanentError, "erp_redirect"),
        (302, "", PermanentError, "erp_redirect"),
        (429, "Limite de requisições", TransientError, "erp_throttled"),
        (429, "Sem licença", Deferred, "erp_no_licence"),
        (500, "Não há licença disponível", Deferred, "erp_no_licence"),
        (503, "LICENCA em uso", Deferred, "erp_no_licence"),
        (500, "deadlock", TransientError, "erp_server_error"),
        (502, "", TransientError, "erp_server_error"),
        (503, "", TransientError, "erp_server_error"),
    ],
)
def test_status_and_text_together(status: int, message: str, kind: type[SyncError], error_class: str) -> None:
    """A wrong password must not be tried again, a busy server waited for; the status alone does not tell."""
    error = _error(status, _body(message))
    assert type(error) is kind
    assert error.error_class == error_class
    assert error.http_status == status


@pytest.mark.parametrize(
    "body",
    [
        "PERMISSÃO NEGADA".encode(),
        "PERMISSÃO NEGADA".encode("cp1252"),
        b'{"error":{"message":"PERMISS\\u00c3O NEGADA"}}',
        b"PERMISSAO NEGADA",
    ],
)
def test_a_refused_password_is_known_in_every_spelling(body: bytes) -> None:
    """UTF-8, Windows-1252, escaped, without accent, and where the part that is read ends within a letter."""
    assert _error(401, body).error_class == "erp_wrong_password"
    for padding in range(3):  # the part that is read ends before, within and after a letter of two bytes
        long = body.ljust(3990 + padding, b".") + "çççççççççç".encode()
        assert _error(401, long).error_class == "erp_wrong_password"


def test_the_unknown_parameter_is_named() -> None:
    """The operator learns which parameter this server does not know."""
    body = _body("Parameter LISTA_PRECO not found in millenium_eco.produtos.listavitrine")
    error = error_of(400, body, "erp.example.invalid", None, ["vitrine", "lista_preco"])
    assert error.error_class == "erp_unknown_parameter"
    assert "lista_preco" in str(error)


def test_a_parameter_that_was_not_sent_is_not_quoted() -> None:
    """What looks like a name may be somebody's number."""
    assert "39053344705" not in str(_error(400, _body("Parameter 39053344705 not found in clientes")))


def test_texts_of_the_erp_are_not_quoted() -> None:
    """Error texts may name people; none of ours repeats them."""
    for status in (400, 401, 403, 404, 429, 500, 503):
        assert "MARIA" not in str(_error(status, _body("usuário MARIA DA SILVA, licença, cliente MARIA")))


def test_what_retry_after_asked_travels_with_the_error() -> None:
    """Every transient error carries it; the permanent ones have no use for it."""
    for status in (400, 401, 429, 500, 503):
        error = _error(status, b"", 7.5)
        assert isinstance(error, TransientError)
        assert error.retry_after_seconds == 7.5


@given(st.integers(100, 999).filter(lambda status: status != 200), st.binary(max_size=300))
def test_any_answer_is_some_error(status: int, body: bytes) -> None:
    """No status and no body, however strange, ends in another error."""
    error = _error(status, body)
    assert error.error_class.startswith("erp_")
    assert error.http_status == status
