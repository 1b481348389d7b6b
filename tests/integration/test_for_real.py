"""What the README says under "run it for real", exactly as an operator would do it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from streamsync.embedded.process import free_port
from streamsync.resources import sql_dir
from streamsync.simulator.data import Population
from tests.plugins.fix_processes import Processes
from tests.support import wait_until

TENANTS = 6
SEED = 11
#: Sizes vary; every tenth or so record shares its cursor with the one before, some cannot be accepted.
POPULATION = Population(
    seed=SEED, customers_per_tenant=80, products_per_tenant=20, bad_rate=0.03, shared_trans_id_rate=0.1
)
KEYS = {
    "customer": ("customer_id",),
    "customer_address": ("customer_id", "address_id"),
    "product": ("vitrine", "product_id"),
    "sku": ("vitrine", "product_id", "sku"),
    "branch": ("branch_id",),
    "price": ("vitrine", "sku"),
    "stock": ("branch_id", "sku", "lot"),
}


@pytest.fixture
def secrets(tmp_path: Path, redis_url: str, empty_database_url: str) -> dict[str, str]:
    """The secret files of an installation, and the variables that name them."""
    variables = {}
    for name, content in (("REDIS_URL", redis_url), ("DATABASE_URL", empty_database_url)):
        path = tmp_path / name.lower()
        path.write_text(content + "\n")
        path.chmod(0o600)
        variables[f"{name}_FILE"] = str(path)
    variables["STREAMSYNC_CREDENTIAL_KEYS_FILE"] = str(tmp_path / "keys")
    return variables


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8").strip()


def _write(path: str, content: str) -> None:
    Path(path).write_text(content, encoding="utf-8")
    Path(path).chmod(0o600)


def _statements() -> Iterator[str]:
    """The statements of the audit, one by one, as psql would send them."""
    text = (sql_dir() / "audit" / "audit_jobrun.sql").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(("--", "\\"))]
    yield from (part for part in "\n".join(lines).split(";") if part.strip())


async def test_an_operator_sets_it_up_and_it_works(
    processes: Processes, secrets: dict[str, str], tmp_path: Path, empty_database_url: str
) -> None:
    """Own Redis, own PostgreSQL, an ERP at a URL; settings by environment and files; commands only."""
    ports = {name: str(free_port()) for name in ("scheduler", "worker-1", "worker-2")}
    environment = processes.environment(
        None,
        **secrets,
        ERP_SYNC_CONCURRENCY="3",
        ERP_SYNC_PAGE_SIZE="50",
        STREAMSYNC_COMMIT_MAX_ROWS="100",
        ERP_SYNC_RETRY_BASE_MS="200",
        ERP_SYNC_DELAY_CUSTOMERS_MS_MAX="1000",
        ERP_SYNC_DELAY_CUSTOMERS_STEP_MS="100",
        ERP_SYNC_DELAY_PRODUCTS_MS_MAX="0",
    )

    async def streamsync(*arguments: str) -> str:
        return await processes.run(*arguments, environment=environment)

    # The ERP is somewhere else; it hands out the list of its shops.
    tenants_csv, url_file = tmp_path / "tenants.csv", tmp_path / "url"
    simulator = processes.start(
        "simulator",
        *("--seed", str(SEED), "--customers", "80", "--products", "20"),
        *("--bad-rate", "0.03", "--shared-rate", "0.1", "--fault", '{"kind":"500","rate":0.01}'),
        *("--csv", str(tenants_csv), "--tenants", str(TENANTS), "--port-file", str(url_file)),
        environment=processes.environment(),
    )
    await wait_until(url_file.exists, 30, "the simulated ERP")

    _write(secrets["STREAMSYNC_CREDENTIAL_KEYS_FILE"], await streamsync("credentials", "generate-key"))
    assert "applied 0001" in await streamsync("migrate")
    assert "up to date" in await streamsync("migrate")
    assert f"{TENANTS} tenants added" in await streamsync("tenants", "import", str(tenants_csv))
    assert f"{TENANTS} tenants" in await streamsync("tenants", "list")

    running = {
        name: processes.start(name.partition("-")[0], "--http-port", port, environment=environment)
        for name, port in ports.items()
    }
    for name, process in running.items():
        await process.logged(f"{name.partition('-')[0]} started")
    assert f"customers: {TENANTS} tenants, {TENANTS} jobs made" in await streamsync("trigger", "customers")
    assert f"products: {TENANTS} tenants, {TENANTS} jobs made" in await streamsync("trigger", "products")

    async with await psycopg.AsyncConnection.connect(
        empty_database_url, autocommit=True, row_factory=dict_row
    ) as connection:

        async def ended() -> bool:
            rows = await (await connection.execute("SELECT state FROM job_run")).fetchall()
            return {row["state"] for row in rows} == {"succeeded"} and len(rows) == 2 * TENANTS

        await wait_until(ended, 60, "the end of every job")
        with tenants_csv.open(encoding="utf-8") as file:
            shops = list(csv.DictReader(file))
        for shop in shops:
            for table, key in KEYS.items():
                await _check_rows(connection, shop["tenant_id"], table, key)
        rejected = await (
            await connection.execute("SELECT sum(rows_rejected) > 0 AS some FROM job_run")
        ).fetchall()
        assert rejected[0]["some"]
        statements = list(_statements())
        assert statements
        for statement in statements:
            await connection.execute(statement.encode())

    async with httpx.AsyncClient(timeout=10) as client:
        for name, port in ports.items():
            for page in ("healthz", "readyz"):
                answer = await client.get(f"http://127.0.0.1:{port}/{page}")
                assert (answer.status_code, answer.json()["ok"]) == (200, True), (name, page)
            metrics = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
            assert "streamsync_queue_delayed" in metrics
        workers = [
            (await client.get(f"http://127.0.0.1:{ports[name]}/metrics")).text
            for name in ("worker-1", "worker-2")
        ]
    ends = 'streamsync_jobs_completed_total{kind="customers",outcome="succeeded"} '
    done = [
        float(line.removeprefix(ends))
        for text in workers
        for line in text.splitlines()
        if line.startswith(ends)
    ]
    assert sum(done) == TENANTS

    passwords = {shop["password"] for shop in shops} | {_read(path) for path in secrets.values()}
    for process in (*running.values(), simulator):
        shown = [_read(f"/proc/{process.pid}/{file}") for file in ("cmdline", "environ")]
        for secret in passwords:
            assert all(secret not in text for text in (*shown, process.output()))

    for process in running.values():
        process.terminate()
    assert [await process.exited() for process in running.values()] == [0, 0, 0]


async def _check_rows(
    connection: psycopg.AsyncConnection[dict[str, object]], tenant_id: str, table: str, key: tuple[str, ...]
) -> None:
    """A table holds exactly the ERP's rows of a tenant."""
    truth = list(POPULATION.truth(tenant_id, table))
    query = sql.SQL("SELECT {} FROM {} WHERE tenant_id = %s ORDER BY {}").format(
        sql.SQL(", ").join(map(sql.Identifier, truth[0])),
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, key)),
    )
    rows = await (await connection.execute(query, [tenant_id])).fetchall()
    assert rows == truth, f"{table} of {tenant_id}"
