"""The world that changes: what has become of each tenant's lists, and the exact truth about them now.

Everything that happens is a function of the seed and of what was done before, in its order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from math import gcd

from streamsync.simulator.data import Population, entity_of, rows_of
from streamsync.simulator.dice import mix, salt_of
from streamsync.simulator.overlay import Overlay
from streamsync.simulator.people import Row
from streamsync.simulator.served import as_served
from streamsync.simulator.switches import SwitchBoard, style_of_server

#: (tenant, entity, scope): one list.
ListKey = tuple[str, str, int | None]


class World:
    """All tenants' lists in their present state. Only lists in which something changed are kept."""

    def __init__(self, population: Population, switches: SwitchBoard) -> None:
        self.population = population
        self._switches = switches
        self.reset()

    def reset(self) -> None:
        """Back to how everything was at first; backups are gone too."""
        self._overlays: dict[ListKey, Overlay] = {}
        self._backups: dict[tuple[str, str], dict[ListKey, Overlay]] = {}
        self._deeds: Counter[tuple[str, str]] = Counter()
        self._pages: Counter[ListKey] = Counter()
        self._changed_by_reading: Counter[ListKey] = Counter()

    # -- what there is ---------------------------------------------------------------------------------------

    def scopes(self, tenant_id: str, entity: str) -> list[int | None]:
        """What an entity is listed per now: branches come and go, and their stock with them."""
        branches = self._overlays.get((tenant_id, "branches", None))
        if entity != "stock" or branches is None:
            return self.population.scopes(tenant_id, entity)
        return [branches.listing.id_of(item.index) for item in branches.by_key()]

    def list_of(self, tenant_id: str, entity: str, scope: int | None = None) -> Overlay | None:
        """One list as it is now; None if the tenant has none such."""
        overlay = self._overlays.get((tenant_id, entity, scope))
        if scope is not None and scope not in self.scopes(tenant_id, entity):
            return None
        if overlay is not None:
            return overlay
        listing = self.population.listing(tenant_id, entity, scope)
        return None if listing is None else Overlay(listing)

    def count(self, tenant_id: str, entity: str) -> int:
        """How many records of an entity the ERP lists now, bad ones among them."""
        return sum(len(overlay) for _, overlay in self._lists(tenant_id, entity))

    def bad_count(self, tenant_id: str, entity: str) -> int:
        """How many of them have to be quarantined. O(size) where bad ones can be."""
        return sum(
            overlay.listing.is_bad(item.index)
            for _, overlay in self._lists(tenant_id, entity)
            if overlay.listing.rates.bad > 0
            for item in overlay.items()
        )

    def truth(self, tenant_id: str, table: str) -> Iterator[Row]:
        """The rows a target table must hold now for a tenant, ordered by key (texts by code point).

        `raw`, `synced_at` and what was deleted are not among them. What the tenant's switches keep from being
        known is not known here either (see `served.as_served`).
        """
        entity, _ = entity_of(table)
        style = style_of_server(self._switches.of(tenant_id))
        for _, overlay in self._lists(tenant_id, entity):
            for row in rows_of(overlay.listing, overlay.by_key(), table):
                yield as_served(table, row, style)

    # -- what happens ----------------------------------------------------------------------------------------

    def change(
        self,
        tenant_id: str,
        entity: str,
        count: int | None = None,
        *,
        share: float | None = None,
        scope: int | None = None,
    ) -> int:
        """Change so many records, or this share of them: other contents, a new trans_id and time. How many."""
        chosen = self._choose(tenant_id, entity, count, share, scope)
        return sum(overlay.change(indices) for overlay, indices in chosen)

    def insert(self, tenant_id: str, entity: str, count: int = 1, *, scope: int | None = None) -> int:
        """Add records, spread over the entity's lists; how many."""
        keys = self._keys(tenant_id, entity, scope)
        for number, key in enumerate(keys):
            share = count // len(keys) + (number < count % len(keys))
            if share:
                self._kept(key).insert(share)
        return count if keys else 0

    def delete(
        self,
        tenant_id: str,
        entity: str,
        count: int | None = None,
        *,
        share: float | None = None,
        scope: int | None = None,
    ) -> int:
        """Let records vanish; products leave a tombstone where the switch `tombstones` is on. How many."""
        tombstone = entity == "products" and self._switches.of(tenant_id).tombstones
        chosen = self._choose(tenant_id, entity, count, share, scope)
        return sum(overlay.delete(indices, tombstone=tombstone) for overlay, indices in chosen)

    def delete_nested(
        self,
        tenant_id: str,
        entity: str,
        count: int | None = None,
        *,
        share: float | None = None,
        scope: int | None = None,
        table: str | None = None,
    ) -> int:
        """Take one nested record (of `table`, if given) from so many parents; how many of them had one."""
        chosen = self._choose(tenant_id, entity, count, share, scope)
        return sum(overlay.delete_nested(indices, table) for overlay, indices in chosen)

    def snapshot(self, tenant_id: str, name: str = "backup") -> None:
        """Make a backup of a tenant's ERP."""
        kept = {key: overlay.copy() for key, overlay in self._overlays.items() if key[0] == tenant_id}
        self._backups[tenant_id, name] = kept

    def restore(self, tenant_id: str, name: str = "backup") -> None:
        """Put a backup back: contents and trans_ids return. Raises ValueError if there is none."""
        backup = self._backups.get((tenant_id, name))
        if backup is None:
            raise ValueError(f"{tenant_id} has no backup {name!r}")
        for key, overlay in self._overlays.items():
            if key[0] == tenant_id:
                overlay.restore(backup.get(key) or Overlay(overlay.listing))

    def page_served(self, key: ListKey, rows: int) -> None:
        """A page was read: where `change_rate` is on, some records of the list change, read or unread alike."""
        switches = self._switches.of(key[0])
        if switches.change_rate <= 0 or rows == 0:
            return
        self._pages[key] += 1
        salt = salt_of(self.population.seed, *key, "while read", self._pages[key])
        wanted = rows * switches.change_rate
        count = int(wanted) + (mix(salt, 0) % 1_000_000 < (wanted - int(wanted)) * 1_000_000)
        count = min(count, switches.change_cap - self._changed_by_reading[key])
        if count > 0:
            overlay = self._kept(key)
            places = _places(len(overlay), count, salt)
            self._changed_by_reading[key] += overlay.change([overlay.index_at(place) for place in places])

    def _choose(
        self, tenant_id: str, entity: str, count: int | None, share: float | None, scope: int | None
    ) -> list[tuple[Overlay, list[int]]]:
        if count is not None and share is not None:
            raise ValueError("give a count or a share, not both")
        if share is not None and not 0 <= share <= 1:
            raise ValueError("share must be between 0 and 1")
        if count is not None and count < 0:
            raise ValueError("count must be 0 or more")
        lists = [
            (key, overlay)
            for key, overlay in self._lists(tenant_id, entity)
            if scope is None or key[2] == scope
        ]
        ends = list(accumulate((len(overlay) for _, overlay in lists), initial=0))
        wanted = round(ends[-1] * share) if share is not None else 1 if count is None else count
        self._deeds[tenant_id, entity] += 1
        salt = salt_of(self.population.seed, tenant_id, entity, self._deeds[tenant_id, entity])
        places = sorted(_places(ends[-1], wanted, salt))
        chosen = []
        for number, (key, overlay) in enumerate(lists):
            own = [overlay.index_at(p - ends[number]) for p in places if ends[number] <= p < ends[number + 1]]
            if own:
                chosen.append((self._kept(key), own))
        return chosen

    def _keys(self, tenant_id: str, entity: str, scope: int | None = None) -> list[ListKey]:
        scopes = self.scopes(tenant_id, entity)
        return [(tenant_id, entity, one) for one in scopes if scope is None or one == scope]

    def _lists(self, tenant_id: str, entity: str) -> list[tuple[ListKey, Overlay]]:
        pairs = ((key, self.list_of(*key)) for key in self._keys(tenant_id, entity))
        return [(key, overlay) for key, overlay in pairs if overlay is not None]

    def _kept(self, key: ListKey) -> Overlay:
        overlay = self._overlays.get(key) or self.list_of(*key)
        if overlay is None:
            raise ValueError(f"{key[0]} has no list {key[1]} of {key[2]}")
        return self._overlays.setdefault(key, overlay)


def _places(total: int, count: int, salt: int) -> list[int]:
    """So many different places of a list, by chance; all of them if there are no more."""
    if count >= total:
        return list(range(total))
    step = max(int(total * 0.618), 1)
    while gcd(step, total) != 1:
        step += 1
    start = salt % total
    return [(start + number * step) % total for number in range(count)]
