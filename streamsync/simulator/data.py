"""The population of a simulated ERP, and the truth about it: what PostgreSQL must hold once all is synced.

Pure: no I/O, nothing kept but small caches. Two processes with equal `Population`s see the same shops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from zlib import crc32

from streamsync.simulator import words
from streamsync.simulator.catalog import vitrine_ids
from streamsync.simulator.dice import mix, salt_of
from streamsync.simulator.listing import CustomerListing, Listing, ProductListing
from streamsync.simulator.people import Row

#: Which entity brings a table, and whether the table is nested in it.
TABLES: Final[dict[str, tuple[str, bool]]] = {
    "customer": ("customers", False),
    "customer_address": ("customers", True),
    "product": ("products", False),
    "sku": ("products", True),
}

#: The header of the rows that `import_rows` gives.
IMPORT_COLUMNS: Final = ("tenant_id", "name", "base_url", "username", "password")


@dataclass(frozen=True, slots=True)
class Population:
    """Any number of shops, all of them a function of these numbers and the tenant's id.

    Sizes vary from half to one and a half times the mean, unless `fixed_sizes`. A tenant's products are
    spread over its `vitrines`. `bad_rate` of the records cannot be accepted and are not in the truth.
    `shared_trans_id_rate` of the records share their predecessor's `trans_id`, in groups of at most
    `shared_trans_id_max`. With `templates` = n, tenants share n sets of data between them: their pages can
    then be kept rendered, which is what a load run needs.
    """

    seed: int = 1
    customers_per_tenant: int = 300
    products_per_tenant: int = 200
    fixed_sizes: bool = False
    vitrines: int = 1
    bad_rate: float = 0.0
    shared_trans_id_rate: float = 0.0
    shared_trans_id_max: int = 8
    templates: int = 0

    def __post_init__(self) -> None:
        if min(self.customers_per_tenant, self.products_per_tenant, self.templates) < 0:
            raise ValueError("sizes and templates must be 0 or more")
        if not 1 <= self.vitrines <= 50:
            raise ValueError("vitrines must be 1 to 50")
        if not (0 <= self.bad_rate <= 1 and 0 <= self.shared_trans_id_rate <= 1):
            raise ValueError("rates must be between 0 and 1")
        if self.shared_trans_id_max < 1:
            raise ValueError("shared_trans_id_max must be 1 or more")

    @staticmethod
    def tenants(count: int, first: int = 1) -> Iterator[str]:
        """The ids of `count` tenants: `shop-00001`, `shop-00002`, …"""
        return (f"shop-{number:05d}" for number in range(first, first + count))

    def template_of(self, tenant_id: str) -> str:
        """The name that stands for the tenant's data: its own id, or the template it shares."""
        return f"template-{crc32(tenant_id.encode()) % self.templates}" if self.templates else tenant_id

    def vitrine_ids(self, tenant_id: str) -> list[int]:
        """The ids of a tenant's storefronts, ascending."""
        return vitrine_ids(salt_of(self.seed, self.template_of(tenant_id), "vitrines"), self.vitrines)

    def listing(self, tenant_id: str, entity: str, vitrine: int | None = None) -> Listing | None:
        """The list of an entity; for products, of one storefront. None if the tenant has none such."""
        template = self.template_of(tenant_id)
        if entity == "customers":
            return _customers(self, template)
        if entity == "products":
            ids = self.vitrine_ids(tenant_id)
            return _products(self, template, vitrine, ids.index(vitrine)) if vitrine in ids else None
        raise ValueError(f"unknown entity {entity!r}")

    def listings(self, tenant_id: str, entity: str) -> list[Listing]:
        """All lists of an entity, in the order of their scope."""
        scopes = self.vitrine_ids(tenant_id) if entity == "products" else [None]
        found = (self.listing(tenant_id, entity, scope) for scope in scopes)
        return [listing for listing in found if listing is not None]

    def count(self, tenant_id: str, entity: str) -> int:
        """How many records of `customers` or `products` a tenant has that can be accepted."""
        sent = sum(listing.size for listing in self.listings(tenant_id, entity))
        return sent - self.bad_count(tenant_id, entity)

    def bad_count(self, tenant_id: str, entity: str) -> int:
        """How many records of an entity have to be quarantined."""
        if self.bad_rate == 0:
            return 0
        return sum(map(_bad_count, self.listings(tenant_id, entity)))

    def truth(self, tenant_id: str, table: str) -> Iterator[Row]:
        """The rows a target table must hold for a tenant, ordered by key; texts order by code point ("C")."""
        if table not in TABLES:
            raise ValueError(f"unknown table {table!r}; known: {', '.join(TABLES)}")
        entity, nested = TABLES[table]
        for listing in self.listings(tenant_id, entity):
            for rank in range(listing.size):
                index = listing.index_at_rank(rank)
                if listing.is_bad(index):
                    continue
                if nested:
                    yield from listing.children(index)
                else:
                    yield listing.parent(index)

    def password_of(self, tenant_id: str) -> str:
        """The password of the tenant's ERP user; the user's name is the tenant's id."""
        return password_of(self.seed, tenant_id)

    def import_rows(self, url: str, count: int, first: int = 1) -> Iterator[tuple[str, str, str, str, str]]:
        """Rows for `streamsync tenants import`, under `IMPORT_COLUMNS`; `url` is the simulator's."""
        for tenant_id in self.tenants(count, first):
            salt = salt_of(self.seed, tenant_id, "name")
            trade = words.TRADES[salt % len(words.TRADES)]
            name = f"{trade} {words.BRANDS[mix(salt, 0) % len(words.BRANDS)]} {tenant_id.rpartition('-')[2]}"
            yield tenant_id, name, f"{url}/erp/{tenant_id}", tenant_id, self.password_of(tenant_id)


def password_of(seed: int, tenant_id: str) -> str:
    """A tenant's password, known to every process. No slash: session login has no escape for it."""
    return f"Senha-{salt_of(seed, tenant_id, 'password'):016x}"


@lru_cache(maxsize=4096)
def _customers(population: Population, template: str) -> Listing:
    salt = salt_of(population.seed, template, "customers")
    return CustomerListing(
        salt,
        _size(population, salt, population.customers_per_tenant),
        5_000_000 + salt % 1_000_000,
        bad_rate=population.bad_rate,
        shared_rate=population.shared_trans_id_rate,
        shared_max=population.shared_trans_id_max,
    )


@lru_cache(maxsize=4096)
def _products(population: Population, template: str, vitrine: int, number: int) -> Listing:
    total = _size(population, salt_of(population.seed, template, "products"), population.products_per_tenant)
    salt = salt_of(population.seed, template, "products", number)
    # Counters are per table and old shops have high ones: half of them do not fit in 32 bits.
    first_trans_id = (48_000_000 if salt % 2 else 7_600_000_000) + salt % 1_000_000
    return ProductListing(
        vitrine,
        number,
        salt,
        total // population.vitrines + (number < total % population.vitrines),
        first_trans_id,
        bad_rate=population.bad_rate,
        shared_rate=population.shared_trans_id_rate,
        shared_max=population.shared_trans_id_max,
    )


def _size(population: Population, salt: int, mean: int) -> int:
    return mean if population.fixed_sizes else mean // 2 + mix(salt, 1) % (mean + 1)


@lru_cache(maxsize=4096)
def _bad_count(listing: Listing) -> int:
    return listing.bad_count()
