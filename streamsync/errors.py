"""The error tree. A class says what to do, not only what happened.

StreamsyncError
 ├─ ConfigurationError    the operator must change a setting; nothing was started
 ├─ SyncError             how one attempt at a job ended; `error_class` goes to the ledger and the metrics
 │   ├─ TransientError    retry after a delay (ERP down, slow, busy, garbage in a page)
 │   ├─ PermanentError    dead letter at once (wrong password, unknown entity, invalid tenant data)
 │   └─ Deferred          back to `scheduled` with growing delays, no attempt spent (no session or licence free)
 ├─ LostLock              a newer claim of the tenant exists: stop, write nothing, record nothing
 ├─ HandBack              stop at a page boundary and give the job back, no attempt spent (shutdown)
 ├─ StoreUnavailable      PostgreSQL is away: wait, acknowledge nothing, burn no attempt
 └─ QueueUnavailable      Redis is away: wait; what is committed stays committed

Messages never carry personal data: they name fields, codes, sizes and hosts, never values of records.
"""

from __future__ import annotations


class StreamsyncError(Exception):
    """Base of all errors that streamsync raises on purpose."""


class ConfigurationError(StreamsyncError):
    """A setting or a command's input is wrong. The message names it and the remedy."""


class SyncError(StreamsyncError):
    """How an attempt failed.

    `error_class` is a stable snake_case name for the ledger and the metrics (`erp_timeout`, `erp_auth`, …);
    `http_status` is the ERP's answer, if there was one.
    """

    def __init__(self, error_class: str, message: str, *, http_status: int | None = None) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.http_status = http_status


class TransientError(SyncError):
    """Worth a retry. `retry_after_seconds` is what the ERP asked for, already capped."""

    def __init__(
        self,
        error_class: str,
        message: str,
        *,
        http_status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(error_class, message, http_status=http_status)
        self.retry_after_seconds = retry_after_seconds


class PermanentError(SyncError):
    """No retry can help; the job goes to the dead letter at once."""


class Deferred(SyncError):
    """The other side has no room for us now, which is nobody's failure: wait, however often, up to a limit.

    `retry_after_seconds` is what it asked for, already capped.
    """

    def __init__(
        self,
        error_class: str,
        message: str,
        *,
        http_status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(error_class, message, http_status=http_status)
        self.retry_after_seconds = retry_after_seconds


class LostLock(StreamsyncError):
    """The fence or the lock says that a newer claim exists. Stop, write nothing."""


class HandBack(StreamsyncError):
    """The worker is stopping: the job goes back as it is, its committed pages kept."""


class StoreUnavailable(StreamsyncError):
    """PostgreSQL cannot be used right now (away, read-only, out of connections, out of disk)."""


class QueueUnavailable(StreamsyncError):
    """Redis cannot be used right now."""
