"""Calling the scripts: a server that forgot them is told them again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from streamsync.queue.keys import limit_keys
from streamsync.queue.scripts import (
    Code,
    CredentialHeld,
    Held,
    Window,
    refill_permits,
    take_from_all,
    take_permits,
)  # fmt: skip
from streamsync.resources import lua_dir
from tests.integration.queue.world import TTL_MS, World

HELD = Held("s1-1", "c", "t1")
USED = CredentialHeld("user", 0, "s1-1", 1)
LIMIT = limit_keys("test", "x")

#: One call of each script on an empty queue, and its answer.
CALLS: dict[str, tuple[Callable[[World], Awaitable[object]], object]] = {
    "schedule": (lambda w: w.scripts.schedule([(1, b"x")]), 1),
    "promote": (lambda w: w.scripts.promote(1), (0, -1)),
    "lock": (lambda w: w.scripts.lock("w", [HELD], TTL_MS), [Code.LOST]),
    "heartbeat": (lambda w: w.scripts.heartbeat("w", [HELD], TTL_MS), [Code.TAKEN_AGAIN]),
    "finish": (lambda w: w.scripts.finish("w", [HELD]), [Code.NOTHING]),
    "reschedule": (lambda w: w.scripts.reschedule("w", [(HELD, 0, b"x")]), [Code.DONE]),
    "dead": (lambda w: w.scripts.dead("w", [(HELD, b"x", "e")], 1000), [Code.NOTHING]),
    "remove_consumer": (lambda w: w.scripts.remove_consumer(w.keys.stream, "w", 0), False),
    "credential_lock": (lambda w: w.queue.credentials.take([USED], TTL_MS), [True]),
    "credential_renew": (lambda w: w.queue.credentials.renew([USED], TTL_MS), [Code.TAKEN_AGAIN]),
    "credential_release": (lambda w: w.queue.credentials.release([USED]), [Code.NOTHING]),
    "limit": (
        lambda w: take_permits(w.queue.client, LIMIT, maximum=1, window_ms=9, ids=["a"], ask=True),
        (0, 0, False),
    ),
    "limit_all": (
        lambda w: take_from_all(w.queue.client, [Window(LIMIT, 1, 9)], "a"),
        (False, 10, 1),
    ),
    "limit_refill": (lambda w: refill_permits(w.queue.client, LIMIT, window_ms=9, permits=[]), True),
}


def test_every_script_is_called_here() -> None:
    """The table above knows every script that there is."""
    assert set(CALLS) == {path.stem for path in lua_dir().glob("*.lua")}


@pytest.mark.parametrize("name", CALLS)
async def test_after_script_flush(world: World, name: str) -> None:
    """A server without the script answers as one that has it: the text is sent along, once."""
    call, answer = CALLS[name]
    await world.raw("SCRIPT", "FLUSH")
    assert await call(world) == answer
    await world.raw("FLUSHDB")
    await world.partition.create_group()
    evals = await _count(world, "eval")
    assert await call(world) == answer
    assert await _count(world, "eval") == evals


async def _count(world: World, command: str) -> int:
    stats = await world.queue.client.info("commandstats")
    found = stats.get(f"cmdstat_{command}")
    return int(found["calls"]) if found else 0
