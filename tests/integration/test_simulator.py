"""The simulated ERP over HTTP: paging, refusals, sessions, every fault, holds, and the process."""

from __future__ import annotations

import asyncio
import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import orjson
import pytest
import pytest_asyncio

from streamsync.simulator.data import IMPORT_COLUMNS, Population
from streamsync.simulator.faults import KINDS
from streamsync.simulator.server import Simulator, build_app, serve

pytest_plugins = ["tests.plugins.fix_simulator"]

SHOP = "shop-00001"
OTHER = "shop-00002"
CUSTOMERS = "/api/millenium_eco/clientes/lista"
PRODUCTS = "/api/millenium_eco/produtos/listavitrine"
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


def _rows(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200
    content = orjson.loads(answer.content)
    rows: list[dict[str, Any]] = content["value"]
    return rows


def _message(answer: httpx.Response) -> str:
    content = orjson.loads(answer.content)["error"]
    assert content["code"] == answer.status_code
    return str(content["message"]["value"])


async def _read_to_the_end(
    erp: httpx.AsyncClient, path: str, top: int, **parameters: str
) -> list[dict[str, Any]]:
    """Read as the protocol asks a client to: from the highest cursor minus one, until nothing is new."""
    found: dict[int, dict[str, Any]] = {}
    cursor = 0
    while True:
        query = {**JSON, **parameters, "trans_id": str(max(cursor - 1, 0)), "$top": str(top)}
        rows = _rows(await erp.get(path, params=query))
        found |= {row["trans_id"]: row for row in rows}
        highest = max((row["trans_id"] for row in rows), default=cursor)
        if highest <= cursor:
            return list(found.values())
        cursor = highest


@pytest.mark.parametrize("exclusive", [False, True])
async def test_paging_reads_every_record(
    simulator: Simulator, erp: httpx.AsyncClient, exclusive: bool
) -> None:
    simulator.admin.switch(exclusive=exclusive)
    customers = await _read_to_the_end(erp, CUSTOMERS, 7)
    truth = {row["customer_id"] for row in simulator.population.truth(SHOP, "customer")}
    assert {row["cliente"] for row in customers} == truth
    (vitrine,) = _rows(await erp.get("/api/millenium_eco/vitrine/listatabelas", params=JSON))
    products = await _read_to_the_end(erp, PRODUCTS, 9, vitrine=str(vitrine["vitrine"]), lista_preco="true")
    skus = {sku["sku"]: sku["preco1"] for row in products for sku in row["sku"]}
    assert skus == {
        row["sku"]: None if row["price"] is None else float(str(row["price"]))
        for row in simulator.population.truth(SHOP, "sku")
    }


async def test_the_cursor_is_inclusive_unless_switched(simulator: Simulator, erp: httpx.AsyncClient) -> None:
    first, second = _rows(await erp.get(CUSTOMERS, params={**JSON, "trans_id": "0", "$top": "2"}))
    query = {**JSON, "trans_id": str(first["trans_id"]), "$top": "1"}
    assert _rows(await erp.get(CUSTOMERS, params=query)) == [first]
    simulator.admin.switch(SHOP, exclusive=True)
    assert _rows(await erp.get(CUSTOMERS, params=query)) == [second]


async def test_top_cuts_in_silence_and_what_is_ignored_is_ignored(
    simulator: Simulator, erp: httpx.AsyncClient
) -> None:
    query = {**JSON, "trans_id": "0", "$top": "5"}
    answer = await erp.get(CUSTOMERS, params=query)
    content = orjson.loads(answer.content)
    assert sorted(content) == ["odata.count", "value"]
    assert content["odata.count"] == 5
    ignored = {**query, "$skip": "3", "$filter": "cliente eq 1", "$orderby": "nome"}
    assert (await erp.get(CUSTOMERS, params=ignored)).content == answer.content
    everything = _rows(await erp.get(CUSTOMERS, params=JSON))
    assert len(everything) == 60
    assert len(_rows(await erp.get(CUSTOMERS, params={**JSON, "$top": "0", "trans_id": "-1"}))) == 60
    simulator.admin.switch(honour_skip=True, count_total=True)
    content = orjson.loads((await erp.get(CUSTOMERS, params=ignored)).content)
    assert content["odata.count"] == 60
    assert content["value"] == everything[3:8]


async def test_both_forms_of_url_any_case_and_the_user_instead_of_a_prefix(
    simulator: Simulator, erp: httpx.AsyncClient
) -> None:
    query = {**JSON, "trans_id": "0", "$top": "3"}
    expected = (await erp.get(CUSTOMERS, params=query)).content
    for path in ("/api/millenium_eco.clientes.lista", "/API/Millenium_ECO/Clientes.Lista"):
        assert (await erp.get(path, params=query)).content == expected
    bare = await erp.get(
        f"{simulator.url}{CUSTOMERS}", params={"$FORMAT": "json", "Trans_Id": "0", "$Top": "3"}
    )
    assert bare.content == expected
    posted = await erp.post(
        CUSTOMERS, headers={"X-HTTP-Method": "GET"}, json={"$format": "json", "trans_id": 0, "$top": 3}
    )
    assert posted.content == expected


async def test_without_asking_for_json_the_answer_is_xml(erp: httpx.AsyncClient) -> None:
    answer = await erp.get(CUSTOMERS, params={"trans_id": "0"})
    assert "xml" in answer.headers["content-type"]
    feed = ElementTree.fromstring(answer.content)
    assert len(feed) == 60
    accepted = await erp.get(CUSTOMERS, params={"trans_id": "0"}, headers={"Accept": "application/json"})
    assert len(_rows(accepted)) == 60


async def test_dates_and_names_as_asked(erp: httpx.AsyncClient) -> None:
    iso = _rows(await erp.get(CUSTOMERS, params={**JSON, "$dateformat": "iso", "$top": "5"}))
    assert all(row["data_atualizacao"].endswith("Z") for row in iso)
    upper = await erp.get(CUSTOMERS, params={**JSON, "$top": "5"}, headers={"X-IdentifierCase": "upper"})
    assert "ENDERECOS" in _rows(upper)[0]


async def test_raw_control_characters_stand_in_the_strings(
    simulator: Simulator, erp: httpx.AsyncClient
) -> None:
    simulator.admin.switch(SHOP, raw_control=True)
    body = (await erp.get(CUSTOMERS, params=JSON)).content
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(body)
    assert b"\n" in body


async def test_narrowing_to_one_record_and_to_a_time(simulator: Simulator, erp: httpx.AsyncClient) -> None:
    vitrine = str(simulator.population.vitrine_ids(SHOP)[0])
    products = _rows(await erp.get(PRODUCTS, params={**JSON, "vitrine": vitrine}))
    assert len(products) == 40
    assert "preco1" not in products[0]["sku"][0]
    one = {**JSON, "vitrine": vitrine, "produto": str(products[11]["produto"])}
    assert _rows(await erp.get(PRODUCTS, params=one)) == [products[11]]
    assert _rows(await erp.get(PRODUCTS, params={**JSON, "vitrine": "1"})) == []
    since = {**JSON, "vitrine": vitrine, "data_atualizacao": "2025-01-01"}
    late = [row for row in products if int(row["data_alteracao"][6:19]) >= 1735700400000]
    assert _rows(await erp.get(PRODUCTS, params=since)) == late
    assert 0 < len(late) < 20
    simulator.admin.switch(empty="object")
    assert (await erp.get(PRODUCTS, params={**JSON, "vitrine": "1"})).json() == {}


@pytest.mark.parametrize(
    ("path", "query", "status", "text"),
    [
        (CUSTOMERS, {"cor_x": "1"}, 400, "Parameter cor_x not found in millenium_eco.clientes.lista"),
        (CUSTOMERS, {"data_atualizacao": "2025-01-01"}, 400, "Parameter data_atualizacao not found"),
        (CUSTOMERS, {"trans_id": "x"}, 400, "Could not convert variant"),
        (PRODUCTS, {"trans_id": "0"}, 400, "vitrine"),
        (PRODUCTS, {"vitrine": "1", "data_atualizacao": "x"}, 400, "type (Date)"),
        ("/api/millenium_eco/clientes/apaga", {}, 404, "not found"),
        ("/api/millenium/clientes/lista", {}, 404, "not found"),
        ("/elsewhere", {}, 404, "not found"),
    ],
)
async def test_refusals(
    erp: httpx.AsyncClient, path: str, query: dict[str, str], status: int, text: str
) -> None:
    answer = await erp.get(path, params={**JSON, **query})
    assert answer.status_code == status
    assert text in _message(answer)


async def test_wrong_passwords(simulator: Simulator, erp: httpx.AsyncClient) -> None:
    of_another = (OTHER, simulator.population.password_of(OTHER))
    for auth in ((SHOP, "wrong"), of_another):
        answer = await erp.get(CUSTOMERS, params=JSON, auth=auth)
        assert answer.status_code == 401
        assert _message(answer).startswith("PERMISSÃO NEGADA")
        assert "Senha inválida" in _message(answer)
    async with httpx.AsyncClient() as nobody:
        assert (await nobody.get(f"{simulator.base_url(SHOP)}{CUSTOMERS}")).status_code == 401


async def test_sessions(simulator: Simulator) -> None:
    password = simulator.population.password_of(SHOP)
    simulator.admin.switch(session_limit=1)
    async with httpx.AsyncClient(base_url=simulator.base_url(SHOP)) as client:
        credentials = {"WTS-Authorization": f"{SHOP}/{password}"}
        opened = await client.post("/api/login", headers=credentials)
        key = opened.json()["session"]
        assert key.startswith("{")
        assert key.endswith("}")
        busy = await client.get("/api/login", headers=credentials)
        assert busy.status_code == 401
        assert "ultrapassado o máximo" in _message(busy)
        assert len(_rows(await client.get(CUSTOMERS, params=JSON, headers={"WTS-Session": key}))) == 60
        bare = await client.get(f"{simulator.url}{CUSTOMERS}", params=JSON, headers={"WTS-Session": key})
        assert len(_rows(bare)) == 60
        stolen = f"{simulator.base_url(OTHER)}{CUSTOMERS}"
        assert (await client.get(stolen, headers={"WTS-Session": key})).status_code == 401
        assert (await client.post("/api/logout", headers={"WTS-Session": key})).status_code == 200
        assert (await client.get(CUSTOMERS, params=JSON, headers={"WTS-Session": key})).status_code == 401
        again = (await client.post("/api/login", headers=credentials)).json()["session"]
        assert simulator.admin.stats()["open_sessions"] == 1
        assert simulator.admin.expire_sessions(SHOP) == 1
        expired = await client.get(CUSTOMERS, params=JSON, headers={"WTS-Session": again})
        assert "Sessão inválida" in _message(expired)
        wrong = await client.post("/api/login", headers={"WTS-Authorization": f"{SHOP}/x"})
        assert "Senha inválida" in _message(wrong)


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        ("500", 500, "macro"),
        ("503", 503, "temporariamente"),
        ("licence", 503, "licen"),
        ("429", 429, "Limite"),
        ("password", 401, "Senha inválida"),
        ("busy", 401, "ultrapassado o máximo"),
    ],
)
async def test_faults_that_answer(
    simulator: Simulator, erp: httpx.AsyncClient, kind: str, status: int, text: str
) -> None:
    simulator.admin.fault(kind, SHOP, times=1, retry_after=7 if kind == "429" else None)
    answer = await erp.get(CUSTOMERS, params=JSON)
    assert answer.status_code == status
    assert text in _message(answer)
    assert answer.headers.get("retry-after") == ("7" if kind == "429" else None)
    assert len(_rows(await erp.get(CUSTOMERS, params=JSON))) == 60
    assert [(entry.status, entry.fault) for entry in simulator.admin.requests(SHOP)] == [
        (status, kind),
        (200, None),
    ]


