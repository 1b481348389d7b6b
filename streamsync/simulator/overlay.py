"""What has become of a list: the few records that changed, came or went, laid over the list as it was.

A changed record moves to a new `trans_id` above all others, so the order of the whole is the first order
without its holes, then the changed ones as they changed. A *place* is a record's number in that order.
Memory grows with what changed, never with the list; every search is a bisection.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain

from streamsync.simulator.dice import falls, mix
from streamsync.simulator.listing import LAST_CHANGE_MS, Item, Listing

#: Steps of the cursor and of the time between two changes: neighbours share a second more often than not.
_TRANS_ID_STEP = 7
_CHANGE_MS = 137


class Overlay:
    """One list in its present state."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        #: By index: how a record that changed or was inserted is now; None if it is gone.
        self._now: dict[int, Item | None] = {}
        #: Indices of the first records that are not in the first order any more, ascending.
        self._holes: list[int] = []
        #: The changed and inserted ones in the order of their trans_id; indices break ties.
        self._moved: list[tuple[int, int]] = []
        self._inserted = 0
        self._trans_id = listing.last_trans_id
        #: Counts changes for ever, also across `restore`: no state of a record comes twice.
        self._serial = 0

    def __len__(self) -> int:
        return self._unmoved + len(self._moved)

    @property
    def changed(self) -> int:
        """How many records are kept in memory."""
        return len(self._now)

    @property
    def _unmoved(self) -> int:
        return self.listing.size - len(self._holes)

    def item(self, index: int) -> Item | None:
        """A record as it is now; None if there is none."""
        if index in self._now:
            return self._now[index]
        return self.listing.item(index) if 0 <= index < self.listing.size else None

    # -- reading ---------------------------------------------------------------------------------------------

    def first_place(self, trans_id: int, *, exclusive: bool) -> int:
        """Where the records from this cursor on begin."""
        first = self.listing.first_index(trans_id, exclusive=exclusive)
        # Pairs compare by trans_id first; no index is above every number.
        moved = bisect_left(self._moved, (trans_id + 1 if exclusive else trans_id, -1))
        return first - bisect_left(self._holes, first) + moved

    def first_changed_since(self, milliseconds: int) -> int:
        """Where the records changed at or after this moment begin."""
        first = self.listing.first_changed_since(milliseconds)
        moved = bisect_left(self._moved, milliseconds, key=lambda pair: self._moved_item(pair).updated_ms)
        return first - bisect_left(self._holes, first) + moved

    def runs(self, start: int, stop: int) -> Iterator[range]:
        """The records that never moved among the places from `start` up to `stop`: runs of their indices."""
        place, stop = start, min(stop, self._unmoved)
        while place < stop:
            index, hole = self._index_at(place)
            end = self._holes[hole] if hole < len(self._holes) else self.listing.size
            end = min(end, index + stop - place)
            yield range(index, end)
            place += end - index

    def moved(self, start: int, stop: int) -> Iterator[Item]:
        """The records that moved among the places from `start` up to `stop`; they come after all others."""
        first = max(start - self._unmoved, 0)
        for pair in self._moved[first : max(stop - self._unmoved, 0)]:
            yield self._moved_item(pair)

    def items(self, start: int = 0, stop: int | None = None) -> Iterator[Item]:
        """All records of these places, in their order."""
        last = len(self) if stop is None else stop
        runs = (map(self.listing.item, run) for run in self.runs(start, last))
        return chain(chain.from_iterable(runs), self.moved(start, last))

    def index_at(self, place: int) -> int:
        """The record at a place."""
        if place >= self._unmoved:
            return self._moved[place - self._unmoved][1]
        return self._index_at(place)[0]

    def by_key(self) -> Iterator[Item]:
        """All records, ordered by key."""
        listing = self.listing
        ranks = map(listing.index_at_rank, range(listing.size + self._inserted))
        return (item for item in map(self.item, ranks) if item is not None)

    def _index_at(self, place: int) -> tuple[int, int]:
        # The hole h has holes[h] - h records before it, which never falls as h grows.
        holes = self._holes
        hole = bisect_right(range(len(holes)), place, key=lambda number: holes[number] - number)
        return place + hole, hole

    def _moved_item(self, pair: tuple[int, int]) -> Item:
        item = self._now[pair[1]]
        if item is None:
            raise RuntimeError("a record that is gone has a place")
        return item

    # -- changing --------------------------------------------------------------------------------------------

    def change(self, indices: Iterable[int]) -> int:
        """Give records other contents and move them to the end; how many there were."""
        found = self._found(indices)
        return self._put(
            [replace(item, version=self._serial + 1 + number) for number, item in enumerate(found)]
        )

    def insert(self, count: int) -> int:
        """Add new records, each with a key above all others; how many."""
        start = self.listing.size + self._inserted
        self._inserted += count
        return self._put([Item(start + n, 0, 0, self._serial + 1 + n) for n in range(count)])

    def delete(self, indices: Iterable[int], *, tombstone: bool = False) -> int:
        """Let records vanish, or leave a tombstone that has moved to the end; how many there were."""
        found = self._found(indices)
        if tombstone:
            return self._put([replace(item, excluded=True) for item in found])
        self._take({item.index for item in found})
        self._now.update((item.index, None) for item in found)
        return len(found)

    def delete_nested(self, indices: Iterable[int], table: str | None = None) -> int:
        """Take one nested record of each of these away; how many of them had one. The parents move."""
        found = []
        for item in self._found(indices):
            places = [place for place in self.listing.droppable(item) if table in (None, place[0])]
            if places:
                chosen = places[mix(self.listing.salt, self._serial + item.index) % len(places)]
                found.append(replace(item, dropped=(*item.dropped, chosen)))
        return self._put(found)

    def copy(self) -> Overlay:
        """The present state, for a backup."""
        other = Overlay(self.listing)
        other.restore(self)
        other._serial = self._serial
        return other

    def restore(self, backup: Overlay) -> None:
        """Go back to a copy: contents and trans_ids, so that new changes use the trans_ids again. Not the clock,
        and not the contents: what changes now becomes something that never was.
        """
        self._now = dict(backup._now)
        self._holes = list(backup._holes)
        self._moved = list(backup._moved)
        self._inserted = backup._inserted
        self._trans_id = backup._trans_id

    def _found(self, indices: Iterable[int]) -> list[Item]:
        items = map(self.item, dict.fromkeys(indices))
        return [item for item in items if item is not None]

    def _put(self, items: list[Item]) -> int:
        self._take({item.index for item in items})
        updated_ms = 0
        for number, item in enumerate(items):
            self._serial += 1
            rates = self.listing.rates
            alone = number % rates.shared_max == 0 or not falls(self.listing.salt, self._serial, rates.shared)
            if alone:
                # Who shares a trans_id was written in one transaction, at one time.
                self._trans_id += _TRANS_ID_STEP
                updated_ms = LAST_CHANGE_MS + self._serial * _CHANGE_MS
            moved = replace(item, trans_id=self._trans_id, updated_ms=updated_ms)
            self._now[item.index] = moved
            self._insert_moved((moved.trans_id, moved.index))
        return len(items)

    def _insert_moved(self, pair: tuple[int, int]) -> None:
        # Nearly always the last: only records that share a trans_id may come in another order.
        insort(self._moved, pair)

    def _take(self, indices: set[int]) -> None:
        """Take records out of the order."""
        moved = {index for index in indices if self._now.get(index) is not None}
        if len(moved) > 8:
            self._moved = [pair for pair in self._moved if pair[1] not in moved]
        else:
            for index in moved:
                item = self._now[index]
                if item is not None:
                    del self._moved[bisect_left(self._moved, (item.trans_id, index))]
        new = [index for index in indices if index not in self._now and index < self.listing.size]
        if len(new) > 8:
            self._holes = sorted(chain(self._holes, new))
        else:
            for index in new:
                insort(self._holes, index)
