"""How a worker takes and gives back the ERP users of its jobs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamsync.queue.queue import Queue
from streamsync.queue.scripts import CredentialHeld, Held
from streamsync.store.ledger import Admitted
from streamsync.worker.credentials import Credentials
from streamsync.worker.slots import Holding
from tests.integration.queue.world import TTL_MS, World

JOB = Admitted(
    job_id=1, tenant_id="t1", kind="customers", attempt=1, entry="s1-1", fence=5, full_read=False,
    accept_deletions=False, commits=0, late_seconds=0.0, taken_over=False, connector="millennium",
    base_url="http://x", auth_mode="basic", credential=b"", vitrines=(), branches=(), cursor_mode="trans_id",
    credential_id="user",
)  # fmt: skip


def _holding(world: World, entry: str = "s1-1") -> Holding:
    return Holding(world.partition, Held(entry, "c", "t1"), world.job(), b"")


async def test_who_gets_it_notes_it_and_gives_it_back(world: World) -> None:
    """The one that found it busy has none, and gives back nothing that is another's."""
    credentials = Credentials(world.queue, TTL_MS)
    first, second = _holding(world), _holding(world, "s1-2")
    await credentials.take([(first, JOB), (second, JOB)])
    assert first.credential == CredentialHeld("user", 0, "s1-1", 5)
    assert second.credential is None
    await credentials.release([(second, None), (first, None)])
    await credentials.take([(second, JOB)])
    assert second.credential is not None


async def test_a_refused_one_is_not_given_back(world: World) -> None:
    """It expires: a job that was admitted just before the mark would try the same password again."""
    credentials = Credentials(world.queue, TTL_MS)
    first, second = _holding(world), _holding(world, "s1-2")
    await credentials.take([(first, JOB)])
    await credentials.release([(first, "erp_wrong_password")])
    await credentials.take([(second, JOB)])
    assert second.credential is None


async def test_a_refused_credential_is_not_even_taken(world: World) -> None:
    """Its job ends without asking, so others need not wait for it."""
    holding = _holding(world)
    await Credentials(world.queue, TTL_MS).take([(holding, replace(JOB, credential_refused=True))])
    assert holding.credential is None
    assert await world.raw("KEYS", "*cred*") == []


@pytest.mark.parametrize("step", ["take", "release"])
async def test_redis_away_is_no_error(world: World, step: str) -> None:
    """Nobody gets any, so nobody asks; what cannot be given back expires."""
    async with Queue("redis://127.0.0.1:1/0", "test", 1) as away:
        credentials = Credentials(away, TTL_MS)
        holding = _holding(world)
        if step == "take":
            await credentials.take([(holding, JOB)])
            assert holding.credential is None
        else:
            holding.credential = CredentialHeld("user", 0, "s1-1", 5)
            await credentials.release([(holding, None)])