async def test_faults_that_garble(simulator: Simulator, erp: httpx.AsyncClient) -> None:
    simulator.admin.fault("garbage", times=2)
    html = await erp.get(CUSTOMERS, params=JSON)
    assert html.status_code == 200
    assert html.content.startswith(b"<html>")
    half = await erp.get(CUSTOMERS, params=JSON)
    assert half.status_code == 200
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(half.content)
    simulator.admin.fault("cut", times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        await erp.get(CUSTOMERS, params=JSON)
    simulator.admin.fault("reset", times=1)
    with pytest.raises(httpx.ReadError):
        await erp.get(CUSTOMERS, params=JSON)
    assert len(_rows(await erp.get(CUSTOMERS, params=JSON))) == 60
    assert simulator.admin.stats()["by_fault"] == {"garbage": 2, "cut": 1, "reset": 1}


async def test_a_timeout_never_answers_and_notices_that_the_client_left(
    simulator: Simulator, erp: httpx.AsyncClient
) -> None:
    simulator.admin.fault("timeout", SHOP)
    with pytest.raises(httpx.ReadTimeout):
        await erp.get(CUSTOMERS, params=JSON, timeout=httpx.Timeout(5, read=0.05))
    await simulator.admin.wait_idle(SHOP)
    entry = simulator.admin.requests(SHOP)[-1]
    assert (entry.status, entry.fault) == (0, "timeout")


async def test_slow_waits(simulator: Simulator, erp: httpx.AsyncClient) -> None:
    simulator.admin.fault("slow", SHOP, seconds=0.05)
    assert len(_rows(await erp.get(CUSTOMERS, params=JSON))) == 60
    entry = simulator.admin.requests(SHOP)[-1]
    assert entry.ended_monotonic is not None
    assert entry.ended_monotonic - entry.started_monotonic >= 0.05
    assert entry.fault == "slow"


async def test_every_kind_of_fault_is_tested() -> None:
    tested = {
        "500",
        "503",
        "licence",
        "429",
        "password",
        "busy",
        "garbage",
        "cut",
        "reset",
        "timeout",
        "slow",
    }
    assert set(KINDS) == tested | {"hold", "html", "truncated"}


async def test_hold_stops_a_reader_in_the_middle(simulator: Simulator, erp: httpx.AsyncClient) -> None:
    simulator.admin.hold(SHOP, after_requests=2)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_read_to_the_end(erp, CUSTOMERS, 10))
        await simulator.admin.wait_held(SHOP)
        assert [entry.status for entry in simulator.admin.requests(SHOP)] == [200, 200, 0]
        assert not reading.done()
        other = (OTHER, simulator.population.password_of(OTHER))
        free = await erp.get(f"{simulator.base_url(OTHER)}{CUSTOMERS}", params=JSON, auth=other)
        assert free.status_code == 200
        assert simulator.admin.release(SHOP) == 1
    assert len(reading.result()) == 60
    assert simulator.admin.held() == 0


