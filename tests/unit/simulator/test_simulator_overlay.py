"""A list that changes, against the plainest model of one: a Python list that is sorted again each time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsync.simulator import listing as listing_module
from streamsync.simulator.data import Population
from streamsync.simulator.listing import Item, Listing
from streamsync.simulator.overlay import Overlay

SHOP = "shop-00001"

#: What a record that moves has new in any case.
_MOVES = ("trans_id", "source_updated_at")

_deeds = st.lists(
    st.tuples(
        st.sampled_from(("change", "insert", "delete", "tombstone", "nested", "snapshot", "restore")),
        st.lists(st.integers(0, 70), max_size=20),
    ),
    max_size=12,
)


def _listing(size: int, shared: float = 0.0) -> Listing:
    population = Population(
        seed=5, products_per_tenant=size, fixed_sizes=True, shared_trans_id_rate=shared, shared_trans_id_max=5
    )
    found = population.listing(SHOP, "products", population.vitrine_ids(SHOP)[0])
    assert found is not None
    return found


class _Model:
    """The records in their order, each as it is now."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        self.items = [overlay.listing.item(index) for index in range(overlay.listing.size)]
        self.inserted = 0
        self.backup: tuple[Overlay, list[Item], int] | None = None

    def do(self, deed: str, indices: list[int]) -> None:
        overlay, before = self.overlay, {item.index: item for item in self.items}
        there = [index for index in dict.fromkeys(indices) if index in before]
        match deed:
            case "change":
                assert overlay.change(indices) == len(there)
            case "insert":
                first = overlay.listing.size + self.inserted
                there = list(range(first, first + len(indices) // 4))
                self.inserted += len(there)
                assert overlay.insert(len(there)) == len(there)
            case "delete":
                assert overlay.delete(indices) == len(there)
                self.items = [item for item in self.items if item.index not in there]
                return
            case "tombstone":
                assert overlay.delete(indices, tombstone=True) == len(there)
            case "nested":
                there = [index for index in there if overlay.listing.droppable(before[index])]
                assert overlay.delete_nested(indices) == len(there)
            case "snapshot":
                self.backup = (overlay.copy(), list(self.items), self.inserted)
                return
            case "restore":
                if self.backup is not None:
                    overlay.restore(self.backup[0])
                    self.items, self.inserted = list(self.backup[1]), self.backup[2]
                return
        moved = [self._now(index) for index in there]
        highest = max((item.trans_id for item in self.items), default=0)
        assert all(item.trans_id > highest for item in moved)
        rest = [item for item in self.items if item.index not in there]
        self.items = rest + sorted(moved, key=lambda item: (item.trans_id, item.index))
        for item in moved:
            old = before.get(item.index)
            if old is not None:
                assert (item.version != old.version) is (deed == "change")
                assert (len(item.dropped) - len(old.dropped) == 1) is (deed == "nested")

    def _now(self, index: int) -> Item:
        item = self.overlay.item(index)
        assert item is not None
        return item

    def check(self) -> None:
        overlay, items = self.overlay, self.items
        assert len(overlay) == len(items)
        assert list(overlay.items()) == items
        assert [overlay.index_at(place) for place in range(len(items))] == [item.index for item in items]
        cursors = [item.trans_id for item in items]
        assert cursors == sorted(cursors)
        for probe in {number + by for number in cursors for by in (-1, 0, 1)}:
            assert overlay.first_place(probe, exclusive=False) == sum(one < probe for one in cursors)
            assert overlay.first_place(probe, exclusive=True) == sum(one <= probe for one in cursors)
        times = [item.updated_ms for item in items]
        assert times == sorted(times)
        for moment in {number + by for number in times for by in (-1, 0, 1)}:
            assert overlay.first_changed_since(moment) == sum(one < moment for one in times)
        for start in range(0, len(items) + 2, 3):
            for stop in (start, start + 1, start + 5, len(items) + 4):
                assert list(overlay.items(start, stop)) == items[start:stop]
        by_key = list(overlay.by_key())
        assert by_key == sorted(items, key=lambda item: overlay.listing.id_of(item.index))


@settings(max_examples=150, deadline=None)
@given(size=st.integers(0, 40), shared=st.sampled_from((0.0, 0.5)), deeds=_deeds)
def test_pages_of_a_changed_list_are_those_of_a_sorted_one(
    size: int, shared: float, deeds: list[tuple[str, list[int]]]
) -> None:
    """Order, every cursor, every date, every page, and the order of keys, after each deed."""
    model = _Model(Overlay(_listing(size, shared)))
    model.check()
    for deed, indices in deeds:
        model.do(deed, indices)
        model.check()


def test_records_that_are_written_together_share_their_trans_id_and_time() -> None:
    overlay = Overlay(_listing(40, shared=1.0))
    overlay.change(range(12))
    moved = [item for item in overlay.items() if item.version]
    groups = [item.trans_id for item in moved]
    assert sorted(groups.count(group) for group in set(groups)) == [2, 5, 5]
    assert len({(item.trans_id, item.updated_ms) for item in moved}) == 3


def test_after_a_restore_trans_ids_come_again_with_other_contents() -> None:
    overlay = Overlay(_listing(10))
    backup = overlay.copy()
    overlay.change([3])
    first = overlay.item(3)
    overlay.restore(backup)
    assert overlay.item(3) == overlay.listing.item(3)
    overlay.change([3])
    second = overlay.item(3)
    assert first is not None
    assert second is not None
    assert first.trans_id == second.trans_id
    assert first.version != second.version
    assert overlay.listing.parent(first) != overlay.listing.parent(second)


def test_memory_and_searches_do_not_grow_with_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of a billion, of which a hundred thousand neighbours have changed."""
    calls = 0
    original = Listing.trans_id

    def counted(self: Listing, index: int) -> int:
        nonlocal calls
        calls += 1
        return original(self, index)

    huge = Population(seed=5, customers_per_tenant=10**9, fixed_sizes=True).listings(SHOP, "customers")[0]
    overlay = Overlay(huge)
    overlay.change(range(5000, 105_000))
    assert overlay.changed == 100_000
    assert len(overlay) == 10**9
    monkeypatch.setattr(listing_module.Listing, "trans_id", counted)
    before = overlay.first_place(original(huge, 4990), exclusive=False)
    assert list(overlay.runs(before, before + 20)) == [range(4990, 5000), range(105_000, 105_010)]
    assert overlay.index_at(5000) == 105_000
    last = overlay.item(104_999)
    assert last is not None
    assert overlay.first_place(last.trans_id, exclusive=False) == 10**9 - 1
    assert list(overlay.items(10**9 - 1)) == [last]
    assert calls < 100


def test_a_dropped_record_stays_away_and_the_others_move_up() -> None:
    listing = Population(seed=5, customers_per_tenant=60, fixed_sizes=True).listings(SHOP, "customers")[0]
    overlay = Overlay(listing)
    before = {index: listing.children(listing.item(index), "customer_contact") for index in range(60)}
    index = next(index for index, contacts in before.items() if len(contacts) == 3)
    assert overlay.delete_nested([index], "customer_contact") == 1
    item = overlay.item(index)
    assert item is not None
    left = listing.children(item, "customer_contact")
    assert [contact["position"] for contact in left] == [1, 2]
    assert {str(contact["name"]) for contact in left} < {str(contact["name"]) for contact in before[index]}
    assert listing.children(item, "customer_address") == listing.children(
        listing.item(index), "customer_address"
    )
    moved = replace(listing.item(index), trans_id=item.trans_id, updated_ms=item.updated_ms)
    assert listing.parent(item) == listing.parent(moved)
    same = {name: value for name, value in listing.parent(moved).items() if name not in _MOVES}
    assert same.items() <= listing.parent(listing.item(index)).items()
