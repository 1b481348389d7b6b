"""One list of the ERP (customers, or the products of one storefront), computed, never stored.

A record has an *index*, its place in the order of `trans_id`, and a *rank*, its place in the order of its id.
Both orders are needed in time that does not depend on the list's size: the ERP pages by one, the truth is
compared by the other. An affine permutation modulo the size goes from each to the other.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import UTC, datetime
from math import gcd
from typing import Final

from streamsync.simulator import catalog, people, render
from streamsync.simulator.dice import Dice, falls, mix, salt_of
from streamsync.simulator.dirt import Style
from streamsync.simulator.people import Row

#: Ids and cursors have gaps: the step between neighbours, within which each is moved by a little.
_ID_STEP: Final = 3
_TRANS_ID_STEP: Final = 11
_FIRST_CHANGE_MS: Final = int(datetime(2021, 1, 1, tzinfo=UTC).timestamp()) * 1000
_LAST_CHANGE_MS: Final = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1000


class Listing:
    """The records of one (tenant, entity, storefront). Subclasses say what a record is."""

    first_id = 1

    def __init__(
        self,
        salt: int,
        size: int,
        first_trans_id: int,
        *,
        bad_rate: float,
        shared_rate: float,
        shared_max: int,
    ) -> None:
        self.size = size
        self.salt = salt
        self._bad_rate = bad_rate
        self._shared_rate = shared_rate
        self._shared_max = shared_max
        self._id_salt = salt_of(salt, "id")
        self._bad_salt = salt_of(salt, "bad")
        self._shared_salt = salt_of(salt, "shared")
        self._updated_salt = salt_of(salt, "updated")
        self._first_trans_id = first_trans_id
        self._updated_step = (_LAST_CHANGE_MS - _FIRST_CHANGE_MS) // max(size, 1)
        self._factor = max(int(size * 0.618), 1)
        while gcd(self._factor, size) != 1 and size > 0:
            self._factor += 1
        self._inverse = pow(self._factor, -1, size) if size else 0

    def rank(self, index: int) -> int:
        """The place in the order of ids of the record at this place in the order of `trans_id`."""
        return (index * self._factor + self.salt) % self.size

    def index_at_rank(self, rank: int) -> int:
        """The inverse of `rank`."""
        return ((rank - self.salt) * self._inverse) % self.size

    def id_at_rank(self, rank: int) -> int:
        """The record's internal id; ids grow with the rank and have gaps."""
        return self.first_id + rank * _ID_STEP + mix(self._id_salt, rank) % _ID_STEP

    def index_of_id(self, record_id: int) -> int | None:
        """Where the record with this internal id is, or None."""
        rank = (record_id - self.first_id) // _ID_STEP
        if not 0 <= rank < self.size or self.id_at_rank(rank) != record_id:
            return None
        return self.index_at_rank(rank)

    def trans_id(self, index: int) -> int:
        """The cursor value of a record: never falls as the index grows; equal only within a shared group."""
        while index % self._shared_max and falls(self._shared_salt, index, self._shared_rate):
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
        """Whether what the ERP sends for this record cannot be accepted."""
        return falls(self._bad_salt, index, self._bad_rate)

    def bad_count(self) -> int:
        """How many records are bad. O(size), and free when none can be."""
        return sum(map(self.is_bad, range(self.size))) if self._bad_rate > 0 else 0

    def parent(self, index: int) -> Row:
        """The clean row of the entity's own table."""
        raise NotImplementedError

    def children(self, index: int) -> list[Row]:
        """The clean rows of the entity's nested table, ordered by key."""
        raise NotImplementedError

    def record(self, index: int, style: Style) -> render.Record:
        """What the ERP sends: dirty, and broken if the record is a bad one."""
        raise NotImplementedError

    def _dice(self, purpose: bytes, index: int) -> Dice:
        return Dice(self.salt, purpose, index)


class CustomerListing(Listing):
    """`clientes/lista` of one tenant."""

    first_id = 1000

    def parent(self, index: int) -> Row:
        rank = self.rank(index)
        return people.customer(
            self._dice(b"row", index),
            self.id_at_rank(rank),
            rank + 1,
            self.trans_id(index),
            self.updated_ms(index),
        )

    def children(self, index: int) -> list[Row]:
        return people.addresses(self._dice(b"children", index), self.id_at_rank(self.rank(index)))

    def record(self, index: int, style: Style) -> render.Record:
        record = render.customer(self._dice(b"dirt", index), self.parent(index), self.children(index), style)
        if self.is_bad(index):
            render.break_customer(self._dice(b"bad", index), record)
        return record


class ProductListing(Listing):
    """`produtos/listavitrine` of one storefront. Ids of one storefront all have the same number of digits,
    so that the order of the SKUs' texts is the order of their products.
    """

    def __init__(
        self, vitrine: int, number: int, salt: int, size: int, first_trans_id: int, **rates: float
    ) -> None:
        super().__init__(
            salt,
            size,
            first_trans_id,
            bad_rate=rates["bad_rate"],
            shared_rate=rates["shared_rate"],
            shared_max=int(rates["shared_max"]),
        )
        self.vitrine = vitrine
        self.first_id = 10_000_000 * (number + 1)

    def parent(self, index: int) -> Row:
        rank = self.rank(index)
        return catalog.product(
            self._dice(b"row", index),
            self.vitrine,
            self.id_at_rank(rank),
            rank + 1,
            self.trans_id(index),
            self.updated_ms(index),
        )

    def children(self, index: int) -> list[Row]:
        rows = catalog.skus(self._dice(b"children", index), self.vitrine, self.id_at_rank(self.rank(index)))
        return sorted(rows, key=lambda row: str(row["sku"]))

    def record(self, index: int, style: Style) -> render.Record:
        record = render.product(self._dice(b"dirt", index), self.parent(index), self.children(index), style)
        if self.is_bad(index):
            render.break_product(self._dice(b"bad", index), record)
        return record