async def test_a_hold_on_all_can_be_lifted_for_one(simulator: Simulator, erp: httpx.AsyncClient) -> None:
    simulator.admin.hold()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(erp.get(CUSTOMERS, params=JSON))
        await simulator.admin.wait_held()
        simulator.admin.release(SHOP)
    assert first.result().status_code == 200
    assert (await erp.get(CUSTOMERS, params=JSON)).status_code == 200


async def test_a_held_client_that_leaves_is_let_go(simulator: Simulator, erp: httpx.AsyncClient) -> None:
    simulator.admin.hold(SHOP)
    request = asyncio.create_task(erp.get(CUSTOMERS, params=JSON))
    await simulator.admin.wait_held(SHOP)
    request.cancel()
    await simulator.admin.wait_idle(SHOP)
    assert simulator.admin.held() == 0
    assert simulator.admin.requests(SHOP)[-1].status == 0


async def test_the_server_stops_although_it_holds() -> None:
    population = Population(seed=1, customers_per_tenant=5, fixed_sizes=True)
    async with httpx.AsyncClient(auth=(SHOP, population.password_of(SHOP))) as client:
        async with serve(build_app(population)) as running:
            running.admin.hold()
            request = asyncio.create_task(client.get(f"{running.base_url(SHOP)}{CUSTOMERS}", params=JSON))
            await running.admin.wait_held()
        assert (await request).status_code in (200, 503)


