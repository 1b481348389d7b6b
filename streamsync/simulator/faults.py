"""Faults of the simulated ERP: which request meets which, decided by seed, tenant and the request's number.

A decision depends on how many matching requests *that tenant* made before, not on the order in which tenants
happen to arrive: the same run meets the same faults however its workers interleave.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from streamsync.simulator.dice import falls, salt_of

#: What each kind does; also the list of kinds that exist.
KINDS: Final[dict[str, str]] = {
    "slow": "waits `seconds`, then goes on",
    "hold": "waits until released, then goes on",
    "500": "500, a query error of the database",
    "503": "503, plain",
    "licence": "503 (or `status`) with the text of a server without free licences",
    "429": "429 with Retry-After (`retry_after`, default 1)",
    "timeout": "accepts and never answers",
    "garbage": "200 with HTML or with half of the JSON, in turns",
    "html": "200 with HTML",
    "truncated": "200 with half of the JSON and a matching length",
    "cut": "200, and the connection closes in the middle of the body",
    "reset": "resets the connection",
    "password": "401, wrong password",
    "busy": "401, too many sessions",
}
_WAITS: Final = ("slow", "hold")
_OPTIONS: Final = (
    "kind", "tenant", "rate", "times", "seconds", "retry_after", "after_requests", "method", "status",
)  # fmt: skip


@dataclass(slots=True)
class Fault:
    """One rule. `tenant` None is all of them; `times` None is for ever; `method` None is every method.

    `after_requests` = k lets the first k page requests of a tenant pass (counted from when the rule was set)
    and then matches page requests only.
    """

    kind: str
    tenant: str | None = None
    rate: float = 1.0
    times: int | None = None
    seconds: float = 0.0
    retry_after: float | None = None
    after_requests: int = 0
    method: str | None = None
    status: int | None = None
    serial: int = 0
    hits: int = 0
    exempt: set[str] = field(default_factory=set)
    _seen: Counter[str] = field(default_factory=Counter)
    _pages: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of fault {self.kind!r}; known: {', '.join(KINDS)}")
        if not 0 <= self.rate <= 1:
            raise ValueError("rate must be between 0 and 1")
        if self.seconds < 0 or self.after_requests < 0 or (self.times is not None and self.times < 0):
            raise ValueError("seconds, after_requests and times must be 0 or more")
        if self.status is not None and not (self.kind == "licence" and 400 <= self.status < 600):
            raise ValueError("status is for a licence fault, and one of an error")
        if self.kind == "slow" and self.seconds == 0:
            raise ValueError("a slow fault needs seconds")

    def meets(self, seed: int, tenant_id: str, method: str, *, is_page: bool) -> bool:
        """Whether this request meets the fault. Counts the request, so ask once."""
        if (self.tenant is not None and self.tenant != tenant_id) or (self.method or method) != method:
            return False
        if self.after_requests:
            if not is_page:
                return False
            self._pages[tenant_id] += 1
            if self._pages[tenant_id] <= self.after_requests:
                return False
        if tenant_id in self.exempt or (self.times is not None and self.hits >= self.times):
            return False
        number = self._seen[tenant_id]
        self._seen[tenant_id] += 1
        if self.rate < 1 and not falls(salt_of(seed, self.serial, tenant_id), number, self.rate):
            return False
        self.hits += 1
        return True

    def described(self) -> dict[str, object]:
        """The rule and how often it was met, for the admin endpoint."""
        return {**{name: getattr(self, name) for name in ("serial", *_OPTIONS)}, "hits": self.hits}


def fault_of(rule: object) -> Fault:
    """A fault from its JSON form. Raises ValueError for what is not one."""
    if not isinstance(rule, dict):
        raise ValueError("a fault is an object")
    unknown = set(rule) - set(_OPTIONS)
    if unknown:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}; a fault takes {', '.join(_OPTIONS)}")
    return Fault(**{**rule, "kind": str(rule.get("kind"))})


class FaultBoard:
    """The faults in force and the requests they hold."""

    def __init__(self, seed: int, initial: tuple[Fault, ...] = ()) -> None:
        self._seed = seed
        self._serial = 0
        self._faults: list[Fault] = []
        self._waiting: list[tuple[str, asyncio.Event]] = []
        self._changed = asyncio.Event()
        self.closed = asyncio.Event()
        for fault in initial:
            self.add(fault)

    def add(self, fault: Fault) -> Fault:
        """Put a fault in force, after those that are."""
        self._serial += 1
        fault.serial = self._serial
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Take all faults away and let what is held go on."""
        self._faults.clear()
        self._release(lambda _: True)

    def described(self) -> list[dict[str, object]]:
        """All faults in force."""
        return [fault.described() for fault in self._faults]

    def decide(self, tenant_id: str, method: str, *, is_page: bool) -> tuple[list[Fault], Fault | None]:
        """What a request meets: the waits, all of them, and the first fault that spoils the answer."""
        waits: list[Fault] = []
        spoils: Fault | None = None
        for fault in self._faults:
            if spoils is not None and fault.kind not in _WAITS:
                continue
            if fault.meets(self._seed, tenant_id, method, is_page=is_page):
                if fault.kind in _WAITS:
                    waits.append(fault)
                else:
                    spoils = fault
        return waits, spoils

    @contextmanager
    def holding(self, tenant_id: str) -> Iterator[asyncio.Event]:
        """A held request's place; the event says that it may go on."""
        place = (tenant_id, asyncio.Event())
        self._waiting.append(place)
        self._notify()
        try:
            yield place[1]
        finally:
            self._waiting.remove(place)
            self._notify()

    def held(self, tenant_id: str | None = None) -> int:
        """How many requests are held, of one tenant or of all."""
        return sum(tenant_id in (None, waiting) and not event.is_set() for waiting, event in self._waiting)

    async def wait_held(self, tenant_id: str | None, count: int, timeout: float) -> None:
        """Return once so many requests are held. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while self.held(tenant_id) < count:
                await self._changed.wait()

    def release(self, tenant_id: str | None = None) -> int:
        """Let held requests go on and take their holds away; how many were held."""
        if tenant_id is None:
            self._faults = [fault for fault in self._faults if fault.kind != "hold"]
        else:
            self._faults = [
                fault for fault in self._faults if fault.kind != "hold" or fault.tenant != tenant_id
            ]
            for fault in self._faults:
                if fault.kind == "hold":
                    fault.exempt.add(tenant_id)
        return self._release(lambda waiting: tenant_id in (None, waiting))

    def close(self) -> None:
        """The server ends: nothing may be kept waiting."""
        self.closed.set()
        self.clear()

    def _release(self, matches: Callable[[str], bool]) -> int:
        released = [event for waiting, event in self._waiting if matches(waiting) and not event.is_set()]
        for event in released:
            event.set()
        return len(released)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
