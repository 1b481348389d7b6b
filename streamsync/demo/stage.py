"""The demo's stage: servers, a simulated ERP, and streamsync's own commands as processes.

Everything is done as an operator would: secret files, `migrate`, `tenants import`, `scheduler`, `worker`,
`trigger`. Nothing outlives the demo, whatever ends it.
"""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final

import orjson

from streamsync.embedded import PostgresServer, RedisServer
from streamsync.errors import StreamsyncError
from streamsync.simulator.data import Population
from streamsync.store.credentials import generate_key

#: The ERP's bad day. Backoff is short, so that retries fit into the demo.
FAULTS: Final = (
    {"kind": "500", "rate": 0.01},
    {"kind": "429", "rate": 0.005, "retry_after": 1},
    {"kind": "garbage", "rate": 0.005},
    {"kind": "reset", "rate": 0.005},
    {"kind": "timeout", "rate": 0.001},
    {"kind": "slow", "rate": 0.03, "seconds": 0.5},
)

_QUEUE: Final = "demo"
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 40.0


class DemoFailed(StreamsyncError):
    """The demo cannot go on; the message says why."""


@dataclass(slots=True)
class Stage:
    """Everything that runs. Use as a context manager."""

    folder: Path
    population: Population
    tenants: int
    concurrency: int
    window_ms: int
    redis_url: str = ""
    database_url: str = ""
    erp_url: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _cleanup: ExitStack = field(default_factory=ExitStack)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_processes()
        self._cleanup.close()

    @property
    def wrong_tenant(self) -> str:
        """The shop that is registered with a wrong password, to show the dead letter."""
        return list(self.population.tenants(self.tenants))[-1]

    def start_servers(self, redis_url: str | None, database_url: str | None) -> None:
        """Redis and PostgreSQL: those of the URLs, else real ones from wheels."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)
        if redis_url:
            self.redis_url = redis_url
        else:
            self.redis_url = self._cleanup.enter_context(RedisServer.start(self.folder / "redis")).url
        if database_url:
            self.database_url = database_url
        else:
            server = PostgresServer.start(self.folder / "postgres")
            self.database_url = self._cleanup.enter_context(server).url

    def start_erp(self) -> None:
        """The simulated ERP, a process of its own, with some faults on."""
        port_file, tenants_file = self.folder / "erp.url", self.folder / "tenants.csv"
        population = self.population
        arguments = [
            "--seed", population.seed, "--customers", population.customers_per_tenant,
            "--products", population.products_per_tenant, "--bad-rate", population.bad_rate,
            "--shared-rate", population.shared_trans_id_rate,
            "--port-file", port_file, "--csv", tenants_file, "--tenants", self.tenants, "--exit-with-parent",
        ]  # fmt: skip
        for fault in FAULTS:
            arguments += ["--fault", orjson.dumps(fault).decode()]
        process = self._spawn("simulator", *map(str, arguments))
        self._wait_for(port_file, process)
        self.erp_url = port_file.read_text().strip()
        self._spoil_one_password(tenants_file)

    def _spoil_one_password(self, file: Path) -> None:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.reader(stream))
        for row in rows:
            if row[0] == self.wrong_tenant:
                row[-1] = "not-the-password"
        with file.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows(rows)

    def configure(self) -> None:
        """The environment of all commands: secrets in files, everything else in plain sight."""
        secrets = self.folder / "secrets"
        secrets.mkdir(mode=0o700)
        for name, value in (
            ("REDIS_URL", self.redis_url),
            ("DATABASE_URL", self.database_url),
            ("STREAMSYNC_CREDENTIAL_KEYS", generate_key()),
        ):
            (secrets / name).write_text(value)
            (secrets / name).chmod(0o600)
        kept = ("PATH", "HOME", "LANG", "TMPDIR", "TZ", "VIRTUAL_ENV", "PYTHONPATH")
        self.environment = {name: os.environ[name] for name in kept if name in os.environ} | {
            "STREAMSYNC_SECRETS_DIR": str(secrets),
            "STREAMSYNC_QUEUE": _QUEUE,
            "ERP_SYNC_CONCURRENCY": str(self.concurrency),
            "ERP_SYNC_DELAY_CUSTOMERS_MS_MAX": str(self.window_ms),
            "ERP_SYNC_DELAY_PRODUCTS_MS_MAX": str(self.window_ms),
            "ERP_SYNC_DELAY_CUSTOMERS_STEP_MS": "10",
            "ERP_SYNC_DELAY_PRODUCTS_STEP_MS": "10",
            "ERP_SYNC_RETRY_BASE_MS": "500",
            "ERP_SYNC_MAX_RETRIES": "6",
            "ERP_SYNC_READ_TIMEOUT_SECONDS": "3",
            "ERP_SYNC_PAGE_TIMEOUT_SECONDS": "10",
            "ERP_SYNC_PAGE_SIZE": "250",
            # The simulated ERP is on this machine.
            "STREAMSYNC_ERP_ALLOW_PRIVATE": "true",
            "STREAMSYNC_CLAIM_IDLE_MS": "2000",
            "STREAMSYNC_BUSY_DELAY_MS": "300",
            # No tick of its own must come in between.
            "STREAMSYNC_CUSTOMERS_CRON": "0 0 29 2 *",
            "STREAMSYNC_PRODUCTS_CRON": "0 0 29 2 *",
            "STREAMSYNC_CONFIG": os.devnull,
            "LOG_FORMAT": "json",
        }

    def command(self, *arguments: str) -> str:
        """Run one streamsync command to its end; its output. Raises DemoFailed."""
        done = subprocess.run(  # noqa: S603 - our own command
            [*_STREAMSYNC, *arguments], env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise DemoFailed(
                f"`streamsync {' '.join(arguments)}` ended with {done.returncode}: {done.stderr.strip()}"
            )
        return done.stdout.strip()

    def start_scheduler(self) -> None:
        """One scheduler."""
        self._spawn("scheduler")

    def start_worker(self) -> subprocess.Popen[bytes]:
        """One more worker process."""
        process = self._spawn("worker")
        self.workers.append(process)
        return process

    def stop_processes(self) -> list[int]:
        """SIGTERM to all of ours, SIGKILL to who does not listen; the exit statuses of the workers."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in self._processes:
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
        return [process.returncode for process in self.workers]

    def _spawn(self, command: str, *arguments: str) -> subprocess.Popen[bytes]:
        number = len(self._processes)
        log = self._cleanup.enter_context((self.folder / f"{command}-{number}.log").open("wb"))
        process = subprocess.Popen(  # noqa: S603 - our own command
            [*_STREAMSYNC, command, *arguments],
            env=self.environment or None,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            # Ctrl-C is for the demo, which then stops them in order.
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def _wait_for(self, file: Path, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise DemoFailed(f"the simulated ERP did not start; see {self.folder}")
            time.sleep(0.05)


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL, as a crash or the kernel's out-of-memory killer would."""
    process.send_signal(signal.SIGKILL)
    process.wait()


_STREAMSYNC: Final = (sys.executable, "-m", "streamsync.cli.main")
