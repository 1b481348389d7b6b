"""What PostgreSQL's errors mean to us."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from psycopg.errors import lookup
from psycopg_pool import PoolTimeout

from streamsync.errors import ConfigurationError, LostLock, PermanentError, StoreUnavailable
from streamsync.store.sqlstate import (
    CONFLICT_TRIES,
    AlreadyCommitted,
    Conflict,
    retry_conflicts,
    translate,
    translated,
)


def _error(state: str) -> psycopg.Error:
    error = psycopg.Error("DETAIL: MARIA DA SILVA")
    error.sqlstate = state
    return error


@pytest.mark.parametrize(
    ("state", "ours"),
    [
        ("SS001", LostLock),
        ("SS002", AlreadyCommitted),
        ("40001", Conflict),
        ("40P01", Conflict),
        ("55P03", Conflict),
        ("23505", Conflict),
        ("08006", StoreUnavailable),
        ("53300", StoreUnavailable),
        ("53100", StoreUnavailable),
        ("57P01", StoreUnavailable),
        ("57P03", StoreUnavailable),
        ("57014", StoreUnavailable),
        ("25006", StoreUnavailable),
        ("25P03", StoreUnavailable),
        ("58030", StoreUnavailable),
        ("28P01", ConfigurationError),
        ("3D000", ConfigurationError),
        ("42501", ConfigurationError),
        ("22P02", PermanentError),
        ("22003", PermanentError),
        ("22021", PermanentError),
        ("54000", PermanentError),
    ],
)
def test_codes_say_what_to_do(state: str, ours: type[Exception]) -> None:
    """By SQLSTATE alone; and no text of PostgreSQL's, which may quote data, is passed on."""
    translation = translate(_error(state))
    assert type(translation) is ours
    assert "MARIA" not in str(translation)


def test_what_has_no_code_is_a_server_that_is_away() -> None:
    """A broken connection, a full pool."""
    for error in (psycopg.OperationalError("gone"), psycopg.InterfaceError("closed"), PoolTimeout("full")):
        assert isinstance(translate(error), StoreUnavailable)


@pytest.mark.parametrize("state", ["42601", "42P01", "23502"])
def test_mistakes_of_ours_stay_what_they_are(state: str) -> None:
    """A syntax error or a missing table is not the server's absence."""
    error = _error(state)
    with pytest.raises(type(error)) as caught:
        translate(error)
    assert caught.value is error


async def test_silence_has_a_limit() -> None:
    """What does not answer in time is away."""
    with pytest.raises(StoreUnavailable, match="did not answer"):
        async with translated(0.01):
            await asyncio.Event().wait()


async def test_cancelling_stays_cancelling() -> None:
    """A task that is told to stop is not told that the server is away."""
    started = asyncio.Event()

    async def wait() -> None:
        async with translated(60):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_conflicts_without_end_are_unavailability() -> None:
    """After so many tries somebody else must look; nothing else is tried twice."""
    tries = 0

    async def conflicting() -> None:
        nonlocal tries
        tries += 1
        raise Conflict("40P01")

    with pytest.raises(StoreUnavailable, match="40P01"):
        await retry_conflicts(conflicting)
    assert tries == CONFLICT_TRIES

    async def lost() -> None:
        nonlocal tries
        tries += 1
        raise LostLock

    with pytest.raises(LostLock):
        await retry_conflicts(lost)
    assert tries == CONFLICT_TRIES + 1


def test_the_codes_exist() -> None:
    """Every five-letter code named above, ours apart, is one of PostgreSQL's."""
    for state in (
        "40001",
        "40P01",
        "55P03",
        "23505",
        "25006",
        "57014",
        "25P03",
        "25P04",
        "3D000",
        "42501",
        "3F000",
    ):
        assert issubclass(lookup(state), psycopg.Error)
