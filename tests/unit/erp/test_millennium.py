"""The connector: what it asks, what it makes of the answers. Without a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from streamsync.config import Settings
from streamsync.erp.connector import Access, Scopes, find_connector
from streamsync.erp.http import Answer, ErpHttp
from streamsync.erp.millennium.connector import Millennium
from streamsync.errors import PermanentError, SyncError, TransientError


class _Answers(ErpHttp):
    """Gives one body to every request and remembers what was asked."""

    def __init__(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(Settings())
        self._answer = Answer(status, headers or {}, body if isinstance(body, bytes) else orjson.dumps(body))
        self.asked: list[tuple[str, Mapping[str, str], tuple[str, str] | None]] = []

    async def get(
        self,
        url: str,
        *,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
        auth: tuple[str, str] | None,
    ) -> Answer:
        self.asked.append((url, parameters, auth))
        return self._answer


def _connector(http: ErpHttp, *, auth_mode: str = "basic", vitrines: tuple[int, ...] = ()) -> Millennium:
    access = Access("shop", "http://erp.example.invalid:6017/", auth_mode, "user", "secret", vitrines)
    return Millennium(access, http)


async def test_a_page_is_asked_for_by_cursor_size_and_scope() -> None:
    """URL, JSON, cursor, `$top`, storefront, the entity's own parameters, and the credential."""
    http = _Answers({"value": [{"produto": 1, "trans_id": 12}, {"produto": 2, "trans_id": 11}]})
    connector = _connector(http)
    page = await connector.page(connector.entity("products"), "901", 10, 50)
    assert page.cursor == 12
    assert http.asked == [
        (
            "http://erp.example.invalid:6017/api/millenium_eco/produtos/listavitrine",
            {"lista_preco": "true", "trans_id": "10", "$top": "50", "vitrine": "901", "$format": "json"},
            ("user", "secret"),
        )
    ]


async def test_no_rows_have_no_cursor() -> None:
    """An empty page moves nothing."""
    connector = _connector(_Answers({"value": []}))
    assert (await connector.page(connector.entity("customers"), "", 0, 5)).cursor is None


async def test_rows_without_any_cursor_are_garbage() -> None:
    """Rows that do not say where they stand cannot be read on from."""
    connector = _connector(_Answers({"value": [{"cliente": 1}, {"cliente": 2, "trans_id": None}]}))
    with pytest.raises(TransientError) as caught:
        await connector.page(connector.entity("customers"), "", 0, 5)
    assert caught.value.error_class == "erp_garbage"


@pytest.mark.parametrize("absurd", [2**63, 2**64 - 1, True, 1.5, "99"])
async def test_a_cursor_beyond_64_bits_moves_nothing(absurd: object) -> None:
    """One row's impossible trans_id is that row's fault; the page's cursor comes from the others."""
    rows = [{"cliente": 1, "trans_id": 7}, {"cliente": 2, "trans_id": absurd}]
    connector = _connector(_Answers({"value": rows}))
    assert (await connector.page(connector.entity("customers"), "", 0, 5)).cursor == 7


async def test_storefronts_come_from_the_tenant_or_from_the_erp() -> None:
    """Named ones are taken as they are; else all that the ERP lists, once each, in order."""
    http = _Answers({"value": [{"vitrine": 9}, {"vitrine": "3"}, {"vitrine": 9.0}]})
    products = _connector(http).entity("products")
    assert await _connector(http).scopes(products) == Scopes(["3", "9"], all_there_are=True)
    assert await _connector(http, vitrines=(5, 4)).scopes(products) == Scopes(["5", "4"])
    assert await _connector(http).scopes(_connector(http).entity("customers")) == Scopes([""])
    unsure = _Answers({"value": [{"vitrine": 9}, {"vitrine": None}, {"vitrine": "nine"}]})
    assert await _connector(unsure).scopes(products) == Scopes(["9"])
    with pytest.raises(TransientError) as caught:
        await _connector(_Answers({})).scopes(products)
    assert caught.value.error_class == "erp_no_vitrine"


async def test_errors_are_classified_with_what_retry_after_asks() -> None:
    """The status, the text and the header together."""
    connector = _connector(_Answers(b"", 503, {"retry-after": "17"}))
    with pytest.raises(TransientError) as caught:
        await connector.page(connector.entity("customers"), "", 0, 5)
    assert (caught.value.error_class, caught.value.retry_after_seconds) == ("erp_server_error", 17.0)


def test_what_is_not_known_is_permanent() -> None:
    """An unknown connector, entity or way of logging in cannot be helped by a retry."""
    failures: list[SyncError] = []
    for call in (
        lambda: find_connector("sap"),
        lambda: _connector(_Answers({})).entity("orders"),
        lambda: _connector(_Answers({}), auth_mode="ntlm"),
    ):
        with pytest.raises(PermanentError) as caught:
            call()
        failures.append(caught.value)
    assert [failure.error_class for failure in failures] == [
        "unknown_connector", "unknown_entity", "erp_auth_mode",
    ]  # fmt: skip


def test_a_password_does_not_show_in_a_repr() -> None:
    """Access can be logged by mistake without harm."""
    assert "secret" not in repr(Access("shop", "http://x", "basic", "user", "secret"))
