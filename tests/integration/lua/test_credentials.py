"""credential_lock.lua, credential_renew.lua, credential_release.lua: one job at a time uses a user of an ERP."""

from __future__ import annotations

import asyncio

from streamsync.queue.keys import credential_key
from streamsync.queue.queue import Queue
from streamsync.queue.scripts import Code, CredentialHeld
from tests.integration.queue.world import TTL_MS, World
from tests.support import wait_until

USER, OTHER = "user-a", "user-b"


def held(entry: str = "s1-1", fence: int = 1, *, user: str = USER, partition: int = 0) -> CredentialHeld:
    return CredentialHeld(user, partition, entry, fence)


async def _value(world: World, user: str = USER) -> str | None:
    value = await world.raw("GET", credential_key(world.queue.name, user))
    return None if value is None else value.decode()


async def test_a_free_credential_is_taken_for_its_time_to_live(world: World) -> None:
    """The value names partition, entry and claim; it ends by itself."""
    assert await world.queue.credentials.take([held("u5-0", 7, partition=3)], TTL_MS) == [True]
    assert await _value(world) == "3:u5-0/7"
    assert 0 < await world.raw("PTTL", credential_key(world.queue.name, USER)) <= TTL_MS


async def test_another_entry_finds_it_busy_and_changes_nothing(world: World) -> None:
    """Whatever its fence; the same entry id in another partition or stream is another entry too."""
    await world.queue.credentials.take([held("s1-1", 5)], TTL_MS)
    before = await world.everything()
    others = [held("s1-2", 9), held("s1-1", 9, partition=1), held("u1-1", 9), held("s1-10", 9), held("s1", 9)]
    assert await world.queue.credentials.take(others, TTL_MS) == [False] * len(others)
    assert await world.everything() == before


async def test_a_newer_claim_of_the_entry_takes_it_over_and_an_older_one_does_not(world: World) -> None:
    """A worker that slept between the gate and here must not take it back from its rescuer. 10 is newer than 9."""
    await world.queue.credentials.take([held(fence=9)], TTL_MS)
    assert await world.queue.credentials.take([held(fence=10)], TTL_MS) == [True]
    assert await _value(world) == "0:s1-1/10"
    assert await world.queue.credentials.take([held(fence=9)], TTL_MS) == [False]
    assert await _value(world) == "0:s1-1/10"


async def test_asking_again_after_a_lost_reply_gets_it_again(world: World) -> None:
    """The same claim may ask twice."""
    assert await world.queue.credentials.take([held()], TTL_MS) == [True]
    assert await world.queue.credentials.take([held()], TTL_MS) == [True]


async def test_a_batch_answers_in_its_order(world: World) -> None:
    """Two of one credential in a batch: the first gets it. Credentials do not concern each other."""
    await world.queue.credentials.take([held("s9-9", 1, user="taken")], TTL_MS)
    batch = [held("s1-1"), held("s1-2"), held("s1-3", user="taken"), held("s1-4", user=OTHER)]
    assert await world.queue.credentials.take(batch, TTL_MS) == [True, False, False, True]
    assert await world.queue.credentials.renew(batch, TTL_MS) == [
        Code.DONE, Code.LOST, Code.LOST, Code.DONE,
    ]  # fmt: skip
    assert await world.queue.credentials.release(batch) == [Code.DONE, Code.NOTHING, Code.LOST, Code.DONE]
    assert await _value(world, "taken") == "0:s9-9/1"


async def test_nothing_asked_nothing_answered(world: World) -> None:
    """An empty batch does not even call Redis."""
    locks = world.queue.credentials
    assert (await locks.take([], TTL_MS), await locks.renew([], TTL_MS), await locks.release([])) == (
        [], [], [],
    )  # fmt: skip


async def test_one_that_expired_is_free(world: World) -> None:
    """What a dead worker held ends with its time to live, for any entry."""
    await world.queue.credentials.take([held("s1-1")], 20)

    async def got() -> bool:
        return await world.queue.credentials.take([held("s1-2")], TTL_MS) == [True]

    await wait_until(got, 5, "the credential to be free")


async def test_a_beat_prolongs_it(world: World) -> None:
    """The whole value must be ours; then the time to live begins anew."""
    await world.queue.credentials.take([held()], 5_000)
    assert await world.queue.credentials.renew([held()], TTL_MS) == [Code.DONE]
    assert await world.raw("PTTL", credential_key(world.queue.name, USER)) > 5_000


async def test_after_redis_forgot_the_user_takes_it_again(world: World) -> None:
    """Unless somebody else was first: then it is lost, and nothing is touched."""
    await world.queue.credentials.take([held("s1-1"), held("s1-2", user=OTHER)], TTL_MS)
    await world.raw("FLUSHDB")
    await world.queue.credentials.take([held("s2-1")], TTL_MS)
    both = [held("s1-1"), held("s1-2", user=OTHER)]
    assert await world.queue.credentials.renew(both, TTL_MS) == [Code.LOST, Code.TAKEN_AGAIN]
    assert (await _value(world), await _value(world, OTHER)) == ("0:s2-1/1", "0:s1-2/1")


async def test_an_older_claim_neither_renews_nor_releases(world: World) -> None:
    """The value is compared whole: the same entry under a newer fence is another's."""
    await world.queue.credentials.take([held(fence=2)], TTL_MS)
    for stale in (held(fence=1), held(fence=22), held("s1-1/2", fence=2)):
        assert await world.queue.credentials.renew([stale], TTL_MS) == [Code.LOST]
        assert await world.queue.credentials.release([stale]) == [Code.LOST]
    assert await _value(world) == "0:s1-1/2"
    assert await world.queue.credentials.release([held(fence=2)]) == [Code.DONE]
    assert await _value(world) is None


async def test_one_winner_among_many_workers(world: World) -> None:
    """Sixteen at once, on connections of their own: one gets each credential, and it is the one that the key names."""
    queues: list[Queue] = [await world.another() for _ in range(16)]
    users = [f"user-{number}" for number in range(5)]
    answers = await asyncio.gather(
        *(
            queue.credentials.take([held(f"s{n}-1", user=user) for user in users], TTL_MS)
            for n, queue in enumerate(queues)
        )
    )
    for place, user in enumerate(users):
        winners = [n for n, answer in enumerate(answers) if answer[place]]
        assert len(winners) == 1
        assert await _value(world, user) == f"0:s{winners[0]}-1/1"


async def test_never_two_at_once_under_taking_renewing_and_releasing(world: World) -> None:
    """Eight workers take and give back one credential again and again: between the two nobody else has it."""
    queues = [await world.another() for _ in range(8)]
    inside: list[int] = []
    refused = 0

    async def work(number: int, queue: Queue) -> None:
        nonlocal refused
        turns = 0
        while turns < 10:
            mine = held(f"s{number}-{turns}")
            if await queue.credentials.take([mine], TTL_MS) != [True]:
                refused += 1
                continue
            assert not inside
            inside.append(number)
            assert await queue.credentials.renew([mine], TTL_MS) == [Code.DONE]
            inside.remove(number)
            turns += 1
            assert await queue.credentials.release([mine]) == [Code.DONE]

    async with asyncio.timeout(30):
        await asyncio.gather(*(work(number, queue) for number, queue in enumerate(queues)))
    assert refused > 0  # they did meet
