"""Whether a process may start on this database."""

from __future__ import annotations

import psycopg
import pytest

from streamsync.errors import ConfigurationError
from streamsync.store.migrate import check_current, migrations
from streamsync.store.pool import Database


async def _check(url: str) -> None:
    async with Database(url) as database, database.connection() as connection:
        await check_current(connection)


async def test_exactly_this_codes_migrations(database_url: str) -> None:
    """A migrated database passes."""
    await _check(database_url)


async def test_an_empty_database_says_what_to_run(empty_database_url: str) -> None:
    """The remedy is in the message."""
    with pytest.raises(ConfigurationError, match="streamsync migrate"):
        await _check(empty_database_url)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM schema_migration WHERE version = 2", "streamsync migrate"),
        (
            "INSERT INTO schema_migration (version, name, checksum) VALUES (9999, 'x', 'x')",
            "newer than this code",
        ),
    ],
)
async def test_older_and_newer_are_refused(database_url: str, statement: str, words: str) -> None:
    """Half a deployment does not start."""
    assert migrations()[-1].version >= 2
    with psycopg.connect(database_url, autocommit=True) as connection:
        if "DELETE" in statement:
            statement = f"DELETE FROM schema_migration WHERE version = {migrations()[-1].version}"
        connection.execute(statement.encode())
    with pytest.raises(ConfigurationError, match=words):
        await _check(database_url)
