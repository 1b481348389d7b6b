"""Decides how an entity and scope is read: what has changed, everything, or not at all. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zlib import crc32

from streamsync.erp.connector import CursorKind
from streamsync.store.tenants import SyncState

_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read. `full`: everything, to see what has vanished; `begins`: its keys are still to be noted from the
    first one on; `done`: this job has read it already."""

    cursor: int
    full: bool = False
    begins: bool = False
    done: bool = False


def plan_read(
    state: SyncState | None, kind: CursorKind, job_id: int, *, full_wanted: bool, full_due: bool
) -> Plan:
    """The plan for a scope in the state that its last commit left (None: it was never read).

    What was never read has nothing that could have vanished, so its first read is incremental from 0. A full read
    goes on where the same job left it, whoever ran that; another job's unfinished one is begun anew.
    """
    anew = Plan(0, full=True, begins=True)
    own = state is not None and state.full_read_job_id == job_id
    if kind is CursorKind.LIST:
        done = own and state is not None and state.full_read_cursor is None
        return Plan(0, done=True) if done else anew
    if state is None:
        return Plan(0)
    if own:
        if state.full_read_cursor is None:
            return Plan(state.cursor) if state.cursor_mode == kind else anew
        return Plan(state.full_read_cursor, full=True) if state.full_read_mode == kind else anew
    if full_wanted or full_due or state.cursor_mode != kind:
        return anew
    return Plan(state.cursor)


def full_read_due(
    tenant_id: str, entity: str, state: SyncState | None, now: datetime, period_days: float
) -> bool:
    """Whether the period of this shop's entity has turned since its last full read. 0 days: never.

    Each shop and entity has a phase of its own, from a hash, so that a share of the shops is read in full each
    night and never all of them in one.
    """
    if state is None or period_days <= 0:
        return False
    period = period_days * _DAY_SECONDS
    phase = crc32(f"{tenant_id} {entity}".encode()) / 2**32 * period
    last = state.full_read_at or state.created_at

    def turn(moment: datetime) -> int:
        return int((moment.astimezone(UTC).timestamp() + phase) // period)

    return turn(now) > turn(last)
