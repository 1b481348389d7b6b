"""Helpers that tests share."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, overload

_T = TypeVar("_T")

#: Settings of every test that talks to the simulated ERP, which is on this machine: the default refuses that.
ERP_IS_HERE: Final[dict[str, Any]] = {"erp_allow_private": True}


@overload
async def wait_until(
    condition: Callable[[], Awaitable[_T]], timeout_seconds: float = ..., description: str = ...
) -> _T: ...
@overload
async def wait_until(
    condition: Callable[[], _T], timeout_seconds: float = ..., description: str = ...
) -> _T: ...
async def wait_until(
    condition: Callable[[], _T | Awaitable[_T]],
    timeout_seconds: float = 10.0,
    description: str = "the condition",
) -> _T:
    """Wait until `condition` (a plain or an async function) gives something true, and return that.

    The only place where tests sleep: everything else waits for a state. Fails with `description` and the
    last value seen.
    """
    give_up = time.monotonic() + timeout_seconds
    pause = 0.001
    while True:
        outcome = condition()
        value = await outcome if inspect.isawaitable(outcome) else outcome
        if value:
            return value
        if time.monotonic() > give_up:
            raise AssertionError(f"after {timeout_seconds:g} s still not: {description} (last: {value!r})")
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.05)
