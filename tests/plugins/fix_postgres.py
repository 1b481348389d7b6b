"""PostgreSQL: one server for all tests, a freshly migrated database for each; and one of its own to break."""

from __future__ import annotations

import itertools
import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from streamsync.embedded import PostgresServer
from tests.plugins.servers import POSTGRES_IMAGE, Choice

#: Tests have nothing to lose when the machine crashes, and much time to win.
_FAST: Final = {"fsync": "off", "full_page_writes": "off", "max_connections": "300"}


@pytest.fixture(scope="session")
def server_dir() -> Iterator[Path]:
    """Where the shared servers keep their files."""
    yield from _server_dir()


@pytest.fixture
def own_server_dir() -> Iterator[Path]:
    """Where a test's own servers keep theirs."""
    yield from _server_dir()


def _server_dir() -> Iterator[Path]:
    # Not below pytest's tmp_path: that is closed to others, and it keeps the last runs' 40 MB clusters.
    with tempfile.TemporaryDirectory(prefix="streamsync-test-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        yield directory


@dataclass
class Databases:
    """Makes databases on the shared server, owned by a role that is not a superuser."""

    admin_url: str
    role: str
    password: str
    _names: Iterator[str] = field(
        default_factory=lambda: (f"streamsync_test_{os.getpid()}_{n}" for n in itertools.count(1))
    )

    def create(self, template: str | None = None) -> str:
        """A new database, a copy of `template` if given; returns its name."""
        name = next(self._names)
        statement = sql.SQL("CREATE DATABASE {} OWNER {}").format(
            sql.Identifier(name), sql.Identifier(self.role)
        )
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        self._administer(statement)
        return name

    def drop(self, name: str) -> None:
        """Remove a database and end the sessions that a test left in it."""
        self._administer(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def url(self, name: str, *, admin: bool = False) -> str:
        """Address of a database for the ordinary role, or for the one that made it."""
        parts = urlsplit(self.admin_url)
        who = parts.netloc if admin else f"{self.role}:{quote(self.password, safe='')}@{_host(parts.netloc)}"
        return parts._replace(netloc=who, path=f"/{name}").geturl()

    def _administer(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(statement)


def _host(netloc: str) -> str:
    return netloc.rpartition("@")[2]


@pytest.fixture(scope="session")
def databases(pytestconfig: pytest.Config, server_dir: Path) -> Iterator[Databases]:
    """The server that all tests share."""
    choice = Choice.of(pytestconfig)
    if choice.postgres.kind == "url":
        yield from _databases_with_a_role(choice.postgres.url)
    elif choice.postgres.kind == "docker":
        from testcontainers.community.postgres import PostgresContainer

        with PostgresContainer(POSTGRES_IMAGE, driver=None) as container:
            yield from _databases_with_a_role(container.get_connection_url())
    else:
        with PostgresServer.start(server_dir / "postgres", source=choice.source, settings=_FAST) as server:
            role = conninfo_to_dict(server.url)
            yield Databases(server.admin_url, str(role["user"]), str(role["password"]))


def _databases_with_a_role(url: str) -> Iterator[Databases]:
    """On a server that is not ours: use its role if that is an ordinary one, else make an ordinary one."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT rolname, rolsuper OR rolbypassrls, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert row is not None
        name, too_mighty, creates = row
        if not too_mighty:
            if not creates:
                pytest.exit(f"DATABASE_URL's role {name} may not create databases (ALTER ROLE … CREATEDB)", 4)
            yield Databases(url, name, urlsplit(url).password or "")
            return
        role, password = f"streamsync_test_{secrets.token_hex(4)}", secrets.token_urlsafe(16)
        identifier = sql.Identifier(role)
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(identifier, sql.Literal(password))
        )
        try:
            yield Databases(url, role, password)
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(identifier))


@pytest.fixture(scope="session")
def migrated_template(databases: Databases) -> Iterator[str]:
    """Name of a migrated database that nobody is connected to."""
    from streamsync.store.migrate import migrate

    name = databases.create()
    migrate(databases.url(name))
    yield name
    databases.drop(name)


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    """Address of a database of the test's own without any table, for the ordinary role."""
    name = databases.create()
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture
def database_url(databases: Databases, migrated_template: str) -> Iterator[str]:
    """Address of a migrated database of the test's own, for the ordinary role."""
    name = databases.create(migrated_template)
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture
def admin_database_url(databases: Databases, database_url: str) -> str:
    """`database_url` for the superuser: for what the ordinary role must not do.

    With a DATABASE_URL whose role is an ordinary one, it is that role: enough to end its own sessions.
    """
    return databases.url(urlsplit(database_url).path.removeprefix("/"), admin=True)


@pytest.fixture
def postgres_server(pytestconfig: pytest.Config, own_server_dir: Path) -> Iterator[PostgresServer]:
    """A server of the test's own, to kill, freeze and restart: `.url` is an empty database."""
    with PostgresServer.start(
        own_server_dir / "postgres", source=Choice.of(pytestconfig).source, settings=_FAST
    ) as server:
        yield server


@pytest.fixture
def migrated_postgres_server(postgres_server: PostgresServer) -> PostgresServer:
    """The same, with the tables in place."""
    from streamsync.store.migrate import migrate

    migrate(postgres_server.url)
    return postgres_server
