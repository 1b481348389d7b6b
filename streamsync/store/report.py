"""Figures of the ledger for people: what `streamsync demo` shows, and later `status`."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg.rows import DictRow

from streamsync.store.pool import Database
from streamsync.store.queries import query


@dataclass(frozen=True, slots=True)
class Overview:
    """The ledger at a glance."""

    states: dict[str, int]
    rows: int
    rejected: int
    workers_running: dict[str, int]

    @property
    def jobs(self) -> int:
        return sum(self.states.values())

    @property
    def open(self) -> int:
        return sum(self.states.get(state, 0) for state in ("scheduled", "running", "retrying"))


class Report:
    """Read-only questions to the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def overview(self) -> Overview:
        """Jobs by state, records read, and how many jobs each worker runs."""
        (states, rows, running) = await self._database.fetch_many(
            [(query("report", name), {}) for name in ("states", "rows", "running_by_worker")]
        )
        return Overview(
            states={row["state"]: row["jobs"] for row in states},
            rows=int(rows[0]["fetched"]),
            rejected=int(rows[0]["rejected"]),
            workers_running={row["worker"]: row["jobs"] for row in running},
        )

    async def jobs(self) -> list[DictRow]:
        """Jobs by kind and state with their counters."""
        return await self._database.fetch(query("report", "jobs"))

    async def attempts(self) -> list[DictRow]:
        """Attempts by outcome and error class."""
        return await self._database.fetch(query("report", "attempts"))

    async def failures(self) -> list[DictRow]:
        """Failed jobs with their reason."""
        return await self._database.fetch(query("report", "failures"))

    async def quarantined(self) -> int:
        """Records in quarantine."""
        rows = await self._database.fetch(query("report", "quarantined"))
        return int(rows[0]["records"])

    async def taken_over(self) -> int:
        """Attempts that were lost and whose jobs succeeded in a later one."""
        rows = await self._database.fetch(query("report", "taken_over"))
        return int(rows[0]["attempts"])

    async def inconsistencies(self) -> list[DictRow]:
        """Jobs whose counters do not add up, or whose attempts contradict them. There should be none."""
        return await self._database.fetch(query("report", "inconsistencies"))
