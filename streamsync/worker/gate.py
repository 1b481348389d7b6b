"""The claim gate's table (DESIGN §3), as one pure function over what lock and ledger said."""

from __future__ import annotations

from enum import Enum

from streamsync.jobs import Job
from streamsync.store.ledger import ClaimAnswer


class Verdict(Enum):
    """What to do with a delivered entry."""

    RUN = "run"
    CANCELLED = "cancelled"  #: acknowledge: somebody cancelled it, or its tenant is no longer active
    FINAL = "final"  #: acknowledge: the job has ended
    DUPLICATE = "duplicate"  #: acknowledge: the job runs, or waits, under another entry or attempt
    OUTDATED = "outdated"  #: acknowledge, and queue what the ledger says is next
    UNKNOWN = "unknown"  #: acknowledge and show on the dead feed: the ledger knows no such job
    POISON = "poison"  #: dead letter: it was delivered too often without an end
    BUSY = "busy"  #: its tenant is busy: back to delayed, no attempt spent
    BUSY_TAKEN_OVER = "busy_taken_over"  #: the same, and the ledger must let go of the dead claim first


def verdict(job: Job, entry: str, answer: ClaimAnswer) -> Verdict:
    """Decide about one entry. The ledger answers by job, so the entry it admitted must be this one: two entries
    of one job may come in one batch (an urgent twin), and only one of them held the tenant's lock."""
    admitted = answer.admitted.get(job.job_id)
    if admitted is not None and admitted.entry == entry:
        return Verdict.RUN
    if job.job_id in answer.poisoned:
        return Verdict.POISON
    if job.job_id in answer.cancelled:
        return Verdict.CANCELLED
    seen = answer.seen.get(job.job_id)
    if seen is None:
        return Verdict.UNKNOWN
    if seen.state.is_final:
        return Verdict.FINAL
    if seen.attempt != job.attempt:
        return Verdict.OUTDATED if seen.state.is_waiting else Verdict.DUPLICATE
    if seen.state.is_waiting:
        return Verdict.BUSY
    return Verdict.BUSY_TAKEN_OVER if seen.entry == entry else Verdict.DUPLICATE
