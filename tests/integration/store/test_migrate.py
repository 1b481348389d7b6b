"""Migrations: forward only, several at once, and what is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from streamsync.errors import ConfigurationError, StoreUnavailable
from streamsync.resources import sql_dir
from streamsync.store.migrate import migrate, migrations
from tests.plugins.fix_postgres import Databases

_NAMES = [migration.name for migration in migrations()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the migrations, to change."""
    return Path(shutil.copytree(sql_dir() / "migrations", tmp_path / "migrations"))


def test_an_empty_database_gets_all_and_a_migrated_one_none(empty_database_url: str) -> None:
    """In order, each once."""
    assert migrate(empty_database_url) == _NAMES
    assert migrate(empty_database_url) == []


def test_several_at_once_in_threads(empty_database_url: str) -> None:
    """Each migration is applied by exactly one of them, and all of them succeed."""
    with ThreadPoolExecutor(6) as pool:
        applied = [name for names in pool.map(migrate, [empty_database_url] * 6) for name in names]
    assert sorted(applied) == _NAMES


def test_several_at_once_in_processes(empty_database_url: str) -> None:
    """The same across processes, as when several machines are deployed together."""
    code = "import sys; from streamsync.store.migrate import migrate; print(*migrate(sys.argv[1]), sep='\\n')"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, empty_database_url], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(name for output in outputs for name in output) == _NAMES


def test_a_new_file_is_applied_to_a_migrated_database(database_url: str, folder: Path) -> None:
    """Only what is missing."""
    (folder / f"{len(_NAMES) + 1:04d}_more.sql").write_text("CREATE TABLE more (id bigint);")
    assert migrate(database_url, folder=folder) == [f"{len(_NAMES) + 1:04d}_more"]


def test_a_database_newer_than_the_code_is_refused(database_url: str, folder: Path) -> None:
    """An old release must not touch what a newer one has migrated."""
    (folder / f"{len(_NAMES) + 1:04d}_more.sql").write_text("SELECT 1;")
    migrate(database_url, folder=folder)
    with pytest.raises(ConfigurationError, match="this code knows"):
        migrate(database_url)


def test_a_changed_file_is_refused(database_url: str, folder: Path) -> None:
    """What has been applied cannot be edited; the message says what to do."""
    path = folder / f"{_NAMES[0]}.sql"
    path.write_text(path.read_text() + "\n-- harmless")
    with pytest.raises(ConfigurationError, match="restore the file"):
        migrate(database_url, folder=folder)


def test_a_migration_that_fails_leaves_nothing_behind(database_url: str, folder: Path) -> None:
    """Each is a transaction of its own: mended, it applies."""
    path = folder / f"{len(_NAMES) + 1:04d}_more.sql"
    path.write_text("CREATE TABLE more (id bigint); SELECT 1/0;")
    with pytest.raises(psycopg.Error, match="division by zero"):
        migrate(database_url, folder=folder)
    path.write_text("CREATE TABLE more (id bigint);")
    assert migrate(database_url, folder=folder) == [path.stem]


@pytest.mark.parametrize("name", ["12_short.sql", "0009_gap.sql", "0003-dash.sql", "0003_Upper.sql"])
def test_misnamed_files_are_refused(folder: Path, name: str) -> None:
    """Out of pattern, or a gap in the numbers."""
    (folder / name).write_text("SELECT 1;")
    with pytest.raises(ValueError, match="migration"):
        migrations(folder)


def test_a_server_that_is_away_is_unavailable() -> None:
    """Not a traceback: port 9 of the own machine answers nobody."""
    with pytest.raises(StoreUnavailable):
        migrate("postgresql://nobody@127.0.0.1:9/none")


def test_missing_rights_are_the_operators_to_mend(databases: Databases, empty_database_url: str) -> None:
    """A role that may not create tables is told so as a setting to change, not with a traceback."""
    admin = databases.url(urlsplit(empty_database_url).path.removeprefix("/"), admin=True)
    with psycopg.connect(admin, autocommit=True) as connection:
        row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        if row != (True,):
            pytest.skip("DATABASE_URL's role cannot take rights away")
        connection.execute("ALTER SCHEMA public OWNER TO CURRENT_USER")
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        migrate(empty_database_url)
