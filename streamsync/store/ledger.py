"""The ledger: `job_run` and `job_attempt`. One method per transition, each one statement with its guard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from streamsync.jobs import Job, State
from streamsync.store.pool import Database
from streamsync.store.queries import query
from streamsync.store.sqlstate import retry_conflicts


@dataclass(frozen=True, slots=True)
class Admitted:
    """A job that this worker may run, with what a sync needs to know of its tenant."""

    job_id: int
    tenant_id: str
    kind: str
    attempt: int
    entry: str
    fence: int
    full_read: bool
    accept_deletions: bool
    commits: int
    late_seconds: float
    taken_over: bool
    connector: str
    base_url: str
    auth_mode: str
    credential: bytes
    vitrines: tuple[int, ...]
    branches: tuple[int, ...]
    cursor_mode: str
    app_name: str | None = None
    licence_type: str | None = None
    #: Tenants that share a user of an ERP share this; it is not the credential itself.
    credential_id: str = ""
    #: The ERP has refused the credential, and nobody has set a new one or cleared the mark since.
    credential_refused: bool = False
    #: How often in a row its credential was in use.
    put_offs: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What the ledger says of a job that was not admitted."""

    job_id: int
    tenant_id: str
    kind: str
    state: State
    attempt: int
    entry: str | None
    fence: int | None
    due_at: datetime

    def as_job(self) -> Job:
        """The job as it belongs into the queue next."""
        return Job(self.job_id, self.attempt, self.kind, self.tenant_id)


@dataclass(frozen=True, slots=True)
class Running:
    """A job that the ledger says is running: under which entry, and by which claim."""

    job: Job
    entry: str
    fence: int


