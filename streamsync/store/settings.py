"""What a queue was set up with. It lives in PostgreSQL, because a process configured otherwise would look for
tenants in the wrong partition."""

from __future__ import annotations

from streamsync.store.pool import Database
from streamsync.store.queries import query


class Setup:
    """The `queue_setting` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def partitions(self, queue: str, wanted: int) -> int:
        """How many partitions the queue has; the first to ask decides."""
        await self._database.fetch(
            query("tenants", "put_queue_setting"), {"queue": queue, "partitions": wanted}
        )
        rows = await self._database.fetch(query("tenants", "queue_partitions"), {"queue": queue})
        return int(rows[0]["partitions"])