async def test_the_admin_endpoint(simulator: Simulator, erp: httpx.AsyncClient) -> None:
    admin = f"{simulator.url}/_admin"
    set_ = await erp.post(
        f"{admin}/faults", json={"tenant": SHOP, "kind": "429", "times": 1, "retry_after": 2}
    )
    assert set_.json()[0]["serial"] == 1
    assert (await erp.get(CUSTOMERS, params=JSON)).headers["retry-after"] == "2"
    assert (await erp.get(f"{admin}/faults")).json()[0]["hits"] == 1
    assert (await erp.delete(f"{admin}/faults")).json() == []

    await erp.post(f"{admin}/faults", json=[{"kind": "hold", "tenant": SHOP, "after_requests": 1}])
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_read_to_the_end(erp, CUSTOMERS, 30))
        held = await erp.get(f"{admin}/held", params={"tenant": SHOP, "wait": "5"})
        assert held.json() == {"held": 1}
        released = await erp.post(f"{admin}/release", json={"tenant": SHOP})
        assert released.json() == {"released": 1}
    assert len(reading.result()) == 60

    assert (await erp.post(f"{admin}/switches", json={"tenant": SHOP, "exclusive": True})).json()["exclusive"]
    assert (await erp.get(f"{admin}/switches")).json()["exclusive"] is False
    log = (await erp.get(f"{admin}/requests", params={"tenant": SHOP})).json()
    assert [entry["status"] for entry in log] == [429, *[200] * (len(log) - 1)]
    assert log[0]["method"] == "clientes.lista"
    assert log[0]["started"] <= log[0]["ended"] <= time.time()
    assert log[0]["started_monotonic"] <= log[0]["ended_monotonic"]
    later = (await erp.get(f"{admin}/requests", params={"since": str(log[0]["number"]), "limit": "1"})).json()
    assert later == log[1:2]
    stats = (await erp.get(f"{admin}/stats")).json()
    assert stats["requests"] == len(log)
    assert stats["rows"] == sum(entry["rows"] for entry in log)
    assert stats["overlaps"] == 0
    assert (await erp.get(f"{admin}/held", params={"wait": "0.01"})).status_code == 408
    for bad in ({"kind": "x"}, {"kind": "500", "rate": "often"}, {"kind": "500", "hue": 1}):
        assert (await erp.post(f"{admin}/faults", json=bad)).status_code == 400
    assert (await erp.post(f"{admin}/switches", json={"exclusive": "yes"})).status_code == 400
    assert (await erp.get(f"{admin}/nothing")).status_code == 404
    await erp.post(f"{admin}/reset")
    assert (await erp.get(f"{admin}/requests")).json() == []
    assert (await erp.get(f"{admin}/switches", params={"tenant": SHOP})).json()["exclusive"] is False


