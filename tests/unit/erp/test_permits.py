"""The clock of a sync stands still while a permit is waited for."""

from __future__ import annotations

import asyncio

import pytest

from streamsync.erp.permits import permit_for, permit_waits_do_not_count
from tests.support import wait_until


class _Gate:
    """Gives permits when told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = asyncio.Event()

    async def __call__(self, host: str) -> None:
        self.asked.append(host)
        await self.open.wait()


async def test_without_a_limit_there_is_no_wait() -> None:
    """No limit, no permit."""
    await permit_for("erp.example", None)


async def test_a_wait_longer_than_the_deadline() -> None:
    """It does not end the sync, and what was left of the time before is left after it."""
    gate, loop = _Gate(), asyncio.get_running_loop()
    loop.call_later(0.3, gate.open.set)
    async with asyncio.timeout(0.1) as deadline:
        until = deadline.when()
        assert until is not None
        began = loop.time()
        with permit_waits_do_not_count(deadline):
            await permit_for("erp.example", gate)
        waited = loop.time() - began
        assert waited >= 0.3
        after = deadline.when()
        assert after is not None
        assert abs(after - until - waited) < 0.05
    assert gate.asked == ["erp.example"]


async def test_afterwards_the_deadline_is_in_force() -> None:
    """A sync that stops making progress after a wait is ended as one that never waited."""
    gate, loop = _Gate(), asyncio.get_running_loop()
    loop.call_later(0.2, gate.open.set)
    began = loop.time()

    async def sync() -> None:
        async with asyncio.timeout(0.1) as deadline:
            with permit_waits_do_not_count(deadline):
                await permit_for("erp.example", gate)
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await sync()
    assert 0.25 < loop.time() - began < 2


async def test_outside_the_block_the_deadline_runs() -> None:
    """Only who says so is spared."""
    gate = _Gate()

    async def sync() -> None:
        async with asyncio.timeout(0.05) as deadline:
            with permit_waits_do_not_count(deadline):
                await asyncio.sleep(0)
            await permit_for("erp.example", gate)

    with pytest.raises(TimeoutError):
        await sync()


async def test_tasks_do_not_share_their_clocks() -> None:
    """Of two syncs one waits for a permit and the other for its ERP: only the first is spared."""
    gate = _Gate()

    async def sync(*, waits_for_permit: bool) -> str:
        try:
            async with asyncio.timeout(0.1) as deadline:
                with permit_waits_do_not_count(deadline):
                    await (permit_for("erp.example", gate) if waits_for_permit else asyncio.Event().wait())
        except TimeoutError:
            gate.open.set()
            return "no progress"
        return "done"

    ends = await asyncio.gather(sync(waits_for_permit=True), sync(waits_for_permit=False))
    assert list(ends) == ["done", "no progress"]


async def test_a_wait_can_be_cancelled() -> None:
    """By the worker that stops; the deadline is in force again on the way out."""
    gate = _Gate()
    seen: list[float | None] = []

    async def sync() -> None:
        async with asyncio.timeout(60) as deadline:
            with permit_waits_do_not_count(deadline):
                try:
                    await permit_for("erp.example", gate)
                finally:
                    seen.append(deadline.when())

    task = asyncio.create_task(sync())
    await wait_until(lambda: gate.asked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen[0] is not None
