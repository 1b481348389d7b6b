"""The queue against a plain Python model of it: whatever happens in whatever order, both say the same.

The model knows nothing of Redis: a job waits, is undelivered, pending for a consumer, dead or gone, and a
tenant is locked by a claim or free. Workers die, freeze and wake with old beliefs, locks end, entries vanish,
Redis forgets everything. After each step the server's whole content is compared with the model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from streamsync.jobs import Job
from streamsync.queue.connection import GroupMissing
from streamsync.queue.queue import Queue
from streamsync.queue.scripts import Code, Held
from streamsync.queue.stream import Delivery, Depths, Sweep
from tests.integration.queue.world import KEEP_MS, TTL_MS, World

T = TypeVar("T")

#: Idle time of a worker that is taken for dead, and the idle time from which one is.
SILENT_MS, DEAD_MS = 3_600_000, 1_800_000

#: A due time that never comes.
NEVER = 4_000_000_000_000

TENANTS = ("a", "b", "c")
BODIES = [Job(n + 1, 1, "customers", TENANTS[n % 3]).encode() for n in range(12)]
WORKERS = st.integers(0, 2)

#: One of the latest beliefs.
WHICH = st.integers(0, 5)


@dataclass
class Entry:
    """A delivery: `owner` is None while nobody has read it, `there` False once somebody deleted it."""

    body: bytes
    owner: str | None = None
    silent: bool = False
    there: bool = True


@dataclass
class Model:
    """What the server should hold."""

    delayed: dict[bytes, float] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)  # in the order of the streams
    locks: dict[str, str] = field(default_factory=dict)
    dead: list[bytes] = field(default_factory=list)
    group: bool = True

    def of(self, letter: str) -> list[tuple[str, Entry]]:
        """A stream's entries, pending ones that vanished included."""
        return [(name, entry) for name, entry in self.entries.items() if name[0] == letter]

    def owner(self, name: str) -> str | None:
        """The consumer that an entry is pending for."""
        return self.entries[name].owner if name in self.entries else None

    def may(self, consumer: str, held: Held) -> bool:
        """Whether a holder's call counts: nobody else has its entry, and nobody else its tenant."""
        lock = self.locks.get(held.tenant_id)
        return self.owner(held.entry) in (None, consumer) and lock in (None, value(held))

    def settle(self, held: Held) -> None:
        """An entry's end."""
        self.entries.pop(held.entry, None)
        self.locks.pop(held.tenant_id, None)


def value(held: Held) -> str:
    """A lock's text."""
    return f"{held.entry}/{held.claim}"