@dataclass(frozen=True, slots=True)
class ClaimAnswer:
    """The gate's answer for a batch of entries."""

    admitted: dict[int, Admitted]
    cancelled: set[int]
    poisoned: set[int]
    seen: dict[int, Seen]


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an attempt ended. `state` is the job's next state, `outcome` the attempt's.

    Back to `scheduled` leads `handed_back`, `deferred` (counted, an attempt row) or `put_off` (a claim that asked
    the ERP nothing: it leaves no attempt row).
    """

    job_id: int
    fence: int
    state: State
    outcome: str
    delay_ms: int = 0
    error_class: str | None = None
    error_status: int | None = None
    error_message: str | None = None


class Ledger:
    """Claims and settlements, in batches."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(
        self,
        worker: str,
        runnable: Sequence[tuple[Job, str]],
        busy: Sequence[tuple[Job, str]],
        *,
        max_deliveries: int,
    ) -> ClaimAnswer:
        """Ask the gate about delivered (job, entry) pairs, in one transaction and one round trip.

        `runnable` are those whose tenant lock this worker holds; `busy` ones are only looked at. Raises
        StoreUnavailable; then nothing is known and the same question must be asked again.
        """
        job_ids = [job.job_id for job, _ in runnable]
        entries = [entry for _, entry in runnable]
        attempts = [job.attempt for job, _ in runnable]
        everything = job_ids + [job.job_id for job, _ in busy]
        statements = (
            (query("claim", "cancel_at_claim"), {"job_ids": job_ids, "entries": entries}),
            (
                query("claim", "poison_at_claim"),
                {
                    "job_ids": job_ids,
                    "attempts": attempts,
                    "entries": entries,
                    "max_deliveries": max_deliveries,
                },
            ),
            (
                query("claim", "admit"),
                {"job_ids": job_ids, "attempts": attempts, "entries": entries, "worker": worker},
            ),
            (query("claim", "look"), {"job_ids": everything}),
        )
        cancelled, poisoned, admitted, seen = await retry_conflicts(
            lambda: self._database.fetch_many(statements)
        )
        return ClaimAnswer(
            admitted={
                row["job_id"]: Admitted(
                    **{
                        **row,
                        "late_seconds": float(row["late_seconds"]),
                        "credential": bytes(row["credential"]),
                        "vitrines": tuple(row["vitrines"]),
                        "branches": tuple(row["branches"]),
                    }
                )
                for row in admitted
            },
            cancelled={row["job_id"] for row in cancelled},
            poisoned={row["job_id"] for row in poisoned},
            seen={row["job_id"]: Seen(**{**row, "state": State(row["state"])}) for row in seen},
        )

    async def settle(self, settlements: Sequence[Settlement]) -> dict[int, int]:
        """Record how attempts ended; returns {job id: its attempt now} for those recorded.

        A job that is missing in the answer was lost to a newer claim: nothing was written for it.
        """
        arrays = {
            "job_ids": [item.job_id for item in settlements],
            "fences": [item.fence for item in settlements],
            "states": [item.state.value for item in settlements],
        }
        statements = (
            (query("settle", "lock_fences"), arrays),
            (query("settle", "coalesce_waiting"), arrays),
            (query("settle", "read_again"), {"job_ids": arrays["job_ids"]}),
            (
                query("settle", "settle"),
                {
                    **arrays,
                    "outcomes": [item.outcome for item in settlements],
                    "delays_ms": [item.delay_ms for item in settlements],
                    "error_classes": [item.error_class for item in settlements],
                    "error_statuses": [item.error_status for item in settlements],
                    "error_messages": [item.error_message for item in settlements],
                },
            ),
        )
        *_, settled = await retry_conflicts(lambda: self._database.fetch_many(statements))
        return {row["job_id"]: row["attempt"] for row in settled}

    async def release_taken_over(self, jobs: Sequence[tuple[int, int]], *, delay_ms: int) -> set[int]:
        """(job, fence) of dead claims whose tenant is busy: they wait again. Returns those that belong into the
        queue; another was claimed anew meanwhile, or became part of a job that waits."""
        parameters = {
            "job_ids": [job_id for job_id, _ in jobs],
            "fences": [fence for _, fence in jobs],
            "delay_ms": delay_ms,
        }
        rows = await retry_conflicts(
            lambda: self._database.fetch(query("settle", "release_taken_over"), parameters)
        )
        return {row["job_id"] for row in rows}

    async def jobs_of_entries(self, entries: Sequence[str]) -> list[Running]:
        """Jobs that run under these entries. Entries of two partitions may have one name: look at the tenant."""
        rows = await self._database.fetch(query("settle", "jobs_of_entries"), {"entries": list(entries)})
        return [
            Running(
                Job(row["job_id"], row["attempt"], row["kind"], row["tenant_id"]), row["entry"], row["fence"]
            )
            for row in rows
        ]

    async def recent_starts(self, window_ms: int) -> list[tuple[str, int]]:
        """(permit id, age in ms) of the job starts of a window, to tell a limit that Redis forgot."""
        rows = await self._database.fetch(query("settle", "recent_starts"), {"window_ms": window_ms})
        return [(row["permit"], row["age_ms"]) for row in rows]

    async def claim_stands(self, job_id: int, fence: int) -> bool | None:
        """None: the claim is no longer the newest. Otherwise whether a cancel was asked for."""
        rows = await self._database.fetch(
            query("tenants", "claim_stands"), {"job_id": job_id, "fence": fence}
        )
        return bool(rows[0]["cancel_requested"]) if rows else None

    async def deferred_so_far(self, job_id: int) -> tuple[int, float]:
        """(times, seconds) that a job has been deferred since it last got on."""
        rows = await self._database.fetch(query("settle", "deferred_so_far"), {"job_id": job_id})
        return (rows[0]["deferrals"], float(rows[0]["seconds"])) if rows else (0, 0.0)

    async def request_cancel(self, job_ids: Sequence[int], who: str) -> set[int]:
        """Ask that jobs be cancelled; returns those that were still open."""
        rows = await self._database.fetch(
            query("settle", "request_cancel"), {"job_ids": list(job_ids), "who": who}
        )
        return {row["job_id"] for row in rows}

    async def counts(self) -> dict[tuple[str, State], int]:
        """Jobs by kind and state."""
        rows = await self._database.fetch(query("tenants", "jobs_by_state"))
        return {(row["kind"], State(row["state"])): row["jobs"] for row in rows}
