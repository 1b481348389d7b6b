"""The world of the simulated ERP under `/_admin`: what happens to it, and the truth for another process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio

from streamsync.simulator.data import TABLES, Population
from streamsync.simulator.server import Simulator
from streamsync.simulator.setup import Setup, read_setup, setup_of, switch_of
from streamsync.simulator.switches import help_text
from streamsync.simulator.truth import rows_from

pytest_plugins = ["tests.plugins.fix_simulator"]

SHOP = "shop-00001"
CUSTOMERS = "/api/millenium_eco/clientes/lista"


@pytest_asyncio.fixture
async def admin(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the controls."""
    async with httpx.AsyncClient(base_url=f"{simulator.url}/_admin/", timeout=httpx.Timeout(10)) as client:
        yield client


async def _done(admin: httpx.AsyncClient, action: str, **options: object) -> dict[str, Any]:
    answer = await admin.post(action, json={"tenant": SHOP, **options})
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


async def test_deeds_and_the_truth_over_http(simulator: Simulator, admin: httpx.AsyncClient) -> None:
    """Each deed says how much it did, and the truth told over HTTP is the one of the server's own process."""
    assert await _done(admin, "snapshot", name="before") == {}
    assert await _done(admin, "change", entity="customers", count=3) == {"changed": 3}
    assert await _done(admin, "change", entity="stock", share=0.1) != {"changed": 0}
    assert await _done(admin, "insert", entity="products", count=2) == {"inserted": 2}
    assert await _done(admin, "delete", entity="prices", count=4) == {"deleted": 4}
    nested = await _done(admin, "delete-nested", entity="products", count=5, table="sku")
    assert nested == {"changed": 5}
    for table in TABLES:
        lines = (await admin.get("truth", params={"tenant": SHOP, "table": table})).iter_lines()
        assert list(rows_from(lines)) == list(simulator.admin.truth(SHOP, table)), table
    counted = (await admin.get("count", params={"tenant": SHOP, "entity": "products"})).json()
    assert counted == {"listed": 42, "bad": 0}
    await _done(admin, "restore", name="before")
    for table in TABLES:
        assert list(simulator.admin.truth(SHOP, table)) == list(simulator.population.truth(SHOP, table)), (
            table
        )


async def test_what_changes_is_read_from_the_cursor_on(
    simulator: Simulator, admin: httpx.AsyncClient
) -> None:
    """Three changed customers are all that comes after the old end, at new trans_ids and dates."""
    auth = (SHOP, simulator.population.password_of(SHOP))
    last = simulator.population.listings(SHOP, "customers")[0].last_trans_id
    await _done(admin, "change", entity="customers", count=3)
    async with httpx.AsyncClient(base_url=simulator.base_url(SHOP), auth=auth) as erp:
        query = {"$format": "json", "trans_id": str(last + 1)}
        rows = orjson.loads((await erp.get(CUSTOMERS, params=query)).content)["value"]
    assert len(rows) == 3
    truth = {row["customer_id"]: row["trans_id"] for row in simulator.admin.truth(SHOP, "customer")}
    assert all(truth[row["cliente"]] == row["trans_id"] for row in rows)
    assert len(truth) == 60


@pytest.mark.parametrize(
    ("action", "options", "text"),
    [
        ("change", {"entity": "orders"}, "unknown entity"),
        ("change", {"entity": "customers", "count": 1, "share": 1}, "not both"),
        ("change", {"entity": "customers", "rows": 1}, "unknown: rows"),
        ("change", {"entity": "customers", "count": 1.5}, "whole numbers"),
        ("insert", {}, "entity is missing"),
        ("restore", {"name": "none"}, "no backup"),
    ],
)
async def test_what_cannot_be_done_is_told(
    admin: httpx.AsyncClient, action: str, options: dict[str, object], text: str
) -> None:
    answer = await admin.post(action, json={"tenant": SHOP, **options})
    assert answer.status_code == 400
    assert text in answer.json()["error"]


async def test_there_is_no_truth_of_other_tables(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("truth", params={"tenant": SHOP, "table": "orders"})).status_code == 400
    assert (await admin.get("truth", params={"table": "customer"})).status_code == 400


async def test_switches_describe_themselves(admin: httpx.AsyncClient) -> None:
    described = (await admin.get("switches", params={"help": "1"})).json()
    assert {"name": "exclusive", "type": "bool", "default": False}.items() <= described[6].items()
    refused = await admin.post("switches", json={"auth": "kerberos"})
    assert refused.status_code == 400
    assert "any | basic | session | ntlm-off" in refused.json()["error"]


_TOML = """
faults = [{ kind = "500", rate = 0.5 }]
[switches]
exclusive = true
envelope = "data"
[tenants.shop-00002]
exclusive = false
"""


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_a_file_sets_switches_tenants_and_faults(tmp_path: Path, suffix: str) -> None:
    """TOML or JSON; options of the command line come on top."""
    path = tmp_path / f"erp{suffix}"
    content = {
        "faults": [{"kind": "500", "rate": 0.5}],
        "switches": {"exclusive": True, "envelope": "data"},
        "tenants": {"shop-00002": {"exclusive": False}},
    }
    path.write_text(_TOML if suffix == ".toml" else orjson.dumps(content).decode())
    read = read_setup(path)
    assert dict(read.switches) == content["switches"]
    assert read.tenants == content["tenants"]
    assert [(fault.kind, fault.rate) for fault in read.faults] == [("500", 0.5)]
    both = setup_of(path, [switch_of("envelope=array"), switch_of("top_max=7"), switch_of("latin1")], [])
    assert both.switches == {"exclusive": True, "envelope": "array", "top_max": 7, "latin1": True}
    assert setup_of(None, [], []) == Setup()


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{",
        '{"x": 1}',
        '{"switches": {"colour": 1}}',
        '{"tenants": {"a": 1}}',
        '{"faults": [{"kind": "x"}]}',
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "erp.json"
    path.write_text(content)
    with pytest.raises(ValueError):
        read_setup(path)


def test_the_process_takes_its_setup_from_a_file_and_help_lists_the_switches(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "streamsync.simulator"]
    told = subprocess.run([*command, "--help"], check=True, capture_output=True, text=True).stdout
    assert all(line in told for line in help_text().splitlines())
    path = tmp_path / "erp.toml"
    path.write_text(_TOML.replace("rate = 0.5", "times = 1"))
    options = (
        "--customers",
        "9",
        "--fixed-sizes",
        "--config",
        str(path),
        "--branches",
        "1",
        "--shared-users",
        "2",
    )
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[3]
        population = Population(seed=1, customers_per_tenant=9, fixed_sizes=True, shared_users=2)
        auth = (population.user_of(SHOP), population.password_of(SHOP))
        page = f"{url}/erp/{SHOP}{CUSTOMERS}"
        assert httpx.get(page, auth=auth).status_code == 500
        assert len(httpx.get(page, params={"$format": "json"}, auth=auth).json()["data"]) == 9
        assert (
            httpx.get(f"{url}/_admin/switches", params={"tenant": "shop-00002"}).json()["exclusive"] is False
        )
        assert (
            len(httpx.get(f"{url}/_admin/truth", params={"tenant": SHOP, "table": "branch"}).text.split("\n"))
            == 2
        )
        process.terminate()
        assert process.wait(timeout=10) == 0
