"""What PostgreSQL's errors mean to us: one table of SQLSTATEs, nothing guessed from texts.

Source of the codes: PostgreSQL's documentation, appendix A. SS001 and SS002 are raised by `guard_commit`, SS003
by `full_read_stands`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from streamsync.errors import ConfigurationError, LostLock, PermanentError, StoreUnavailable

#: Classes and codes of "the server cannot serve now": wait, it is nobody's fault.
_UNAVAILABLE: Final = ("08", "53", "57P", "58", "25006", "57014", "25P03", "25P04")

#: Rejected for reasons of timing: the same statements succeed when tried again.
_CONFLICT: Final = ("40001", "40P01", "55P03", "23505")

#: Wrong user, password, database or rights: only the operator can help.
_CONFIGURATION: Final = ("28", "3D000", "42501", "3F000")

#: Tries of a transaction that met a deadlock, a serialization failure or a concurrent insert.
CONFLICT_TRIES: Final = 6

T = TypeVar("T")


class AlreadyCommitted(Exception):
    """The commit whose answer was lost did happen."""


class FullReadLost(Exception):
    """The server crashed and forgot which keys a full read had seen: it begins anew."""


class Conflict(Exception):
    """Deadlock, serialization failure or a concurrent insert: try the transaction again."""


def translate(error: BaseException) -> Exception:
    """The error of ours that says what to do about a psycopg error."""
    state = getattr(error, "sqlstate", None) or ""
    if state == "SS001":
        return LostLock("a newer claim of this tenant exists")
    if state == "SS002":
        return AlreadyCommitted()
    if state == "SS003":
        return FullReadLost()
    if state in _CONFLICT:
        return Conflict(state)
    if state.startswith(_UNAVAILABLE):
        return StoreUnavailable(f"PostgreSQL cannot serve now (SQLSTATE {state})")
    if state.startswith(_CONFIGURATION):
        return ConfigurationError(
            f"DATABASE_URL: PostgreSQL refuses the connection or lacks rights (SQLSTATE {state})"
        )
    if state.startswith(("22", "54")):
        # A value that passed cleaning and is still refused, or is beyond a limit of PostgreSQL's own, such as
        # an index's longest key. PostgreSQL's text may quote it: leave it out.
        return PermanentError("store_refused_value", f"PostgreSQL refused a value (SQLSTATE {state})")
    if not state and isinstance(
        error, psycopg.OperationalError | psycopg.InterfaceError | PoolTimeout | TooManyRequests | PoolClosed
    ):
        return StoreUnavailable(f"PostgreSQL is away: {type(error).__name__}")
    raise error


@asynccontextmanager
async def translated(timeout_seconds: float) -> AsyncIterator[None]:
    """A time limit and our errors around everything that talks to PostgreSQL."""
    try:
        async with asyncio.timeout(timeout_seconds):
            yield
    except TimeoutError as error:
        raise StoreUnavailable(f"PostgreSQL did not answer within {timeout_seconds:g} s") from error
    except psycopg.Error as error:
        raise translate(error) from error


async def retry_conflicts(transaction: Callable[[], Awaitable[T]]) -> T:
    """Run a transaction, again after a deadlock or the like, with jitter; StoreUnavailable when it never ends."""
    for attempt in range(CONFLICT_TRIES):
        try:
            return await transaction()
        except Conflict as error:
            if attempt + 1 == CONFLICT_TRIES:
                raise StoreUnavailable(f"PostgreSQL keeps reporting conflicts (SQLSTATE {error})") from error
            await asyncio.sleep(random.uniform(0.005, 0.02) * 2**attempt)  # noqa: S311 - spreads, hides nothing
    raise AssertionError("unreachable")
