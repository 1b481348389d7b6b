"""The claim loop of one partition: (sweep →) read → lock → gate → credentials → start. In batches, by free slots.

Recovery of dead workers' entries happens here too, between two reads: both need free slots, and one after
the other they cannot take the same slot twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from streamsync.clock import Clock
from streamsync.errors import QueueUnavailable, StoreUnavailable
from streamsync.log import get_logger
from streamsync.metrics import BUSY, DEAD, DUPLICATES, GROUPS_CREATED, LIMIT_WAIT_SECONDS, UNAVAILABLE
from streamsync.queue.connection import GroupMissing
from streamsync.queue.limits import Limit
from streamsync.queue.queue import Queue
from streamsync.queue.scripts import Code, Held
from streamsync.queue.stream import BLOCK_MS, Delivery, Partition
from streamsync.store.ledger import Admitted, ClaimAnswer, Ledger, Running
from streamsync.worker.credentials import Credentials
from streamsync.worker.finish import DEAD_KEEP_MS
from streamsync.worker.gate import Verdict, verdict
from streamsync.worker.recovery import Recovery
from streamsync.worker.slots import Holding, Slots

#: Starts the task of an admitted job.
Start = Callable[[Holding, Admitted], None]

_log = get_logger("worker.claim")


class Claimer:
    """Claims jobs of one partition for one worker."""

    def __init__(
        self,
        queue: Queue,
        partition: Partition,
        ledger: Ledger,
        slots: Slots,
        start: Start,
        *,
        consumer: str,
        lock_ttl_ms: int,
        busy_delay_ms: int,
        max_deliveries: int,
        job_starts: Limit | None,
        clock: Clock,
        recovery: Recovery,
        credentials: Credentials,
        stop: asyncio.Event,
    ) -> None:
        self.partition = partition
        self._queue = queue
        self._ledger = ledger
        self._slots = slots
        self._start = start
        self._consumer = consumer
        self._lock_ttl_ms = lock_ttl_ms
        self._busy_delay_ms = busy_delay_ms
        self._max_deliveries = max_deliveries
        self._job_starts = job_starts
        self._clock = clock
        self.last_turn = clock.monotonic()
        self._recovery = recovery
        self._credentials = credentials
        self._stop = stop
        # Whether reading has to begin with what a lost reply hid (see `unsure`).
        self._own_first = False
        # A read that waits keeps its slots (and permits) meanwhile: from the loops of other partitions, for ever
        # where it is idle. So it waits only where it is alone; the others wait first, holding nothing.
        self._read_waits = job_starts is None and len(queue.partitions) == 1

    def unsure(self) -> None:
        """A reply was lost: entries may be pending for us that nobody saw."""
        self._own_first = True

    async def run(self) -> None:
        """Loop until told to stop; survives both servers going away."""
        delay_seconds = 0.05
        while not self._stop.is_set():
            try:
                self.last_turn = self._clock.monotonic()
                if await self._worth_a_slot() and await self._slots_free():
                    await self.run_once()
                delay_seconds = 0.05
            except (QueueUnavailable, StoreUnavailable) as error:
                self.unsure()
                UNAVAILABLE.labels(
                    server="redis" if isinstance(error, QueueUnavailable) else "postgresql"
                ).inc()
                _log.warning("claiming waits", reason=str(error))
                await self._interruptible(asyncio.sleep(delay_seconds * random.uniform(0.5, 1.0)))  # noqa: S311
                delay_seconds = min(delay_seconds * 2, 5.0)
                if isinstance(error, GroupMissing):
                    await self._create_group()
        await self._return_unseen()

    async def _worth_a_slot(self) -> bool:
        """Whether there may be something to claim: waits for it where the read itself does not."""
        if self._read_waits or self._own_first or self._recovery.due():
            return True
        there: list[bool] = []

        async def wait() -> None:
            there.append(await self.partition.wait_for_entries(self._recovery.due_in_ms(BLOCK_MS)))

        await self._interruptible(wait())
        return any(there)

    async def _slots_free(self) -> bool:
        """Whether a slot is free, after a short wait for one: the loop must be seen to turn while all run."""
        if self._slots.free > 0:
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self._interruptible(self._slots.wait_free())
        return self._slots.free > 0

    async def _interruptible(self, waiting: Coroutine[Any, Any, Any]) -> bool:
        """Await something that may take long; False if the worker was told to stop meanwhile."""
        task = asyncio.ensure_future(waiting)
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
                return True
            return False
        finally:
            stop.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def _return_unseen(self) -> None:
        """On stopping: entries delivered to us that no task holds go back, so that others start at once.

        The ledger is asked first: a claim whose answer was lost may have made one `running`, and as a new
        entry it would be taken for a duplicate.
        """
        if not self._own_first:
            return
        try:
            own = await self.partition.read_own(self._consumer)
            unseen = [d for d in own if not self._slots.holds(self.partition, d.entry)]
            claimed = {r.entry: r for r in await self._running_under([d.entry for d in unseen])}
            released = await self._release(list(claimed.values()), delay_ms=0)
            back = [
                (Held(d.entry, "", d.job.tenant_id), 0, d.body)
                for d in unseen
                if d.job is not None and (d.entry not in claimed or d.job.job_id in released)
            ]
            if back:
                await self.partition.scripts.reschedule(self._consumer, back)
        except (QueueUnavailable, StoreUnavailable) as error:
            _log.warning("entries left for recovery", reason=str(error))

    async def _running_under(self, entries: Sequence[str]) -> list[Running]:
        """Jobs of this partition that the ledger says run under these entries."""
        found = await self._ledger.jobs_of_entries(entries) if entries else []
        return [
            running for running in found if self._queue.partition(running.job.tenant_id) is self.partition
        ]

    async def _release(self, claims: Sequence[Running], *, delay_ms: int) -> set[int]:
        """Let dead claims go: their jobs wait again. Returns those that belong into the queue."""
        if not claims:
            return set()
        pairs = [(running.job.job_id, running.fence) for running in claims]
        return await self._ledger.release_taken_over(pairs, delay_ms=delay_ms)

    async def _create_group(self) -> None:
        try:
            if await self.partition.create_group():
                GROUPS_CREATED.inc()
                _log.error("the consumer group was missing and was made again", reason="Redis forgot")
        except QueueUnavailable as error:
            _log.warning("the consumer group cannot be made yet", reason=str(error))

    async def run_once(self) -> None:
        """Claim one batch, within this loop's share of the free slots and the permits there are."""
        count = max(self._slots.free // len(self._queue.partitions), 1)
        with self._slots.reserve(count):
            if self._job_starts is None:
                await self._claim(count, None)
                return
            permits = await self._reserve_starts(self._job_starts, count)
            if not permits:
                return
            try:
                await self._claim(len(permits), permits)
            finally:
                await self._job_starts.give_back(permits)

    async def _claim(self, count: int, permits: list[str] | None) -> None:
        """What a lost reply hid, else what dead workers left, else what is new."""
        if self._own_first:
            own = await self.partition.read_own(self._consumer)
            unseen = [d for d in own if not self._slots.holds(self.partition, d.entry)]
            self._own_first = len(unseen) > count
            await self.process(unseen[:count], permits=permits)
            return
        if self._recovery.due():
            taken = await self._recovery.run_once(self.partition, self._consumer, count)
            await self._requeue_vanished()
            if taken:
                await self.process(taken, permits=permits)
                return
        block_ms = self._recovery.due_in_ms(BLOCK_MS) if self._read_waits else 0
        deliveries: list[Delivery] = []

        async def read() -> None:
            deliveries.extend(await self.partition.read(self._consumer, count, block_ms=block_ms))

        if not await self._interruptible(read()):
            self.unsure()
            return
        await self.process(deliveries, permits=permits)

    async def _reserve_starts(self, limit: Limit, count: int) -> list[str]:
        """Permits for the next batch; waits where there are none."""
        grant = await limit.take(count)
        if not grant.ids:
            seconds = min(grant.wait_ms, BLOCK_MS) / 1000
            LIMIT_WAIT_SECONDS.labels(limit="job_starts").inc(seconds)
            await self._interruptible(asyncio.sleep(seconds))
        return list(grant.ids)

    async def process(self, deliveries: Sequence[Delivery], *, permits: list[str] | None = None) -> None:
        """Lock, ask the gate, take credentials, act. Each job that starts takes one of `permits` off the list.

        Raises QueueUnavailable: what was not dealt with stays pending and is read again (`unsure`).
        """
        fresh = [d for d in deliveries if not self._slots.holds(self.partition, d.entry)]
        unreadable = [d for d in fresh if d.job is None]
        if unreadable:
            await self._bury(unreadable, "unreadable_body")
        holdings = [
            Holding(self.partition, Held(d.entry, secrets.token_hex(8), d.job.tenant_id), d.job, d.body)
            for d in fresh
            if d.job is not None
        ]
        if not holdings:
            return
        for holding in holdings:
            self._slots.add(holding)
        started: set[str] = set()
        try:
            locked, busy = await self._lock(holdings)
            answer = await self._ask(locked, busy)
            rest: list[tuple[Holding, Verdict]] = []
            admitted: list[tuple[Holding, Admitted]] = []
            for holding in locked + busy:
                decided = verdict(holding.job, holding.held.entry, answer)
                if decided is Verdict.RUN:
                    admitted.append((holding, answer.admitted[holding.job.job_id]))
                else:
                    rest.append((holding, decided))
            await self._credentials.take(admitted)
            for holding, job in admitted:
                if permits and holding.credential is not None:
                    permits.pop()
                started.add(holding.held.entry)
                self._start(holding, job)
            busy_entries = {holding.held.entry for holding in busy}
            await self._slots.silence([holding for holding, _ in rest])
            await self._turn_away(
                [
                    # Those that were busy never held the lock: their claim must not be compared with it.
                    (_without_claim(holding) if holding.held.entry in busy_entries else holding, decided)
                    for holding, decided in rest
                ],
                answer,
            )
        finally:
            for holding in holdings:
                if holding.held.entry not in started:
                    self._slots.remove(holding)

    async def _lock(self, holdings: Sequence[Holding]) -> tuple[list[Holding], list[Holding]]:
        codes = await self.partition.scripts.lock(
            self._consumer, [holding.held for holding in holdings], self._lock_ttl_ms
        )
        locked = [holding for holding, code in zip(holdings, codes, strict=True) if code is Code.DONE]
        for holding in locked:
            holding.beating = True
        busy = [holding for holding, code in zip(holdings, codes, strict=True) if code is Code.NOTHING]
        return locked, busy

    async def _ask(self, locked: Sequence[Holding], busy: Sequence[Holding]) -> ClaimAnswer:
        """The gate's answer. While PostgreSQL is away the same question is asked again: an answer that was
        lost may have admitted jobs, and then the ledger shows them running under our entry."""
        runnable = [(holding.job, holding.held.entry) for holding in locked]
        waiting = [(holding.job, holding.held.entry) for holding in busy]
        delay_seconds = 0.1
        while True:
            self.last_turn = self._clock.monotonic()
            try:
                return await self._ledger.claim(
                    self._consumer, runnable, waiting, max_deliveries=self._max_deliveries
                )
            except StoreUnavailable as error:
                if self._stop.is_set():
                    raise
                UNAVAILABLE.labels(server="postgresql").inc()
                _log.warning("the gate waits", reason=str(error), count=len(runnable))
                await asyncio.sleep(delay_seconds * random.uniform(0.5, 1.0))  # noqa: S311
                delay_seconds = min(delay_seconds * 2, 5.0)

    async def _turn_away(self, decided: Sequence[tuple[Holding, Verdict]], answer: ClaimAnswer) -> None:
        """Carry out every verdict but RUN."""
        if not decided:
            return
        groups: dict[Verdict, list[Holding]] = {}
        for holding, what in decided:
            groups.setdefault(what, []).append(holding)
        outdated = groups.get(Verdict.OUTDATED, [])
        if outdated:  # first what must not be lost, then the acknowledgement
            seen = [answer.seen[holding.job.job_id] for holding in outdated]
            await self._queue.schedule([(int(s.due_at.timestamp() * 1000), s.as_job()) for s in seen])
        done: list[Holding] = []
        for what in (Verdict.CANCELLED, Verdict.FINAL, Verdict.DUPLICATE, Verdict.OUTDATED):
            done += groups.get(what, [])
            DUPLICATES.labels(reason=what.value).inc(len(groups.get(what, [])))
        back = groups.get(Verdict.BUSY, [])
        taken_over = groups.get(Verdict.BUSY_TAKEN_OVER, [])
        if taken_over:
            dead_claims = [
                Running(h.job, h.held.entry, fence)
                for h in taken_over
                if (fence := answer.seen[h.job.job_id].fence) is not None
            ]
            waiting_again = await self._release(dead_claims, delay_ms=self._busy_delay_ms)
            back = back + [h for h in taken_over if h.job.job_id in waiting_again]
            done = done + [h for h in taken_over if h.job.job_id not in waiting_again]
        if done:
            await self.partition.scripts.finish(self._consumer, [holding.held for holding in done])
        if back:
            BUSY.inc(len(back))
            await self.partition.scripts.reschedule(
                self._consumer,
                [(h.held, int(self._busy_delay_ms * random.uniform(0.8, 1.2)), h.body) for h in back],  # noqa: S311
            )
        unknown = groups.get(Verdict.UNKNOWN, [])
        if unknown:
            _log.error("entries of jobs that the ledger does not know", count=len(unknown))
            await self._dead(unknown, "unknown_job")
        poisoned = groups.get(Verdict.POISON, [])
        if poisoned:
            for holding in poisoned:
                DEAD.labels(error_class="poison").inc()
                _log.error(
                    "dead letter", job_id=holding.job.job_id, tenant_id=holding.job.tenant_id,
                    kind=holding.job.kind, error_class="poison",
                )  # fmt: skip
            await self._dead(poisoned, "poison")

    async def _dead(self, holdings: Sequence[Holding], error_class: str) -> None:
        jobs = [(holding.held, holding.body, error_class) for holding in holdings]
        await self.partition.scripts.dead(self._consumer, jobs, DEAD_KEEP_MS)

    async def _bury(self, deliveries: Sequence[Delivery], error_class: str) -> None:
        DUPLICATES.labels(reason=error_class).inc(len(deliveries))
        _log.error("entries that are no jobs", count=len(deliveries), reason=error_class)
        jobs = [(Held(d.entry, "", ""), d.body[:200], error_class) for d in deliveries]
        await self.partition.scripts.dead(self._consumer, jobs, DEAD_KEEP_MS)

    async def _requeue_vanished(self) -> None:
        """Entries that Redis no longer holds: jobs that ran under them wait again."""
        vanished = [e for e in self._recovery.vanished if not self._slots.holds(self.partition, e)]
        claims = await self._running_under(vanished)
        released = await self._release(claims, delay_ms=0)
        await self._queue.schedule([(0, running.job) for running in claims if running.job.job_id in released])
        self._recovery.vanished.clear()


def _without_claim(holding: Holding) -> Holding:
    """The same holding without a claim: it never took the tenant's lock."""
    bare = replace(holding.held, claim="")
    return Holding(holding.partition, bare, holding.job, holding.body)
