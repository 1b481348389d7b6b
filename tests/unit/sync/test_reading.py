"""Reading to the end, against a plain model of a server that cuts in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsync.entity import Entity
from streamsync.erp.connector import CursorKind, Page, Scopes
from streamsync.erp.millennium.customers import CUSTOMERS
from streamsync.errors import TransientError
from streamsync.sync.reading import MAX_PAGE_SIZE, Reader

_FIRST = 10


@dataclass
class Server:
    """Rows by key, each with a trans_id; a change moves its row to a new one.

    `changes` are keys that change, one after each answer, until they are used up. `cap`: most rows of an answer,
    whatever is asked for.
    """

    rows: dict[int, int]
    exclusive: bool = False
    cap: int = 10**9
    kind: CursorKind = CursorKind.TRANS_ID
    changes: list[int] = field(default_factory=list)
    asked: list[tuple[int, int | None]] = field(default_factory=list)

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    def entity(self, name: str) -> Entity:
        raise NotImplementedError

    async def scopes(self, entity: Entity) -> Scopes:
        raise NotImplementedError

    def cursor_kind(self, entity: Entity) -> CursorKind:
        return self.kind

    async def page(self, entity: Entity, scope: str, cursor: int, size: int | None) -> Page:
        self.asked.append((cursor, size))
        after = cursor + 1 if self.exclusive else cursor
        found = sorted((trans_id, key) for key, trans_id in self.rows.items() if trans_id >= after)
        found = found[: min(self.cap, size or self.cap)]
        if self.changes:
            key = self.changes.pop(0)
            if key in self.rows:
                self.rows[key] = max(self.rows.values()) + 1
        records = [{"cliente": key, "trans_id": trans_id} for trans_id, key in found]
        highest = max((trans_id for trans_id, _ in found), default=None)
        return Page(records, None if self.kind is CursorKind.LIST else highest, 0)


async def read(server: Server, *, cursor: int = 0, size: int = 3) -> tuple[dict[int, int], Reader]:
    """Everything a read brings: the highest trans_id seen of each key; and the reader at its end."""
    reader = Reader(server, CUSTOMERS, "", cursor, size)
    seen: dict[int, int] = {}
    for _ in range(2_000):
        page = await reader.next()
        if page is None:
            return seen, reader
        for row in page.records:
            seen[row["cliente"]] = max(seen.get(row["cliente"], 0), row["trans_id"])
    raise AssertionError("the read does not end")


#: Distances between neighbours: 0 makes a group that shares a trans_id.
_STEPS = st.lists(st.sampled_from([0, 0, 1, 1, 2, 7]), max_size=40)


def rows_of(steps: Sequence[int]) -> dict[int, int]:
    """Rows with these distances between their trans_ids."""
    numbers = count(1)
    trans_id = _FIRST
    rows = {}
    for step in steps:
        trans_id += step
        rows[next(numbers)] = trans_id
    return rows


@given(_STEPS, st.booleans(), st.integers(1, 9))
@settings(max_examples=300)
def test_everything_is_read(steps: Sequence[int], exclusive: bool, size: int) -> None:
    """Whatever shares a trans_id, wherever `$top` cuts: all rows come, and the read knows that it is complete."""
    server = Server(rows_of(steps), exclusive)
    seen, reader = asyncio.run(read(server, size=size))
    assert seen == server.rows
    assert reader.complete
    assert reader.cursor == max(server.rows.values(), default=0)


@given(_STEPS, st.booleans(), st.integers(1, 9), st.lists(st.integers(1, 40), max_size=30))
@settings(max_examples=300)
def test_everything_is_read_while_rows_change(
    steps: Sequence[int], exclusive: bool, size: int, changes: list[int]
) -> None:
    """A row that changes while it is being read comes again at its new place: the last state of each is seen."""
    server = Server(rows_of(steps), exclusive, changes=list(changes))
    seen, reader = asyncio.run(read(server, size=size))
    while server.changes:  # those that the read's end left over
        seen_more, reader = asyncio.run(read(server, cursor=reader.cursor, size=size))
        seen |= seen_more
    seen |= asyncio.run(read(server, cursor=reader.cursor, size=size))[0]
    assert seen == server.rows


@given(_STEPS, st.booleans(), st.integers(1, 9), st.integers(0, 40))
@settings(max_examples=200)
def test_the_next_read_brings_what_changed_since(
    steps: Sequence[int], exclusive: bool, size: int, key: int
) -> None:
    """From the last cursor on, a change is seen, and little else is read again."""
    server = Server(rows_of(steps), exclusive)
    _, reader = asyncio.run(read(server, size=size))
    if key in server.rows:
        server.rows[key] = max(server.rows.values()) + 1
    server.asked.clear()
    seen, _ = asyncio.run(read(server, cursor=reader.cursor, size=100))
    assert key not in server.rows or seen[key] == server.rows[key]
    assert len(server.asked) <= 2


async def test_the_overlap_is_one_step() -> None:
    """A request starts one below the cursor, so that servers that exclude it show its row again."""
    server = Server({1: 10, 2: 20}, exclusive=True)
    seen, _ = await read(server, cursor=20)
    assert seen == {2: 20}
    assert server.asked == [(19, 3)]


async def test_a_stuck_cursor_is_a_clear_error() -> None:
    """More rows of one trans_id than the largest page: no endless loop."""
    server = Server(dict.fromkeys(range(MAX_PAGE_SIZE + 1), 10))
    with pytest.raises(TransientError, match="clientes/lista repeats full pages") as caught:
        await read(server, size=1000)
    assert caught.value.error_class == "erp_cursor_stuck"
    assert max(size or 0 for _, size in server.asked) <= MAX_PAGE_SIZE


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.integers(1, 40)), max_size=8),
    st.booleans(),
    st.integers(20, 30),
)
@settings(max_examples=300)
def test_a_server_with_a_maximum_of_its_own(
    runs: Sequence[tuple[int, int]], exclusive: bool, cap: int
) -> None:
    """A server that cuts below what was asked for loses nothing in silence: rows that share a trans_id and that it
    cannot show are an error. (Of the very last trans_id nobody can know.)"""
    steps = [step for step, length in runs for _ in range(length)]
    server = Server(rows_of([*steps, 5]), exclusive, cap=cap)
    outcome, missing = asyncio.run(_outcome(server))
    assert outcome == ("erp_cursor_stuck" if missing else "read")


async def _outcome(server: Server) -> tuple[str, bool]:
    try:
        seen, _ = await read(server, size=100)
    except TransientError as error:
        return error.error_class, True
    return "read", seen != server.rows


async def test_a_maximum_larger_than_any_group_is_no_trouble() -> None:
    """Such a server is read to its end, in more requests."""
    server = Server(rows_of([1] * 100), cap=25)
    seen, reader = await read(server, size=1000)
    assert seen == server.rows
    assert reader.complete


async def test_a_change_between_end_and_probe_is_no_cut() -> None:
    """What a probe finds may have come just now: then the overlapping request shows it, too."""
    rows = dict.fromkeys(range(1, 31), 10)
    server = Server(
        rows, changes=[99, 1]
    )  # the first answer brings the group, the second repeats it: an end?
    seen, reader = await read(server, size=100)
    assert seen == server.rows
    assert reader.complete


async def test_an_empty_answer_in_the_middle_is_no_proof_of_the_end() -> None:
    """The overlap should have come again: such a read ends, and nothing may be deleted by it."""
    server = Server(rows_of([1] * 9))
    everything = server.page

    async def empty_once(entity: Entity, scope: str, cursor: int, size: int | None) -> Page:
        page = await everything(entity, scope, cursor, size)
        return Page((), None, 0) if len(server.asked) == 3 else page

    server.page = empty_once  # type: ignore[method-assign]
    seen, reader = await read(server)
    assert len(seen) < len(server.rows)
    assert not reader.complete
    _, reader = await read(Server({}))
    assert reader.complete


async def test_a_record_that_changes_with_every_request_does_not_keep_a_read_from_ending() -> None:
    """Answers too short to have been cut are the end, even if each brings a change."""
    server = Server(rows_of([1] * 9), changes=[5] * 10_000)
    _, reader = await read(server)
    assert len(server.asked) < 20
    assert reader.complete


async def test_a_list_is_one_request() -> None:
    """Without a cursor everything is asked for at once, and nothing of it is kept back."""
    server = Server({1: 0, 2: 0}, kind=CursorKind.LIST)
    seen, reader = await read(server)
    assert seen == {1: 0, 2: 0}
    assert server.asked == [(0, None)]
    assert reader.complete


async def test_an_empty_list_ends() -> None:
    """No rows is an answer, too."""
    seen, reader = await read(Server({}, kind=CursorKind.LIST))
    assert (seen, reader.complete) == ({}, True)


async def test_dates_overlap_by_a_second() -> None:
    """The ERP compares whole seconds: one second is asked for again."""
    server = Server({1: 1_000_000, 2: 2_000_500}, kind=CursorKind.DATE)
    await read(server, cursor=2_000_500)
    assert server.asked == [(1_999_500, 3)]
