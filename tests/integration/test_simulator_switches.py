"""Every switch of the simulated ERP over HTTP: what a client sees of a server that behaves so."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import orjson
import pytest
import pytest_asyncio

from streamsync.simulator.server import Simulator
from streamsync.simulator.switches import described

pytest_plugins = ["tests.plugins.fix_simulator"]

SHOP = "shop-00001"
OTHER = "shop-00002"
BASE = "/api/millenium_eco"
CUSTOMERS = f"{BASE}/clientes/lista"
PRODUCTS = f"{BASE}/produtos/listavitrine"
PRICES = f"{BASE}/produtos/precodetabela"
STOCK = f"{BASE}/produtos/saldodeestoque"
BRANCHES = f"{BASE}/filiais/lista_simples"
JSON = {"$format": "json"}


@pytest_asyncio.fixture
async def erp(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    """A client that is the first shop."""
    async with httpx.AsyncClient(
        base_url=simulator.base_url(SHOP),
        auth=(SHOP, simulator.population.password_of(SHOP)),
        timeout=httpx.Timeout(10),
    ) as client:
        yield client


async def _rows(erp: httpx.AsyncClient, path: str = CUSTOMERS, **query: object) -> list[dict[str, Any]]:
    answer = await erp.get(path, params={**JSON, **{_name(key): str(value) for key, value in query.items()}})
    assert answer.status_code == 200
    content = orjson.loads(answer.content)
    rows: list[dict[str, Any]] = content["value"]
    return rows


def _name(key: str) -> str:
    return "$" + key if key in ("top", "skip") else key


def _message(answer: httpx.Response) -> str:
    return str(orjson.loads(answer.content)["error"]["message"]["value"])


class TestLists:
    """What is listed and in which pieces."""

    async def test_stock_and_prices_page_by_their_own_scope(
        self, simulator: Simulator, erp: httpx.AsyncClient
    ) -> None:
        branches = await _rows(erp, BRANCHES)
        assert any(row["filial"] < 0 for row in branches)
        assert "trans_id" not in branches[0]
        for row in branches:
            stock = await _rows(erp, STOCK, filial=row["filial"], trans_id=0)
            truth = [one for one in simulator.admin.truth(SHOP, "stock") if one["branch_id"] == row["filial"]]
            assert len(stock) == len(truth) > 100
            half = await _rows(erp, STOCK, filial=row["filial"], trans_id=stock[50]["trans_id"], top=10)
            assert half == stock[50:60]
        vitrine = simulator.population.vitrine_ids(SHOP)[0]
        prices = await _rows(erp, PRICES, vitrine=vitrine)
        assert len(prices) == len(list(simulator.admin.truth(SHOP, "price")))
        one = await _rows(erp, PRICES, vitrine=vitrine, produto=prices[0]["produto"])
        assert prices[0] in one
        assert {row["produto"] for row in one} == {prices[0]["produto"]}
        assert await _rows(erp, STOCK, filial=4444) == []

    @pytest.mark.parametrize(
        ("path", "query", "text"),
        [
            (
                STOCK,
                {"filial": "4", "tipo_prod": "AC"},
                "Parameter tipo_prod not found in millenium_eco.produtos",
            ),
            (STOCK, {}, "filial"),
            (PRICES, {}, "vitrine"),
            (
                PRICES,
                {"vitrine": "1", "data_atualizacao": "2025-01-01"},
                "Parameter data_atualizacao not found",
            ),
            (BRANCHES, {"trans_id": "0"}, "Parameter trans_id not found"),
        ],
    )
    async def test_refusals(
        self, erp: httpx.AsyncClient, path: str, query: dict[str, str], text: str
    ) -> None:
        answer = await erp.get(path, params={**JSON, **query})
        assert answer.status_code == 400
        assert text in _message(answer)

    async def test_one_parameter_may_be_unknown(self, simulator: Simulator, erp: httpx.AsyncClient) -> None:
        simulator.admin.switch(SHOP, unknown_parameter="lista_preco")
        vitrine = simulator.population.vitrine_ids(SHOP)[0]
        query = {**JSON, "vitrine": str(vitrine), "lista_preco": "true"}
        assert "Parameter lista_preco not found" in _message(await erp.get(PRODUCTS, params=query))
        other = (OTHER, simulator.population.password_of(OTHER))
        answer = await erp.get(f"{simulator.base_url(OTHER)}{PRODUCTS}", params=query, auth=other)
        assert answer.status_code == 200

    async def test_a_server_has_a_most_of_its_own(self, simulator: Simulator, erp: httpx.AsyncClient) -> None:
        simulator.admin.switch(top_max=5)
        assert len(await _rows(erp, top=50)) == len(await _rows(erp)) == 5
        assert len(await _rows(erp, top=3)) == 3

    async def test_without_trans_id_a_date_is_the_cursor(
        self, simulator: Simulator, erp: httpx.AsyncClient
    ) -> None:
        """Ascending by the date, inclusive, by the second: the last page comes again for ever."""
        simulator.admin.switch(no_trans_id=True)
        branch = simulator.population.scopes(SHOP, "stock")[0]
        for _ in range(3):
            simulator.admin.change(SHOP, "stock", 4, scope=branch)
        rows = await _rows(erp, STOCK, filial=branch)
        assert all("trans_id" not in row for row in rows)
        times = [int(row["data_atualizacao"][6:-6]) for row in rows]
        assert times == sorted(times)
        iso = await erp.get(STOCK, params={**JSON, "filial": str(branch), "$dateformat": "iso"})
        last = orjson.loads(iso.content)["value"][-1]["data_atualizacao"]
        query = {"filial": branch, "data_atualizacao_inicial": last}
        again = await _rows(erp, STOCK, **query)
        second = times[-1] // 1000 * 1000
        assert again == [row for row, time in zip(rows, times, strict=True) if time >= second]
        assert len(again) > 1
        assert simulator.admin.requests(SHOP)[-1].since == times[-1]
        refused = await erp.get(CUSTOMERS, params={**JSON, "trans_id": "0"})
        assert "Parameter trans_id not found" in _message(refused)
        assert "trans_id" not in (await _rows(erp))[0]

    async def test_branches_with_a_trans_id(self, simulator: Simulator, erp: httpx.AsyncClient) -> None:
        simulator.admin.switch(branch_trans_id=True, old_branch_names=True)
        first, second = await _rows(erp, BRANCHES)
        assert await _rows(erp, BRANCHES, trans_id=second["trans_id"]) == [second]
        assert {"cgc", "estado"} <= set(first)
        assert not {"cnpj", "uf"} & set(first)
        assert await _rows(erp, BRANCHES, filial=first["filial"]) == [first]

    async def test_pages_in_disorder_with_repetitions(
        self, simulator: Simulator, erp: httpx.AsyncClient
    ) -> None:
        everything = await _rows(erp)
        simulator.admin.switch(unordered=True)
        page = await _rows(erp, top=20)
        assert page != everything[:20]
        assert sorted(page, key=lambda row: int(row["trans_id"])) == everything[:20]
        simulator.admin.switch(unordered=False, duplicate_rate=0.3)
        page = await _rows(erp, top=20)
        kinds = {row["cliente"] for row in page}
        assert len(page) == 20 > len(kinds) > 10
        assert [row for row in everything if row["cliente"] in kinds] == everything[: len(kinds)]
        whole = (await erp.get(CUSTOMERS, params=JSON)).json()
        assert whole["odata.count"] == len(whole["value"]) > 60  # nothing is cut, so nothing is pushed out
        assert {row["cliente"] for row in whole["value"]} == {row["cliente"] for row in everything}
        simulator.admin.switch(duplicate_rate=0.0, repeat_rows=3)
        assert await _rows(erp, trans_id=everything[10]["trans_id"], top=5) == everything[7:12]
        assert await _rows(erp, trans_id=0, top=5) == everything[:5]

    async def test_a_cursor_may_be_stuck(self, simulator: Simulator, erp: httpx.AsyncClient) -> None:
        everything = await _rows(erp)
        simulator.admin.switch(stuck_at=10, top_max=7)
        for beyond in (10, 16, 40):
            assert await _rows(erp, trans_id=everything[beyond]["trans_id"], top=50) == everything[10:17]
        assert await _rows(erp, trans_id=everything[4]["trans_id"], top=7) == everything[4:11]


class TestForms:
    """How the same rows are written."""

    @pytest.mark.parametrize("form", ["value", "values", "data", "array", "string"])
    async def test_envelopes(self, simulator: Simulator, erp: httpx.AsyncClient, form: str) -> None:
        expected = await _rows(erp, top=4)
        simulator.admin.switch(envelope=form)
        content = (await erp.get(CUSTOMERS, params={**JSON, "$top": "4"})).json()
        match form:
            case "array":
                found = content
            case "string":
                found = json.loads(content["value"])
            case _:
                found = content[form]
                assert content["odata.count"] == 4
        assert found == expected

    @pytest.mark.parametrize(
        ("empty", "body"),
        [("object", b"{}"), ("nothing", b""), ("null", b"null"), ("list", b'{"odata.count":0,"value":[]}')],
    )
    async def test_nothing(
        self, simulator: Simulator, erp: httpx.AsyncClient, empty: str, body: bytes
    ) -> None:
        simulator.admin.switch(empty=empty)
        answer = await erp.get(CUSTOMERS, params={**JSON, "trans_id": "999999999"})
        assert (answer.status_code, answer.content) == (200, body)

    async def test_single_records_as_objects(self, simulator: Simulator, erp: httpx.AsyncClient) -> None:
        plain = await _rows(erp)
        simulator.admin.switch(single="nested")
        for before, after in zip(plain, await _rows(erp), strict=True):
            alone = len(before["enderecos"]) == 1
            assert after["enderecos"] == (before["enderecos"][0] if alone else before["enderecos"])
        simulator.admin.switch(single="all")
        one = (await erp.get(CUSTOMERS, params={**JSON, "$top": "1"})).json()
        assert one["value"]["cliente"] == plain[0]["cliente"]

    async def test_names_in_any_case(self, simulator: Simulator, erp: httpx.AsyncClient) -> None:
        (plain,) = await _rows(erp, top=1)
        simulator.admin.switch(keys="mixed")
        (mixed,) = await _rows(erp, top=1)
        assert {key.lower(): value for key, value in mixed.items() if not isinstance(value, list)} == {
            key: value for key, value in plain.items() if not isinstance(value, list)
        }
        assert any(key.isupper() for key in mixed)
        assert any(key.islower() for key in mixed)
        assert any(key not in (key.upper(), key.lower()) for key in mixed)

    async def test_bytes_of_another_code_page(self, simulator: Simulator, erp: httpx.AsyncClient) -> None:
        plain = await _rows(erp)
        simulator.admin.switch(latin1=True)
        answer = await erp.get(CUSTOMERS, params=JSON)
        with pytest.raises(UnicodeDecodeError):
            answer.content.decode()
        assert json.loads(answer.content.decode("cp1252"))["value"] == plain

    @pytest.mark.parametrize(("xml", "asked", "answered"), [("always", JSON, True), ("never", {}, False)])
    async def test_xml(
        self, simulator: Simulator, erp: httpx.AsyncClient, xml: str, asked: dict[str, str], answered: bool
    ) -> None:
        simulator.admin.switch(xml=xml)
        answer = await erp.get(CUSTOMERS, params=asked)
        assert ("xml" in answer.headers["content-type"]) is answered
        assert len(ElementTree.fromstring(answer.content) if answered else answer.json()["value"]) == 60

    async def test_dates_whatever_is_asked(self, simulator: Simulator, erp: httpx.AsyncClient) -> None:
        for dates, end in (("iso", "Z"), ("iso-seconds", "Z"), ("iso-naive", "")):
            simulator.admin.switch(dates=dates)
            (row,) = await _rows(erp, top=1)
            moment = row["data_atualizacao"]
            assert moment[10] == "T"
            assert moment.endswith("Z") is (end == "Z")
            assert ("." in moment) is (dates != "iso-seconds")

    async def test_prices_in_the_other_column(self, simulator: Simulator, erp: httpx.AsyncClient) -> None:
        vitrine = simulator.population.vitrine_ids(SHOP)[0]
        plain = await _rows(erp, PRICES, vitrine=vitrine)
        for switch, expected in (("zero", 0), ("null", None)):
            simulator.admin.switch(preco1=switch)
            moved = await _rows(erp, PRICES, vitrine=vitrine)
            assert [(row["preco1"], row["preco2"]) for row in moved] == [
                (expected, row["preco1"]) for row in plain
            ]

    async def test_an_invented_field_everywhere(self, simulator: Simulator, erp: httpx.AsyncClient) -> None:
        simulator.admin.switch(extra_field="campo_novo")
        rows = await _rows(erp)
        nested = [one for row in rows for one in (*row["enderecos"], *row["contato"])]
        assert {one["campo_novo"] for one in (*rows, *nested)} == {"campo_novo-0"}
        simulator.admin.change(SHOP, "customers", 1)
        assert (await _rows(erp))[-1]["campo_novo"] == "campo_novo-1"

    @pytest.mark.parametrize("form", ["string", "plain", "html", "empty"])
    async def test_errors_in_other_words(
        self, simulator: Simulator, erp: httpx.AsyncClient, form: str
    ) -> None:
        simulator.admin.switch(error_body=form)
        refused = await erp.get(CUSTOMERS, params={**JSON, "cor_x": "1"})
        simulator.admin.fault("licence", times=1, status=429)
        busy = await erp.get(CUSTOMERS, params=JSON)
        assert (refused.status_code, busy.status_code) == (400, 429)
        match form:
            case "string":
                assert "cor_x not found" in refused.json()["error"]["message"]
                assert "licença" in busy.json()["error"]["message"]
            case "plain":
                assert refused.text.startswith("Parameter cor_x not found")
            case "html":
                assert refused.content.startswith(b"<html>")
            case "empty":
                assert refused.content == busy.content == b""
        assert len(await _rows(erp)) == 60

    async def test_answers_take_longer_the_more_rows(
        self, simulator: Simulator, erp: httpx.AsyncClient
    ) -> None:
        simulator.admin.switch(delay_per_row=0.002)
        await _rows(erp)
        entry = simulator.admin.requests(SHOP)[-1]
        assert entry.ended_monotonic is not None
        assert entry.ended_monotonic - entry.started_monotonic >= 60 * 0.002


def test_every_switch_is_tested() -> None:
    """A new one needs a test here (or in those named), and says what it means."""
    here = Path(__file__)
    users = here.with_name("test_simulator_users.py")
    text = here.read_text(encoding="utf-8") + users.read_text(encoding="utf-8")
    elsewhere = {
        "exclusive", "honour_skip", "count_total", "raw_control", "delay",  # test_simulator.py, test_gate.py
        "tombstones", "change_rate", "change_cap", "dirt",  # test_simulator_world.py
    }  # fmt: skip
    names = {str(one["name"]) for one in described()}
    assert {name for name in names if f"{name}=" not in text} == elsewhere
    assert all(one["meaning"] for one in described())
