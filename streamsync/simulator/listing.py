"""One list of the ERP as it was at first (say, the products of one storefront), computed, never stored.

A record has an *index*, its place in the order of `trans_id`, and a *rank*, its place in the order of its key.
Both orders are needed in time that does not depend on the list's size: the ERP pages by one, the truth is
compared by the other. An affine permutation modulo the size goes from each to the other. Records inserted
later have the indices from the list's size on, where index and rank are one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import gcd
from typing import Final, NamedTuple

from streamsync.simulator.dice import Dice, NoDice, falls, mix, salt_of
from streamsync.simulator.dirt import Style
from streamsync.simulator.people import Row
from streamsync.simulator.record import Record

#: Ids and cursors have gaps: the step between neighbours, within which each is moved by a little.
_ID_STEP: Final = 3
_TRANS_ID_STEP: Final = 11
_FIRST_CHANGE_MS: Final = int(datetime(2021, 1, 1, tzinfo=UTC).timestamp()) * 1000
LAST_CHANGE_MS: Final = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1000


@dataclass(frozen=True, slots=True)
class Item:
    """One record of a list in one state. `version` 0 is how it was at first; each other has other contents.

    `excluded`: a product's tombstone. `dropped`: nested records that are gone, as (table, place in the list).
    """

    index: int
    trans_id: int
    updated_ms: int
    version: int = 0
    excluded: bool = False
    dropped: tuple[tuple[str, int], ...] = ()


class Rates(NamedTuple):
    """How often records are bad, and how often and how many share one `trans_id`."""

    bad: float = 0.0
    shared: float = 0.0
    shared_max: int = 8


class Listing:
    """The records of one (tenant, entity, scope). Subclasses say what a record is."""

    #: The tables nested in a record; whether a delete leaves a tombstone is up to the server.
    nested: tuple[str, ...] = ()
    first_id = 1

    def __init__(self, salt: int, size: int, first_trans_id: int, rates: Rates) -> None:
        self.size = size
        self.salt = salt
        self.rates = rates
        self._id_salt = salt_of(salt, "id")
        self._bad_salt = salt_of(salt, "bad")
        self._shared_salt = salt_of(salt, "shared")
        self._updated_salt = salt_of(salt, "updated")
        self._first_trans_id = first_trans_id
        self._updated_step = (LAST_CHANGE_MS - _FIRST_CHANGE_MS) // max(size, 1)
        self._factor = max(int(size * 0.618), 1)
        while gcd(self._factor, size) != 1 and size > 0:
            self._factor += 1
        self._inverse = pow(self._factor, -1, size) if size else 0

    def rank(self, index: int) -> int:
        """The place in the order of ids of the record at this place in the order of `trans_id`."""
        return (index * self._factor + self.salt) % self.size if index < self.size else index

    def index_at_rank(self, rank: int) -> int:
        """The inverse of `rank`."""
        return ((rank - self.salt) * self._inverse) % self.size if rank < self.size else rank

    def id_at_rank(self, rank: int) -> int:
        """The record's internal id; ids grow with the rank and have gaps."""
        return self.first_id + rank * _ID_STEP + mix(self._id_salt, rank) % _ID_STEP

    def index_of_id(self, record_id: int) -> int | None:
        """The index of the record that has or would have this internal id, or None."""
        rank = (record_id - self.first_id) // _ID_STEP
        if rank < 0 or self.id_at_rank(rank) != record_id:
            return None
        return self.index_at_rank(rank)

    def id_of(self, index: int) -> int:
        """The internal id of the record with this index."""
        return self.id_at_rank(self.rank(index))

    def item(self, index: int) -> Item:
        """The record as it was at first."""
        return Item(index, self.trans_id(index), self.updated_ms(index))

    @property
    def last_trans_id(self) -> int:
        """The highest cursor value of the list as it was at first, or one that is lower than all to come."""
        return self.trans_id(self.size - 1) if self.size else self._first_trans_id

    def trans_id(self, index: int) -> int:
        """The cursor value of a record: never falls as the index grows; equal only within a shared group."""
        while index % self.rates.shared_max and falls(self._shared_salt, index, self.rates.shared):
            index -= 1
        return self._first_trans_id + index * _TRANS_ID_STEP + mix(self.salt, index) % _TRANS_ID_STEP

    def first_index(self, trans_id: int, *, exclusive: bool) -> int:
        """The first record from this cursor on; the size if there is none. O(log size)."""
        search = bisect_right if exclusive else bisect_left
        return search(range(self.size), trans_id, key=self.trans_id)

    def updated_ms(self, index: int) -> int:
        """When the record last changed, in ms since 1970; grows with the index, as `trans_id` does."""
        jitter = mix(self._updated_salt, index) % max(self._updated_step, 1)
        return _FIRST_CHANGE_MS + index * self._updated_step + jitter

    def first_changed_since(self, milliseconds: int) -> int:
        """The first record changed at or after this moment. O(log size)."""
        return bisect_left(range(self.size), milliseconds, key=self.updated_ms)

    def is_bad(self, index: int) -> bool:
        """Whether what the ERP sends for this record cannot be accepted, in whatever state."""
        return falls(self._bad_salt, index, self.rates.bad)

    def indices_of_key(self, key: int) -> list[int]:
        """The records, first ones only, that the narrowing parameter (`produto`, `cliente`) asks for."""
        index = self.index_of_id(key)
        return [] if index is None else [index]

    def parent(self, item: Item) -> Row:
        """The clean row of the entity's own table."""
        raise NotImplementedError

    def children(self, item: Item, table: str) -> list[Row]:
        """The clean rows of one of the entity's nested tables, ordered by key."""
        raise ValueError(f"{table} is not nested in record {item.index} or any other of this list")

    def record(self, item: Item, style: Style) -> Record:
        """What the ERP sends: dirty, and broken if the record is a bad one."""
        raise NotImplementedError

    def droppable(self, item: Item) -> list[tuple[str, int]]:
        """The nested records that can vanish by themselves, as `Item.dropped` names them."""
        whole = replace(item, dropped=())
        places = [(table, n) for table in self.nested for n in range(len(self.children(whole, table)))]
        return [place for place in places if place not in item.dropped]

    def _dirt(self, item: Item, style: Style) -> Dice:
        return self._dice(b"dirt", item.index, item.version) if style.dirt else NoDice()

    def _dice(self, purpose: bytes, index: int, version: int = 0) -> Dice:
        return Dice(self.salt, purpose if version == 0 else b"%b.%d" % (purpose, version), index)


def kept(rows: list[Row], item: Item, table: str) -> list[Row]:
    """The rows of a nested table without those that were dropped."""
    return (
        [row for place, row in enumerate(rows) if (table, place) not in item.dropped]
        if item.dropped
        else rows
    )
