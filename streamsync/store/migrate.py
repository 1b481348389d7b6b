"""`streamsync migrate`: numbered plain SQL files, forward only, each in a transaction of its own.

A small runner instead of a library: yoyo and its like keep their own file format and lock table, and none
refuses a database that is newer than the code, which is what protects a half-rolled-back deployment.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection

from streamsync.errors import ConfigurationError, StoreUnavailable
from streamsync.resources import sql_dir
from streamsync.store.sqlstate import translate

#: Any fixed number: those who migrate at the same time wait for each other within their transactions.
_LOCK: Final = 7_316_018_122

_FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

_CREATE: Final = """
CREATE TABLE IF NOT EXISTS schema_migration (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


@dataclass(frozen=True, slots=True)
class Migration:
    """A numbered file of `sql/migrations/`."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(folder: Path | None = None) -> list[Migration]:
    """All migrations in order. Raises ValueError for a name out of pattern or a gap in the numbers."""
    found = []
    for path in sorted((folder or sql_dir() / "migrations").glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if not match:
            raise ValueError(f"{path.name}: a migration is named 0001_what_it_does.sql")
        found.append(Migration(int(match[1]), path.stem, path.read_text(encoding="utf-8")))
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError("migrations must be numbered from 0001 without a gap")
    return found


def migrate(url: str, *, folder: Path | None = None) -> list[str]:
    """Bring the database up to date; returns the names of the migrations applied, perhaps none.

    Safe when several start at once. Raises ConfigurationError for a database newer than this code or one
    whose applied migrations differ from the files, StoreUnavailable where PostgreSQL is away.
    """
    known = migrations(folder)
    applied: list[str] = []
    try:
        with psycopg.connect(url, connect_timeout=10, autocommit=True) as connection:
            while True:
                with connection.transaction():
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                    connection.execute(_CREATE)
                    rows = connection.execute("SELECT version, checksum FROM schema_migration").fetchall()
                    pending = _pending(known, dict(rows))
                    if not pending:
                        return applied
                    step = pending[0]
                    connection.execute(step.sql)
                    connection.execute(
                        "INSERT INTO schema_migration (version, name, checksum) VALUES (%s, %s, %s)",
                        (step.version, step.name, step.checksum),
                    )
                applied.append(step.name)
    except (psycopg.OperationalError, psycopg.errors.InsufficientPrivilege) as error:
        if error.sqlstate is None:
            detail = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise StoreUnavailable(f"PostgreSQL cannot be reached: {detail}") from error
        raise translate(error) from error


def _pending(known: list[Migration], applied: dict[int, str]) -> list[Migration]:
    newest = known[-1].version
    if applied and max(applied) > newest:
        raise ConfigurationError(
            f"the database is at migration {max(applied)}, this code knows {newest}: "
            "install a release of streamsync at least as new as the one that migrated it"
        )
    for migration in known:
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise ConfigurationError(
                f"migration {migration.name} was changed after it had been applied: restore the file, add a new one"
            )
    return [migration for migration in known if migration.version not in applied]


async def check_current(connection: AsyncConnection[Any]) -> None:
    """Raise ConfigurationError unless the database is exactly at this code's migrations."""
    newest = migrations()[-1].version
    cursor = await connection.execute("SELECT to_regclass('schema_migration') IS NOT NULL AS there")
    row = await cursor.fetchone()
    version = 0
    if row and row["there"]:
        cursor = await connection.execute("SELECT coalesce(max(version), 0) AS version FROM schema_migration")
        row = await cursor.fetchone()
        version = int(row["version"]) if row else 0
    if version < newest:
        raise ConfigurationError(
            f"the database is at migration {version} of {newest}: run `streamsync migrate`"
        )
    if version > newest:
        raise ConfigurationError(f"the database is at migration {version}, newer than this code ({newest})")
