"""The guard of a commit: stale claims, repeated commits, frozen sessions, conflicts, refused values."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg import AsyncClientCursor
from psycopg.sql import Composed

from streamsync.erp.millennium.products import PRODUCTS
from streamsync.errors import LostLock, PermanentError
from streamsync.jobs import State
from streamsync.store.commit import Committed, commit
from streamsync.store.ledger import Ledger, Settlement
from streamsync.store.pool import Database
from streamsync.store.sqlstate import retry_conflicts
from tests.integration.store.helpers import add_job, add_shops, admit, ask, claim_of, one
from tests.integration.store.units import broken, customer, unit_of
from tests.support import wait_until

_EVERYTHING = (
    "SELECT (SELECT count(*) FROM customer) AS customers, (SELECT count(*) FROM rejected_record) AS rejected,"
    " (SELECT count(*) FROM sync_state) AS cursors, (SELECT sum(rows_fetched) FROM job_run) AS fetched,"
    " (SELECT sum(rows_fetched) FROM job_attempt) AS attempted"
)


async def test_a_stale_claim_commits_nothing(database: Database) -> None:
    """No row, no cursor, no counter, no quarantine: whatever it had prepared."""
    await add_shops(database, "a")
    job = await add_job(database, "a")
    stale = claim_of(await admit(database, job))
    await admit(database, job, worker="rescuer")
    with pytest.raises(LostLock):
        await commit(database, stale, unit_of(customer(1), broken(2)))
    row = await one(database, _EVERYTHING)
    assert list(row.values()) == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.SCHEDULED, State.RETRYING])
async def test_a_claim_that_has_ended_commits_nothing(database: Database, state: State) -> None:
    """Its fence may still be the newest; its job runs no more."""
    await add_shops(database, "a")
    job = await add_job(database, "a")
    ended = claim_of(await admit(database, job))
    await Ledger(database).settle([Settlement(job.job_id, ended.fence, state, "handed_back")])
    with pytest.raises(LostLock):
        await commit(database, ended, unit_of(customer(1)))
    assert (await one(database, _EVERYTHING))["customers"] == 0


async def test_a_commit_repeated_after_its_answer_was_lost_doubles_nothing(database: Database) -> None:
    """The same claim, the same unit: the guard knows that it happened; the next one goes on."""
    await add_shops(database, "a")
    claim = claim_of(await admit(database, await add_job(database, "a")))
    unit = unit_of(customer(1), broken(2))
    assert await commit(database, claim, unit) == Committed(1, 0)
    before = await one(database, _EVERYTHING)
    for _ in range(2):
        assert await commit(database, claim, unit) == Committed(-1, -1)
    assert await one(database, _EVERYTHING) == before
    assert (await one(database, "SELECT times_seen FROM rejected_record"))["times_seen"] == 1
    assert await commit(database, replace(claim, commits=1), unit_of(customer(2))) == Committed(1, 0)


async def test_a_session_frozen_in_copy_does_not_block_its_rescuer(
    database: Database, database_url: str
) -> None:
    """COPY runs before the fence row is taken: the claim goes ahead, and the frozen one has lost."""
    await add_shops(database, "a")
    job = await add_job(database, "a")
    stale = claim_of(await admit(database, job))
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as frozen:
        await frozen.execute("CREATE TEMP TABLE stage_frozen (t text)")
        await frozen.execute("BEGIN")
        async with frozen.cursor().copy("COPY stage_frozen FROM STDIN") as copy:
            await copy.write_row(("half a page",))
            rescued = await admit(database, job, worker="rescuer")
            await commit(database, claim_of(rescued), unit_of(customer(1)))
    assert rescued.taken_over
    with pytest.raises(LostLock):
        await commit(database, stale, unit_of(customer(2)))


async def test_our_own_copy_holds_no_lock_that_a_rescuer_wants(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with a real commit, stopped in the middle of its COPY: claim and commit of another go through."""
    await add_shops(database, "a")
    job = await add_job(database, "a")
    stale = claim_of(await admit(database, job))
    rescued: list[Committed] = []

    async def halting(
        cursor: AsyncClientCursor[Any], statement: Composed, rows: Iterable[Sequence[Any]]
    ) -> None:
        async with cursor.copy(statement) as copy:
            for number, row in enumerate(rows):
                await copy.write_row(row)
                if number == 10:
                    monkeypatch.undo()
                    claim = claim_of(await admit(database, job, worker="rescuer"))
                    rescued.append(await commit(database, claim, unit_of(customer(99))))

    monkeypatch.setattr("streamsync.store.commit._copy", halting)
    with pytest.raises(LostLock):
        await commit(database, stale, unit_of(*(customer(number) for number in range(20))))
    assert rescued == [Committed(1, 0)]
    assert [row["customer_id"] for row in await database.fetch("SELECT customer_id FROM customer")] == [99]


