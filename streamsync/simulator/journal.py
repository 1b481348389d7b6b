"""What was asked of the simulated ERP and when, for those who check a run. Nothing personal, no passwords."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from itertools import islice


@dataclass(slots=True)
class Entry:
    """One request. `status` is 0 while it runs and when no complete answer was given (see `fault`).

    `method` is `object.method`, or `login` or `logout`. `since` is the date parameter, in ms since 1970.
    """

    number: int
    tenant: str
    user: str
    method: str
    trans_id: int | None = None
    since: int | None = None
    top: int | None = None
    vitrine: int | None = None
    filial: int | None = None
    status: int = 0
    rows: int = 0
    bytes: int = 0
    fault: str | None = None
    #: Seconds since 1970 and on the machine's monotonic clock; the end is None while the request runs.
    started: float = field(default_factory=time.time)
    started_monotonic: float = field(default_factory=time.monotonic)
    ended: float | None = None
    ended_monotonic: float | None = None


class Journal:
    """The latest requests, and counts of all of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: deque[Entry] = deque(maxlen=size)
        self._running: Counter[str] = Counter()
        self._running_users: Counter[str] = Counter()
        self._in_flight = 0
        self._ended = asyncio.Event()
        self._forget()

    def _forget(self) -> None:
        self._entries.clear()
        self._number = 0
        self._rows = 0
        self._bytes = 0
        self._max_in_flight = self._in_flight
        self._overlaps = 0
        self._overlapping: set[str] = set()
        self._user_overlaps = 0
        self._overlapping_users: set[str] = set()
        self._by_status: Counter[str] = Counter()
        self._by_fault: Counter[str] = Counter()

    def reset(self) -> None:
        """Forget what has been; what is running stays counted as running."""
        self._forget()

    def begin(self, tenant_id: str, user: str, method: str) -> Entry:
        """Note a request's arrival."""
        self._number += 1
        entry = Entry(self._number, tenant_id, user, method)
        self._entries.append(entry)
        # One session per user is the norm: whoever asks twice at once has lost a lock.
        if self._running[tenant_id]:
            self._overlaps += 1
            self._overlapping.add(tenant_id)
        if self._running_users[user]:
            self._user_overlaps += 1
            self._overlapping_users.add(user)
        self._running[tenant_id] += 1
        self._running_users[user] += 1
        self._in_flight += 1
        self._max_in_flight = max(self._max_in_flight, self._in_flight)
        return entry

    def end(self, entry: Entry) -> None:
        """Note a request's end, however it came."""
        entry.ended = time.time()
        entry.ended_monotonic = time.monotonic()
        self._in_flight -= 1
        for running, name in ((self._running, entry.tenant), (self._running_users, entry.user)):
            running[name] -= 1
            if not running[name]:
                del running[name]
        self._rows += entry.rows
        self._bytes += entry.bytes
        self._by_status[str(entry.status)] += 1
        if entry.fault is not None:
            self._by_fault[entry.fault] += 1
        self._ended.set()
        self._ended = asyncio.Event()

    async def wait_idle(self, tenant_id: str | None, timeout: float) -> None:
        """Return once no request is running, of one tenant or at all. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while self._in_flight if tenant_id is None else self._running[tenant_id]:
                await self._ended.wait()

    def entries(self, tenant_id: str | None = None, since: int = 0, limit: int | None = None) -> list[Entry]:
        """The requests after number `since`, oldest first."""
        found = (e for e in self._entries if e.number > since and tenant_id in (None, e.tenant))
        return list(islice(found, limit))

    def described(
        self, tenant_id: str | None = None, since: int = 0, limit: int | None = None
    ) -> list[dict[str, object]]:
        """The same for the admin endpoint."""
        return [asdict(entry) for entry in self.entries(tenant_id, since, limit)]

    def stats(self) -> dict[str, object]:
        """Counts since the last reset. `overlaps`: requests begun while another of the tenant's ran;
        `user_overlaps`: while another of the same ERP user's ran, of whatever tenant.
        """
        return {
            "requests": self._number,
            "rows": self._rows,
            "bytes": self._bytes,
            "in_flight": self._in_flight,
            "max_in_flight": self._max_in_flight,
            "overlaps": self._overlaps,
            "overlapping_tenants": sorted(self._overlapping)[:100],
            "user_overlaps": self._user_overlaps,
            "overlapping_users": sorted(self._overlapping_users)[:100],
            "by_status": dict(self._by_status),
            "by_fault": dict(self._by_fault),
            "log_dropped": max(0, self._number - self._size),
        }