async def test_overlapping_requests_of_a_tenant_are_counted(
    simulator: Simulator, erp: httpx.AsyncClient
) -> None:
    simulator.admin.hold(SHOP)
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(erp.get(CUSTOMERS, params=JSON))
        await simulator.admin.wait_held(SHOP, count=2)
        simulator.admin.release()
    stats = simulator.admin.stats()
    assert (stats["overlaps"], stats["overlapping_tenants"], stats["max_in_flight"]) == (1, [SHOP], 2)


class TestBadRecords:
    """A population with records that have to be quarantined."""

    @pytest.fixture
    def simulator_population(self) -> Population:
        return Population(seed=7, customers_per_tenant=400, fixed_sizes=True, bad_rate=0.05)

    async def test_they_are_served_but_not_in_the_truth(
        self, simulator: Simulator, erp: httpx.AsyncClient
    ) -> None:
        rows = _rows(await erp.get(CUSTOMERS, params=JSON))
        good = {row["customer_id"] for row in simulator.population.truth(SHOP, "customer")}
        bad = [row for row in rows if row.get("cliente") not in good]
        assert len(rows) == 400
        assert len(bad) == simulator.population.bad_count(SHOP, "customers") > 5
        assert len(good) == simulator.population.count(SHOP, "customers")


def _start(tmp_path: Path, *options: str, by_shell: bool = False) -> tuple[subprocess.Popen[bytes], str]:
    """Start the simulator as a process and wait for its first line, which it writes once it listens."""
    command = [sys.executable, "-m", "streamsync.simulator", "--seed", "7", *options]
    if by_shell:
        # A parent that does nothing but wait, and tells the simulator's id.
        code = (
            "import subprocess, sys\n"
            "child = subprocess.Popen(sys.argv[1:])\n"
            "print('pid', child.pid, flush=True)\n"
            "child.wait()\n"
        )
        command = [sys.executable, "-c", code, *command]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=tmp_path, env={**os.environ, "PYTHONPATH": _ROOT}
    )
    assert process.stdout is not None
    return process, process.stdout.readline().decode()


