"""Every metric, with its meaning: base units, `_total`, `_seconds`; a tenant's id is never a label."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

# A second series per counter that says since when it counts: noise for scrapers that see restarts anyway.
disable_created_metrics()  # type: ignore[no-untyped-call]

_DURATION = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 15, 60, 300, 900, 3600)
_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

JOBS_COMPLETED = Counter(
    "streamsync_jobs_completed_total", "Attempts that ended, by outcome", ["kind", "outcome"]
)
JOB_DURATION_SECONDS = Histogram(
    "streamsync_job_duration_seconds", "One attempt, claim to outcome", ["kind"], buckets=_DURATION
)
JOB_LATENESS_SECONDS = Histogram(
    "streamsync_job_lateness_seconds", "Start minus due", ["kind"], buckets=_DURATION
)
RETRIES = Counter(
    "streamsync_retries_total", "Attempts that will be repeated, by error class", ["error_class"]
)
DEAD = Counter(
    "streamsync_jobs_dead_total", "Jobs that went to the dead letter, by error class", ["error_class"]
)
ROWS = Counter("streamsync_rows_total", "Records read, by what became of them", ["entity", "result"])
PAGES = Counter("streamsync_pages_total", "Pages committed", ["entity"])
FULL_READS = Counter("streamsync_full_reads_total", "Full reads that came to their end", ["entity"])
DELETIONS = Counter(
    "streamsync_rows_deleted_total", "Rows marked as deleted because the ERP has them no longer", ["entity"]
)
DELETIONS_WITHHELD = Counter(
    "streamsync_deletions_withheld_total",
    "Rows that a full read missed and that were kept: too many, or the read was not provably complete",
    ["entity", "reason"],
)
PAGE_COMMIT_SECONDS = Histogram(
    "streamsync_page_commit_seconds", "One commit of pages", ["entity"], buckets=_SHORT
)
ERP_REQUEST_SECONDS = Histogram(
    "streamsync_erp_request_duration_seconds", "One ERP request", ["status"], buckets=_SHORT
)

RECOVERED = Counter("streamsync_recovered_total", "Entries taken over from workers that fell silent")
VANISHED = Counter("streamsync_entries_vanished_total", "Pending entries that Redis no longer held")
DUPLICATES = Counter(
    "streamsync_duplicates_total", "Entries acknowledged without running, by reason", ["reason"]
)
BUSY = Counter("streamsync_busy_total", "Entries put back because their tenant was busy")
CREDENTIALS_BUSY = Counter(
    "streamsync_credentials_busy_total", "Jobs put off because another used their ERP user"
)
CREDENTIALS_LOST = Counter(
    "streamsync_credentials_lost_total", "Jobs stopped because another uses their ERP user"
)
DEFERRALS = Counter(
    "streamsync_deferrals_total", "Attempts sent away by the ERP without being spent", ["error_class"]
)
ERP_SESSIONS = Counter(
    "streamsync_erp_sessions_total",
    "ERP sessions, by what was done: login, relogin, logout, logout_failed, rescued (a dead worker's, closed)",
    ["event"],
)
LOCKS_LOST = Counter("streamsync_locks_lost_total", "Jobs stopped because a newer claim exists")
FENCE_REFUSALS = Counter("streamsync_fence_refusals_total", "Commits and outcomes that the fence refused")
GROUPS_CREATED = Counter(
    "streamsync_group_recreated_total", "Times the consumer group was missing and made again"
)
LIMIT_WAIT_SECONDS = Counter("streamsync_limit_wait_seconds_total", "Time waited for permits", ["limit"])
UNAVAILABLE = Counter("streamsync_unavailable_total", "Operations that found a server away", ["server"])

QUEUE_DELAYED = Gauge("streamsync_queue_delayed", "Jobs in the delayed set")
QUEUE_WAITING = Gauge("streamsync_queue_waiting", "Jobs due and not yet claimed")
QUEUE_PENDING = Gauge("streamsync_queue_pending", "Jobs claimed and not yet acknowledged")
QUEUE_DEAD = Gauge("streamsync_queue_dead", "Entries of the dead feed (24 h)")
SLOTS = Gauge("streamsync_worker_slots", "Slots of this worker", ["state"])

TICKS = Counter("streamsync_ticks_total", "Ticks by what became of them", ["kind", "result"])
TICK_TENANTS = Counter("streamsync_tick_tenants_total", "Tenants reached by ticks", ["kind", "result"])
BUILD_INFO = Gauge("streamsync_build_info", "The release that runs", ["version"])
