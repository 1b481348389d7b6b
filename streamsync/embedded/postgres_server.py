"""A real PostgreSQL (from its wheel, else the machine's) for the demo and the tests."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

import psycopg
from psycopg import sql

from streamsync.embedded import as_root
from streamsync.embedded.binaries import Binary, Source, find_postgres
from streamsync.embedded.process import DirectoryLock, EmbeddedServerError, SupervisedProcess, free_port

_INITDB_SECONDS: Final = 60.0
_START_SECONDS: Final = 60.0
_PORT_ATTEMPTS: Final = 5
#: The server's words on a port that another took after we looked.
_PORT_TAKEN: Final = "could not create any TCP/IP sockets"
#: The role that streamsync uses: not a superuser, since row-level security does not bind those.
_ROLE: Final = "streamsync"
_DEFAULTS: Final = {
    "shared_buffers": "128MB",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
}


class PostgresServer:
    """A server on a free loopback port, with passwords, a database `streamsync` and a role that owns it."""

    def __init__(
        self, data_dir: Path, binary: Binary, *, settings: Mapping[str, str], socket_dir: Path | None
    ) -> None:
        """Use `PostgresServer.start`."""
        self.data_dir: Final = data_dir
        self.binary: Final = binary
        self.port = 0
        self._settings = {**_DEFAULTS, **settings}
        self._socket_dir = socket_dir
        self._isolation = as_root.choose_isolation()
        self._program = binary.path
        self._cluster = data_dir / "cluster"
        if self._isolation == "nobody":
            version = ".".join(map(str, binary.version))
            self._program = as_root.reachable_binary(binary.path, version)
            self._cluster = as_root.reachable_directory(self._cluster)
        self._passwords: dict[str, str] = {}
        self._process: SupervisedProcess | None = None

    @classmethod
    def start(
        cls,
        data_dir: Path,
        *,
        source: Source = "auto",
        settings: Mapping[str, str] = MappingProxyType({}),
        socket_dir: Path | None = None,
    ) -> PostgresServer:
        """Start a server that keeps its files below `data_dir` (made if empty) and wait until it is ready.

        `settings` are PostgreSQL's own (`{"fsync": "off"}`); `socket_dir` adds a Unix socket there.
        Raises ConfigurationError if there is no binary, EmbeddedServerError if the server does not start.
        """
        data_dir = data_dir.resolve()
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if socket_dir is not None:
            socket_dir = socket_dir.resolve()
            socket_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        server = cls(data_dir, find_postgres(source), settings=settings, socket_dir=socket_dir)
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            server.port = free_port()
            try:
                server._launch()
                break
            except EmbeddedServerError as error:
                if _PORT_TAKEN not in str(error) or attempt == _PORT_ATTEMPTS:
                    raise
        try:
            server._provide_role_and_database()
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def url(self) -> str:
        """Address of the database `streamsync` for the role `streamsync`, with password."""
        return self._address(_ROLE, _ROLE)

    @property
    def admin_url(self) -> str:
        """Address of the database `streamsync` for the superuser, with password."""
        return self._address("postgres", _ROLE)

    @property
    def pid(self) -> int:
        """Process id of the server itself, the postmaster."""
        return self._running().pid

    def create_database(self, name: str, template: str | None = None) -> str:
        """A new database owned by the role `streamsync`, a copy of `template` if given; returns its URL."""
        statement = sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(_ROLE))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        self._administer(statement)
        return self._address(_ROLE, name)

    def drop_database(self, name: str) -> None:
        """Remove a database if it exists, and end the sessions in it."""
        self._administer(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def stop(self) -> None:
        """Stop the server (its fast mode) and wait until it is gone. Does nothing if it is."""
        self._end(immediate=False)

    def kill(self) -> None:
        """SIGKILL the server and all its processes at once: what a crash would do."""
        self._running().kill()
        self._process = None

    def restart(self, *, immediate: bool = False) -> None:
        """Stop the server if it runs (`immediate`: without a checkpoint), and start it on the same port."""
        self._end(immediate=immediate)
        self._launch()

    def freeze(self) -> None:
        """SIGSTOP all its processes: connections stay open and nothing answers."""
        self._running().freeze()

    def thaw(self) -> None:
        """SIGCONT after `freeze`."""
        self._running().thaw()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _running(self) -> SupervisedProcess:
        if self._process is None:
            raise EmbeddedServerError("the PostgreSQL server does not run")
        return self._process

    def _end(self, *, immediate: bool) -> None:
        if self._process is not None:
            self._process.stop(immediate=immediate)
            self._process = None

    def _address(self, role: str, database: str) -> str:
        return f"postgresql://{role}:{self._passwords[role]}@127.0.0.1:{self.port}/{database}"

    def _launch(self) -> None:
        lock = DirectoryLock(self.data_dir)
        try:
            if not (self._cluster / "PG_VERSION").exists():
                self._initialise(lock)
            self._passwords = json.loads(self._secrets_file.read_text())
            # We hold the lock, so no server runs here: a pid file left by a killed one is stale, and its
            # number may by now be another process of ours, which PostgreSQL would take for a rival.
            (self._cluster / "postmaster.pid").unlink(missing_ok=True)
            options = {
                **self._settings,
                "listen_addresses": "127.0.0.1",
                "port": str(self.port),
                "unix_socket_directories": str(self._socket_dir or ""),
                "unix_socket_permissions": "0700",
            }
            arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
            process = self._run("postgres", ["-D", str(self._cluster), *arguments], lock)
        finally:
            lock.release()
        give_up = time.monotonic() + _START_SECONDS
        while not self._ready():
            if process.wait_exit_or(0.01):
                process.stop()
                raise process.failure("did not start")
            if time.monotonic() > give_up:
                process.stop(immediate=True)
                raise process.failure(f"was not ready within {_START_SECONDS:g} s")
        self._process = process

    @property
    def _secrets_file(self) -> Path:
        return self.data_dir / "passwords.json"

    def _initialise(self, lock: DirectoryLock) -> None:
        """initdb, with the superuser's password from a file, in a directory that is renamed when whole."""
        building = self._cluster.with_name(f"{self._cluster.name}.new")
        if building.exists():  # left by a start that was killed
            shutil.rmtree(building)
        building.mkdir(mode=0o700)
        passwords = {role: secrets.token_urlsafe(24) for role in ("postgres", _ROLE)}
        password_file = self._cluster.with_name("initial-password")
        password_file.touch(mode=0o600)
        password_file.write_text(passwords["postgres"])
        if self._isolation == "nobody":
            as_root.give_to_nobody(password_file)
            as_root.give_to_nobody(building)
        if self.binary.version >= (17,):
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        else:  # letters beyond ASCII need the system's locale, which glibc has everywhere
            locale = ["--locale=C", *(["--lc-ctype=C.UTF-8"] if sys.platform.startswith("linux") else [])]
        arguments = [
            *("-D", str(building), "-U", "postgres", f"--pwfile={password_file}"),
            *("-A", "scram-sha-256", "-E", "UTF8", "--no-sync", "--no-instructions"),
            *locale,
        ]
        initdb = self._run("initdb", arguments, lock)
        if initdb.wait(_INITDB_SECONDS) != 0:
            raise initdb.failure("failed")
        password_file.unlink()
        self._secrets_file.touch(mode=0o600)
        self._secrets_file.write_text(json.dumps(passwords))
        building.rename(self._cluster)

    def _run(self, program: str, arguments: Sequence[str], lock: DirectoryLock) -> SupervisedProcess:
        return SupervisedProcess(
            [str(self._program.with_name(program)), *arguments],
            log=self.data_dir / f"{program}.log",
            lock=lock,
            fast=signal.SIGINT,
            immediate=signal.SIGQUIT,
            isolation=self._isolation,
        )

    def _ready(self) -> bool:
        """Line 8 of the pid file; connecting earlier would only fill the log."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def _provide_role_and_database(self) -> None:
        role = sql.Identifier(_ROLE)
        address = self._address("postgres", "postgres")
        with psycopg.connect(address, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (_ROLE,)).fetchone():
                create = sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD {}")
                connection.execute(create.format(role, sql.Literal(self._passwords[_ROLE])))
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (_ROLE,)).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))

    def _administer(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._address("postgres", "postgres"), autocommit=True) as connection:
            connection.execute(statement)