_ROOT = str(Path(__file__).parents[2])


def test_the_process_serves_and_ends_on_sigterm(tmp_path: Path) -> None:
    options = (
        *("--customers", "20", "--fixed-sizes", "--port-file", "url", "--csv", "shops.csv", "--tenants", "3"),
        *("--fault", '{"kind":"500","times":1}', "--switch", "exclusive=true"),
    )
    process, line = _start(tmp_path, *options)
    with process:
        url = (tmp_path / "url").read_text().strip()
        assert url in line
        with (tmp_path / "shops.csv").open(newline="") as file:
            shops = list(csv.DictReader(file))
        assert tuple(shops[0]) == IMPORT_COLUMNS
        assert (tmp_path / "shops.csv").stat().st_mode & 0o077 == 0
        auth = (shops[2]["username"], shops[2]["password"])
        path = f"{shops[2]['base_url']}{CUSTOMERS}"
        assert httpx.get(path, params=JSON, auth=auth).status_code == 500
        rows = _rows(httpx.get(path, params=JSON, auth=auth))
        population = Population(seed=7, customers_per_tenant=20, fixed_sizes=True)
        expected = [row["trans_id"] for row in population.truth(shops[2]["tenant_id"], "customer")]
        assert sorted(row["trans_id"] for row in rows) == sorted(map(int, map(str, expected)))
        after = {**JSON, "trans_id": str(rows[-1]["trans_id"])}
        assert _rows(httpx.get(path, params=after, auth=auth)) == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_the_process_ends_with_its_parent(tmp_path: Path) -> None:
    parent, line = _start(tmp_path, "--exit-with-parent", by_shell=True)
    with parent:
        assert parent.stdout is not None
        assert line.startswith("pid ")
        assert b"simulated ERP at" in parent.stdout.readline()
        parent.kill()
        # The pipe has its end once the last of the two, the simulator, is gone.
        assert parent.stdout.read() == b""


@pytest.mark.parametrize(
    "options",
    [
        ("--fault", '{"kind":"x"}'),
        ("--switch", "color=1"),
        ("--switch", "top_max=many"),
        ("--bad-rate", "2"),
        ("--vitrines", "0"),
        ("--config", "/nowhere/at/all"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: tuple[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streamsync.simulator", *options],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": _ROOT},
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
