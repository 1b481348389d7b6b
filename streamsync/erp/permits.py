"""Permits of the request limits, and the clock that stands still while one is waited for.

A sync that waits for a permit does nothing wrong, however long the wait: it must not count as a sync that makes
no progress. Syncs share one `ErpHttp`, so each tells its deadline through a variable of its own task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

#: Waits until one request to this host may be sent. There is none where no limit is set.
TakePermit = Callable[[str], Awaitable[object]]

_deadline: Final[ContextVar[asyncio.Timeout | None]] = ContextVar("deadline", default=None)


@contextmanager
def permit_waits_do_not_count(deadline: asyncio.Timeout) -> Iterator[None]:
    """Within the block, and in this task, the deadline stands still while `permit_for` waits."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


async def permit_for(host: str, take: TakePermit | None) -> None:
    """Wait for the permit of one request. Raises what `take` raises."""
    if take is None:
        return
    deadline = _deadline.get()
    until = None if deadline is None else deadline.when()
    if deadline is None or until is None or deadline.expired():
        await take(host)
        return
    clock = asyncio.get_running_loop().time
    began = clock()
    # Without a moment, not with a far one: a Redis that is away may make the wait any length.
    deadline.reschedule(None)
    try:
        await take(host)
    finally:
        deadline.reschedule(until + clock() - began)