class QueueMachine(RuleBasedStateMachine):
    """Drives three workers, two of them perhaps only ghosts."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = self.run(self._open(url))
        self.model = Model()
        self.names = ["w0", "w1", "w2"]
        self.claims = 0
        #: What each worker believes to hold, true or not.
        self.beliefs: dict[str, dict[str, tuple[Held, bytes]]] = {name: {} for name in self.names}
        #: Bodies that are somewhere, and must be in exactly one place.
        self.open: set[bytes] = set()
        #: Bodies that Redis forgot, or somebody deleted: the ledger's to put back.
        self.forgotten: set[bytes] = set()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Do it now."""
        return self.runner.run(coroutine)

    async def _open(self, url: str) -> World:
        stack = AsyncExitStack()
        queue = await stack.enter_async_context(Queue(url, "test", 1))
        await queue.client.flushdb()
        await queue.partitions[0].create_group()
        return World(queue, url, stack)

    def teardown(self) -> None:
        """Close the connections."""
        self.run(self.world.stack.aclose())
        self.runner.close()

    # What may happen

    @rule(
        body=st.sampled_from(BODIES),
        due_ms=st.integers(1, 9) | st.just(NEVER),
        urgent=st.booleans(),
        forward=st.booleans(),
    )
    def schedule(self, body: bytes, due_ms: int, urgent: bool, forward: bool) -> None:
        """The ledger schedules what is not under way."""
        waiting = self.model.delayed.get(body)
        if waiting is None and body in self.open - self.forgotten:
            return
        scripts = self.world.scripts
        before = self.run(self.world.now_ms())
        added = self.run(scripts.schedule([(due_ms, body)], urgent=urgent, move_forward=forward))
        after = self.run(self.world.now_ms())
        score = self.run(self.world.delayed())[body]
        assert added == (waiting is None)
        wanted = range(before - 10**14, after - 10**14 + 1) if urgent else range(due_ms, due_ms + 1)
        if waiting is None:
            assert score in wanted
        elif forward:
            assert score in wanted if score != waiting else min(wanted) >= waiting or waiting in wanted
        else:
            assert score == waiting
        self.model.delayed[body] = score
        self.open.add(body)

    @rule(limit=st.integers(1, 4))
    def promote(self, limit: int) -> None:
        """The earliest due jobs become entries, and no others."""
        now = self.run(self.world.now_ms())
        due = sorted((s, b) for b, s in self.model.delayed.items() if s <= now)[:limit]
        seen = {s: len(self.run(self.world.raw("XRANGE", self.world.stream_of(s), "-", "+"))) for s in "us"}
        moved, wait_ms = self.run(self.world.scripts.promote(limit))
        assert moved == len(due)
        for score, body in due:
            letter = "u" if score < 0 or score % 1 else "s"
            page = self.run(self.world.raw("XRANGE", self.world.stream_of(letter), "-", "+"))
            entry_id, fields = page[seen[letter]]
            seen[letter] += 1
            assert fields == {b"j": body}
            del self.model.delayed[body]
            self.model.entries[letter + entry_id.decode()] = Entry(body)
        assert (wait_ms == -1) == (not self.model.delayed)

    @rule(who=WORKERS, count=st.integers(1, 4))
    def read(self, who: int, count: int) -> None:
        """A worker reads: urgent first, in order, no more than asked for."""
        consumer = self.names[who]
        if not self.model.group:
            with pytest.raises(GroupMissing):
                self.run(self.world.partition.read(consumer, count, block_ms=0))
            return
        new = [item for letter in "us" for item in self.model.of(letter) if item[1].owner is None][:count]
        found = self.run(self.world.partition.read(consumer, count, block_ms=0))
        assert [(d.entry, d.body) for d in found] == [(name, entry.body) for name, entry in new]
        self._delivered(consumer, found)

    @rule(who=WORKERS)
    def read_own(self, who: int) -> None:
        """A worker reads again what is pending for it."""
        consumer = self.names[who]
        if not self.model.group:
            with pytest.raises(GroupMissing):
                self.run(self.world.partition.read_own(consumer))
            return
        mine = [
            name for letter in "us" for name, e in self.model.of(letter) if e.owner == consumer and e.there
        ]
        found = self.run(self.world.partition.read_own(consumer))
        assert [d.entry for d in found] == mine
        self._delivered(consumer, found)

    def _delivered(self, consumer: str, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            entry = self.model.entries[delivery.entry]
            entry.owner, entry.silent = consumer, False
            assert delivery.job is not None
            self.claims += 1
            held = Held(delivery.entry, f"c{self.claims}", delivery.job.tenant_id)
            self.beliefs[consumer][delivery.entry] = (held, delivery.body)

    def _believed(self) -> list[tuple[str, Held, bytes]]:
        return [(name, *item) for name, items in self.beliefs.items() for item in items.values()]

    def _belief(self, which: int) -> tuple[str, Held, bytes]:
        believed = self._believed()
        return believed[-1 - which % len(believed)]

    @precondition(lambda self: self.model.group)
    @rule(who=WORKERS, body=st.sampled_from(BODIES), urgent=st.booleans())
    def begin_a_job(self, who: int, body: bytes, urgent: bool) -> None:
        """All steps up to the lock, one after the other."""
        self.schedule(body, 1, urgent, False)
        self.promote(4)
        self.read(who, 4)
        if self._believed():
            self.lock(0)

    @precondition(lambda self: self._believed())
    @rule(which=WHICH)
    def lock(self, which: int) -> None:
        """A worker locks the tenant of an entry that it believes to own."""
        consumer, held, _ = self._belief(which)
        if not self.model.group:
            with pytest.raises(GroupMissing):
                self.run(self.world.scripts.lock(consumer, [held], TTL_MS))
            return
        expected = Code.LOST
        if self.model.owner(held.entry) == consumer:
            lock = self.model.locks.get(held.tenant_id)
            same = lock is None or lock.split("/")[0] == held.entry
            expected = Code.DONE if same else Code.NOTHING
        assert self.run(self.world.scripts.lock(consumer, [held], TTL_MS)) == [expected]
        if expected is Code.DONE:
            self.model.locks[held.tenant_id] = value(held)

    @precondition(lambda self: self._believed())
    @rule(which=WHICH)
    def heartbeat(self, which: int) -> None:
        """A worker beats once for all that it believes to hold."""
        consumer, _, _ = self._belief(which)
        believed = [held for held, _ in self.beliefs[consumer].values()]
        expected = []
        for held in believed:
            if not self.model.may(consumer, held):
                expected.append(Code.LOST)
                continue
            again = held.tenant_id not in self.model.locks
            expected.append(Code.TAKEN_AGAIN if again else Code.DONE)
            self.model.locks[held.tenant_id] = value(held)
            if entry := self.model.entries.get(held.entry):
                entry.silent = False
                if not entry.there:  # Redis notices that nothing is left to renew
                    del self.model.entries[held.entry]
        assert self.run(self.world.scripts.heartbeat(consumer, believed, TTL_MS)) == expected

    @precondition(lambda self: self._believed())
    @rule(which=WHICH)
    def finish(self, which: int) -> None:
        """A worker finishes what it believes to hold."""
        consumer, held, body = self._belief(which)
        expected = self._settled(consumer, held)
        assert self.run(self.world.scripts.finish(consumer, [held])) == [expected]
        if expected is Code.DONE:
            self.open.discard(body)

    @precondition(lambda self: self._believed())
    @rule(which=WHICH)
    def bury(self, which: int) -> None:
        """A worker reports a failure of what it believes to hold."""
        consumer, held, body = self._belief(which)
        expected = self._settled(consumer, held)
        assert self.run(self.world.scripts.dead(consumer, [(held, body, "e")], KEEP_MS)) == [expected]
        if expected is Code.DONE:
            self.open.discard(body)
            self.model.dead.append(body)

    def _settled(self, consumer: str, held: Held) -> Code:
        if not self.model.may(consumer, held):
            return Code.LOST
        code = Code.DONE if self.model.owner(held.entry) else Code.NOTHING
        self.model.settle(held)
        return code

    @precondition(lambda self: self._believed())
    @rule(which=WHICH, delay_ms=st.sampled_from([-5, 3_600_000]))
    def reschedule(self, which: int, delay_ms: int) -> None:
        """A worker hands a job back. The ledger is asked first and refuses one that has ended meanwhile, so
        an entry that is nobody's comes here only when Redis forgot it."""
        consumer, held, body = self._belief(which)
        if self.model.owner(held.entry) is None and body not in self.forgotten:
            return
        expected = Code.DONE if self.model.may(consumer, held) else Code.LOST
        answer = self.run(self.world.scripts.reschedule(consumer, [(held, delay_ms, body)]))
        assert answer == [expected]
        if expected is Code.DONE:
            self.model.settle(held)
            score = self.run(self.world.delayed())[body]
            assert score == self.model.delayed.setdefault(body, score)
            self.open.add(body)

    @rule(who=WORKERS)
    def fall_silent(self, who: int) -> None:
        """A worker freezes: its entries grow idle, its beliefs stay."""
        for name, entry in self.model.entries.items():
            if entry.owner == self.names[who] and entry.there:
                self.run(self.world.make_idle(name, SILENT_MS))
                entry.silent = True

    @rule(who=WORKERS)
    def die(self, who: int) -> None:
        """A worker dies; another with another name starts in its place."""
        self.fall_silent(who)
        name = f"w{who}-{self.claims}-{len(self.beliefs)}"
        self.names[who] = name
        self.beliefs[name] = {}

    @rule(who=WORKERS, count=st.integers(1, 8))
    def recover(self, who: int, count: int) -> None:
        """A worker takes over what silent ones left. (Twenty entries fit into one look of XAUTOCLAIM.)"""
        consumer = self.names[who]
        sweep = Sweep()
        call = self.world.partition.recover(consumer, sweep, idle_ms=DEAD_MS, count=count)
        if not self.model.group:
            with pytest.raises(GroupMissing):
                self.run(call)
            return
        taken, vanished = self.run(call)
        silent = [n for letter in "us" for n, e in self.model.of(letter) if e.silent and e.there]
        assert [d.entry for d in taken] == silent[: len(taken)]
        assert len(taken) <= count
        for name in vanished:
            assert not self.model.entries[name].there
            del self.model.entries[name]
        self._delivered(consumer, taken)

    @precondition(lambda self: self.model.group and self._believed())
    @rule(who=WORKERS, which=WHICH, locks=st.booleans())
    def a_frozen_worker_wakes(self, who: int, which: int, locks: bool) -> None:
        """A worker freezes, another takes its entries over and perhaps locks, and the first one goes on."""
        old = self._belief(which)
        for name, entry in self.model.entries.items():
            if entry.owner == old[0] and entry.there:
                self.run(self.world.make_idle(name, SILENT_MS))
                entry.silent = True
        self.recover(who, 8)
        taken = self.beliefs[self.names[who]].get(old[1].entry)
        if locks and taken:
            self.lock(self._index((self.names[who], *taken)))
        if old not in self._believed():
            return  # it was the same worker, which has read the entry again
        for go_on in (self.heartbeat, self.finish, self.bury):
            go_on(self._index(old))
        self.reschedule(self._index(old), -5)

    def _index(self, believed: tuple[str, Held, bytes]) -> int:
        everything = self._believed()
        return len(everything) - 1 - everything.index(believed)

    @rule(tenant=st.sampled_from(TENANTS))
    def lock_ends(self, tenant: str) -> None:
        """A lock's time is up."""
        self.run(self.world.raw("DEL", self.world.keys.lock(tenant)))
        self.model.locks.pop(tenant, None)

    @precondition(lambda self: any(entry.owner for entry in self.model.entries.values()))
    @rule(which=st.integers(0, 5))
    def vanish(self, which: int) -> None:
        """Somebody deletes a pending entry."""
        pending = [item for item in self.model.entries.items() if item[1].owner]
        name, entry = pending[which % len(pending)]
        self.run(self.world.raw("XDEL", self.world.stream_of(name), name[1:]))
        entry.there = False
        self.forgotten.add(entry.body)

    @precondition(lambda self: len(self.model.entries) >= 4 and self.claims % 4 == 3)
    @rule()
    def forget_everything(self) -> None:
        """Redis restarts empty."""
        self.run(self.world.raw("FLUSHDB"))
        self.forgotten |= self.open
        self.model = Model(group=False)

    @precondition(lambda self: not self.model.group)
    @rule()
    def create_group(self) -> None:
        """Somebody makes the group again."""
        assert self.run(self.world.partition.create_group())
        self.model.group = True

    # What is true after each step

    @invariant()
    def the_server_holds_what_the_model_holds(self) -> None:
        """Every place, every owner, every lock."""
        world, model = self.world, self.model
        assert self.run(world.delayed()) == model.delayed
        for letter in "us":
            found = self.run(world.raw("XRANGE", world.stream_of(letter), "-", "+"))
            assert [(letter + i.decode(), f[b"j"]) for i, f in found] == [
                (name, entry.body) for name, entry in model.of(letter) if entry.there
            ]
        assert self.run(world.owners()) == {n: e.owner for n, e in model.entries.items() if e.owner}
        locks = {t: v for t in TENANTS if (v := self.run(world.lock_value(t))) is not None}
        assert locks == model.locks
        assert self.run(world.bodies(world.keys.dead)) == model.dead
        assert self.run(world.tokens()) <= 1

    @invariant()
    def no_job_is_lost_or_in_two_places(self) -> None:
        """A job that is under way is in one place, unless Redis forgot it."""
        places = [*self.model.delayed, *(entry.body for entry in self.model.entries.values())]
        for body in self.open - self.forgotten:
            assert places.count(body) == 1
        assert set(places) <= self.open | self.forgotten

    @invariant()
    def depths_are_exact(self) -> None:
        """Depths are what the model counts, while nobody has deleted pending entries behind our back."""
        if not self.model.group or not all(entry.there for entry in self.model.entries.values()):
            return
        pending = sum(1 for entry in self.model.entries.values() if entry.owner)
        assert self.run(self.world.partition.depths()) == Depths(
            len(self.model.delayed), len(self.model.entries) - pending, pending, len(self.model.dead)
        )


def test_the_queue_behaves_as_its_model(redis_url: str) -> None:
    """Whatever happens in whatever order, the server holds what the model holds."""

    class Machine(QueueMachine):
        def __init__(self) -> None:
            super().__init__(redis_url)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=50,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
