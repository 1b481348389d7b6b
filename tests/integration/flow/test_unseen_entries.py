"""A worker stops with an entry that none of its tasks holds, but whose job the ledger says is running under it:
the claim's answer was lost. Put back as it is, the job would be taken for a duplicate of itself, and lost."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.invariants import check
from tests.faults.world import World, tenants
from tests.integration.flow.stand_ins import Counting
from tests.plugins.fix_proxy import Direction, MakeProxy, Verdict

(SHOP,) = tenants(1)

#: Words that no other statement has.
CLAIM = b"INSERT INTO job_attempt"
WHAT_RUNS_UNDER_IT = b"state = 'running' AND entry = ANY"
LET_GO = b"merged AS"


class _LosesTheClaimsAnswer:
    """Holds the answer to the first claim, and loses it when told to; from then on a statement with the words
    `refused` does not get through."""

    def __init__(self, refused: bytes | None) -> None:
        self.held = asyncio.Event()
        self.lose = asyncio.Event()
        self.refusals = 0
        self._refused = refused
        self._asked = False

    async def __call__(self, direction: Direction, chunk: bytes) -> Verdict:
        if direction is Direction.REQUEST:
            self._asked = self._asked or CLAIM in chunk
            if self.lose.is_set() and self._refused is not None and self._refused in chunk:
                self.refusals += 1
                return Verdict.CUT
        elif self._asked and not self.held.is_set():
            self.held.set()
            await self.lose.wait()
            return Verdict.CUT
        return Verdict.PASS


async def _stop_with_an_unseen_entry(
    world: World, make_proxy: MakeProxy, refused: bytes | None = None
) -> _LosesTheClaimsAnswer:
    """Trigger a job; a worker claims it, is told to stop before it knows, and stops."""
    await world.add_tenants(SHOP)
    await world.trigger("customers")
    answers, engine = _LosesTheClaimsAnswer(refused), Counting()
    proxy = await make_proxy(str(world.fields["database_url"]), decide=answers)
    async with asyncio.timeout(30), world.worker(database_url=proxy.url, engine=engine) as worker:
        await answers.held.wait()
        assert (await world.job(SHOP))["state"] == "running"
        worker.stop()
        answers.lose.set()
    assert engine.started == []
    return answers


async def test_it_goes_back_by_way_of_the_ledger_and_another_worker_runs_it(
    world: World, make_proxy: MakeProxy
) -> None:
    """The ledger lets go of the claim, the entry goes back into the queue, and the job is run: once, no attempt
    spent."""
    await _stop_with_an_unseen_entry(world, make_proxy)
    job = await world.job(SHOP)
    assert (job["state"], job["attempt"], job["entry"]) == ("scheduled", 1, None)
    assert await world.pending() == 0
    async with world.worker():
        await check(world)
    job = await world.job(SHOP)
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
    assert [a["outcome"] for a in await world.attempts(job["job_id"])] == ["lost", "succeeded"]


@pytest.mark.parametrize("refused", [WHAT_RUNS_UNDER_IT, LET_GO], ids=["unasked", "not let go"])
async def test_where_the_ledger_cannot_let_go_the_entry_is_left_for_recovery(
    world: World, make_proxy: MakeProxy, refused: bytes
) -> None:
    """First the ledger, then the queue: while PostgreSQL is away the entry stays where it is, under its name, and
    who takes it over may run it."""
    answers = await _stop_with_an_unseen_entry(world, make_proxy, refused)
    assert answers.refusals == 1
    job = await world.job(SHOP)
    assert (job["state"], await world.pending(), await world.delayed_bodies()) == ("running", 1, [])
    async with world.worker():
        await check(world)
    job = await world.job(SHOP)
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
    assert [a["outcome"] for a in await world.attempts(job["job_id"])] == ["lost", "succeeded"]
