"""The pool of connections, every setting explicit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, LiteralString

from psycopg import AsyncClientCursor, AsyncConnection, OperationalError
from psycopg.rows import DictRow, dict_row
from psycopg.sql import SQL
from psycopg_pool import AsyncConnectionPool

from streamsync.errors import StoreUnavailable
from streamsync.store.sqlstate import translated

Connection = AsyncConnection[DictRow]

#: Longest wait for a connection of the pool.
ACQUIRE_TIMEOUT_SECONDS: Final = 10.0

#: Longest that a statement of the ledger may take; pages have a limit of their own.
STATEMENT_TIMEOUT_SECONDS: Final = 30.0

#: A session that is silent inside a transaction for this long is ended by the server.
IDLE_IN_TRANSACTION_MS: Final = 5_000

_END_WHEN_IDLE: Final = SQL("SET LOCAL idle_in_transaction_session_timeout = {}").format(
    IDLE_IN_TRANSACTION_MS
)


class Database:
    """PostgreSQL. Open it with `async with Database(url)`; connections are made when first needed.

    `pooled` says that a pooler in transaction mode (PgBouncer) is in between: then nothing may outlive a
    transaction in a session, so neither prepared statements nor session settings are used.
    """

    def __init__(
        self, url: str, *, max_size: int = 8, pooled: bool = False, application: str = "streamsync"
    ) -> None:
        self.pooled = pooled
        self._url = url
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            connection_class=AsyncConnection[DictRow],
            min_size=0,
            max_size=max_size,
            open=False,
            timeout=ACQUIRE_TIMEOUT_SECONDS,
            reconnect_timeout=60.0,
            check=AsyncConnectionPool.check_connection,
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "prepare_threshold": None if pooled else 2,
                "connect_timeout": 5,
                "application_name": application,
                "keepalives": 1,
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "tcp_user_timeout": 15_000,
            },
        )

    async def __aenter__(self) -> Database:
        await self._pool.open(wait=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close(timeout=5)

    async def probe(self) -> None:
        """Connect once, outside the pool, which would try for long and not say why it failed.

        Raises StoreUnavailable with libpq's first line (host, port, user; never the password).
        """
        try:
            connection = await AsyncConnection.connect(self._url, connect_timeout=5)
        except OperationalError as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise StoreUnavailable(f"cannot connect: {reason[0]}") from error
        await connection.close()

    @asynccontextmanager
    async def connection(
        self, *, timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS
    ) -> AsyncIterator[Connection]:
        """A connection in autocommit mode. Raises StoreUnavailable, ConfigurationError, LostLock …"""
        async with translated(timeout_seconds), self._pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def transaction(
        self, *, timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS
    ) -> AsyncIterator[Connection]:
        """A connection inside a transaction that commits at the end of the block.

        The server ends it if this process freezes in between: others may be waiting for its rows.
        """
        async with self.connection(timeout_seconds=timeout_seconds) as connection, connection.transaction():
            await connection.execute(_END_WHEN_IDLE)
            yield connection

    async def fetch(self, query: LiteralString, parameters: Mapping[str, Any] | None = None) -> list[DictRow]:
        """Rows of one statement, as dicts."""
        async with self.connection() as connection:
            cursor = await connection.execute(query, parameters)
            return await cursor.fetchall() if cursor.description else []

    async def fetch_many(
        self, statements: Sequence[tuple[LiteralString, Mapping[str, Any]]]
    ) -> list[list[DictRow]]:
        """Several statements in one transaction; the rows of each.

        They are ONE message, which the server carries out to its end by itself. In a pipeline each statement
        would be a message of its own, and a client that freezes between two of them would hold the rows that
        it has locked for as long as it sleeps: no timeout of the server runs there.
        """
        async with self.connection() as connection, AsyncClientCursor(connection) as cursor:
            message = "\n;\n".join(cursor.mogrify(query, parameters) for query, parameters in statements)
            await cursor.execute(message.encode())
            rows: list[list[DictRow]] = []
            while True:
                rows.append(await cursor.fetchall() if cursor.description else [])
                if not cursor.nextset():
                    return rows

    async def ping(self) -> None:
        """Raise StoreUnavailable unless PostgreSQL answers."""
        await self.fetch("SELECT 1")
