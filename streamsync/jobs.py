"""A job, its states, and its wire format: what every layer agrees on. No I/O here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from zlib import crc32

#: A kind of job is an ordered list of entities: what others need comes before them.
KINDS: Final[dict[str, tuple[str, ...]]] = {
    "customers": ("customers",),
    "products": ("branches", "products", "prices", "stock"),
}

#: Every entity that some kind reads.
ENTITIES: Final = tuple(name for names in KINDS.values() for name in names)

#: Tenant ids travel in Redis keys, URLs and file names: a small alphabet keeps them harmless everywhere.
TENANT_ID_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class State(StrEnum):
    """States of a `job_run` row. Final states never change; a replay is a new job."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)

    @property
    def is_waiting(self) -> bool:
        return self in (State.SCHEDULED, State.RETRYING)


class UnreadableBody(ValueError):
    """A queue entry that is not a job. It is acknowledged, counted and put on the dead stream."""


@dataclass(frozen=True, slots=True)
class Job:
    """What Redis knows of a job: four words, nothing personal. Everything else is in the ledger."""

    job_id: int
    attempt: int
    kind: str
    tenant_id: str

    def encode(self) -> bytes:
        """The wire format: `<job id> <attempt> <kind> <tenant id>`, separated by single spaces, in UTF-8."""
        return f"{self.job_id} {self.attempt} {self.kind} {self.tenant_id}".encode()

    @classmethod
    def decode(cls, body: bytes) -> Job:
        """Read the wire format. Raises UnreadableBody for anything that `encode` cannot have written."""
        try:
            job_id, attempt, kind, tenant_id = body.decode("utf-8").split(" ")
            job = cls(int(job_id), int(attempt), kind, tenant_id)
        except ValueError as error:
            raise UnreadableBody(f"not a job body ({len(body)} bytes)") from error
        # One job has one spelling: `int` would also read "+1", "01" or "1_0".
        known = 0 < job.job_id < 2**63 and 0 < job.attempt < 2**31 and TENANT_ID_PATTERN.fullmatch(tenant_id)
        if not known or job.encode() != body:
            raise UnreadableBody(f"not a job body ({len(body)} bytes)")
        return job


def partition_of(tenant_id: str, partitions: int) -> int:
    """The partition of the queue a tenant belongs to: crc32 of the id's UTF-8 bytes, modulo their number."""
    return crc32(tenant_id.encode()) % partitions