async def test_a_claim_during_a_commit_is_busy_and_the_commit_stands(database: Database) -> None:
    """While a commit holds the fence row no claim waits for it; once it is over the claim goes through."""
    await add_shops(database, "a")
    job = await add_job(database, "a")
    claim = claim_of(await admit(database, job))
    async with database.transaction() as holder:
        await holder.execute("SELECT FROM job_run FOR NO KEY UPDATE")  # the commit gets the fence, then waits
        committing = asyncio.create_task(commit(database, claim, unit_of(customer(1))))

        async def blocked() -> bool:
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            return bool(await database.fetch(waiting))

        await wait_until(blocked, description="the commit to wait for the job's row")
        assert not await _fence_is_free(database)
    assert await committing == Committed(1, 0)
    assert (await ask(database, job)).admitted


async def _fence_is_free(database: Database) -> bool:
    return bool(await database.fetch("SELECT 1 FROM tenant_fence FOR NO KEY UPDATE SKIP LOCKED"))


async def test_commits_of_different_tenants_run_at_once(database: Database) -> None:
    """Ten shops, one message each, none waits for another or mixes its rows with them."""
    shops = [f"s{number}" for number in range(10)]
    await add_shops(database, *shops)
    claims = [claim_of(await admit(database, await add_job(database, shop))) for shop in shops]
    units = [unit_of(*(customer(n, name=shop) for n in range(30)), broken(99)) for shop in shops]
    done = await asyncio.gather(*(commit(database, c, u) for c, u in zip(claims, units, strict=True)))
    assert done == [Committed(30, 0)] * 10
    wrong = await one(database, "SELECT count(*) AS n FROM customer WHERE name <> tenant_id")
    assert (wrong["n"], (await one(database, _EVERYTHING))["customers"]) == (0, 300)


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "23505", "55P03"])
async def test_conflicts_are_tried_again(database: Database, sqlstate: str) -> None:
    """Deadlock, serialization failure, a concurrent insert, a lock not available: the transaction is repeated."""
    tries = 0

    async def transaction() -> str:
        nonlocal tries
        tries += 1
        async with database.connection() as connection:
            if tries < 3:
                await connection.execute(_raising(sqlstate))
        return "done"

    assert await retry_conflicts(transaction) == "done"
    assert tries == 3


def _raising(sqlstate: str) -> bytes:
    return f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{sqlstate}'; END $$".encode()


async def test_a_real_deadlock_is_tried_again(database: Database) -> None:
    """Two transactions that take two rows in opposite order both succeed in the end."""
    await add_shops(database, "a", "b")
    both = asyncio.Barrier(2)
    meeting = [True, True]

    async def raise_both(who: int, first: str, second: str) -> None:
        async def transaction() -> None:
            async with database.transaction() as connection:
                raise_one = "UPDATE tenant_fence SET fence = fence + 1 WHERE tenant_id = %s"
                await connection.execute(raise_one, (first,))
                if meeting[who]:
                    meeting[who] = False
                    await both.wait()
                await connection.execute(raise_one, (second,))

        await retry_conflicts(transaction)

    await asyncio.gather(raise_both(0, "a", "b"), raise_both(1, "b", "a"))
    assert (await one(database, "SELECT min(fence) AS low, max(fence) AS high FROM tenant_fence")) == {
        "low": 2, "high": 2,
    }  # fmt: skip


async def test_a_refused_value_is_never_quoted(database: Database) -> None:
    """PostgreSQL's texts name the value; ours give its code only, and nothing of the page was written."""
    await add_shops(database, "a")
    claim = claim_of(await admit(database, await add_job(database, "a")))
    unit = unit_of(customer(1, name="MARIA DA SILVA"))
    (row,) = unit.rows.values()
    unit.rows[(1,)] = ("MARIA DA SILVA", *row[1:])  # text where a number belongs: cleaning was mistaken
    with pytest.raises(PermanentError) as caught:
        await commit(database, claim, unit)
    assert caught.value.error_class == "store_refused_value"
    assert "MARIA" not in str(caught.value)
    assert "22P02" in str(caught.value)
    assert (await one(database, _EVERYTHING))["customers"] == 0
    assert await commit(database, claim, unit_of(customer(1))) == Committed(1, 0)  # the session is clean


async def test_a_key_too_long_for_an_index_is_a_refused_value(database: Database) -> None:
    """PostgreSQL has a limit of its own for keys; meeting it is a refused value, not an unforeseen error."""
    await add_shops(database, "a")
    claim = claim_of(await admit(database, await add_job(database, "a", kind="products")))
    sku = "".join(secrets.choice("abcdefghijklmnop") for _ in range(20_000))
    unit = unit_of({"produto": 1, "trans_id": 5, "sku": [{"sku": "x"}]}, entity=PRODUCTS, scope="901")
    ((first, second, _, *rest),) = unit.children["sku"][(901, 1)]
    unit.children["sku"][(901, 1)] = [(first, second, sku, *rest)]  # cleaning would have stopped it
    with pytest.raises(PermanentError) as caught:
        await commit(database, claim, unit)
    assert caught.value.error_class == "store_refused_value"
    assert sku[:10] not in str(caught.value)
