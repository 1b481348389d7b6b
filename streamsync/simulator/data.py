"""The population of a simulated ERP, and the truth about it: what PostgreSQL must hold once all is synced.

Pure: no I/O, nothing kept but small caches. Two processes with equal `Population`s see the same shops.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from zlib import crc32

from streamsync.simulator import words
from streamsync.simulator.catalog import vitrine_ids
from streamsync.simulator.dice import mix, salt_of
from streamsync.simulator.dirt import Style
from streamsync.simulator.listing import Item, Listing, Rates
from streamsync.simulator.lists import (
    MAX_PRODUCTS,
    BranchListing,
    CustomerListing,
    PriceListing,
    ProductListing,
    StockListing,
)
from streamsync.simulator.people import Row
from streamsync.simulator.served import as_served

#: The entities, in the order in which they depend on each other.
ENTITIES: Final = ("customers", "branches", "products", "prices", "stock")

#: Which entity brings a table, and whether the table is nested in it.
TABLES: Final[dict[str, tuple[str, bool]]] = {
    "customer": ("customers", False),
    "customer_address": ("customers", True),
    "customer_contact": ("customers", True),
    "branch": ("branches", False),
    "product": ("products", False),
    "sku": ("products", True),
    "sku_barcode": ("products", True),
    "product_classification": ("products", True),
    "price": ("prices", False),
    "stock": ("stock", False),
}

#: The header of the rows that `import_rows` gives.
IMPORT_COLUMNS: Final = ("tenant_id", "name", "base_url", "username", "password")


@dataclass(frozen=True, slots=True)
class Population:
    """Any number of shops, all of them a function of these numbers and the tenant's id.

    Sizes vary from half to one and a half times the mean, unless `fixed_sizes`. A tenant's products are
    spread over its `vitrines`; each SKU has a price in its own and a stock balance in each of the `branches`.
    `bad_rate` of the records (branches apart) cannot be accepted and are not in the truth.
    `shared_trans_id_rate` of the records share their predecessor's `trans_id`, in groups of at most
    `shared_trans_id_max`. With `templates` = n, tenants share n sets of data between them: their pages can
    then be kept rendered, which is what a load run needs. With `shared_users` = n, n neighbouring tenants are
    read by one user of the ERP.
    """

    seed: int = 1
    customers_per_tenant: int = 300
    products_per_tenant: int = 200
    fixed_sizes: bool = False
    vitrines: int = 1
    branches: int = 2
    bad_rate: float = 0.0
    shared_trans_id_rate: float = 0.0
    shared_trans_id_max: int = 8
    templates: int = 0
    shared_users: int = 0

    def __post_init__(self) -> None:
        if min(self.customers_per_tenant, self.products_per_tenant, self.templates, self.shared_users) < 0:
            raise ValueError("sizes, templates and shared_users must be 0 or more")
        if not 1 <= self.vitrines <= 50:
            raise ValueError("vitrines must be 1 to 50")
        if not 0 <= self.branches <= 1000:
            raise ValueError("branches must be 0 to 1000")
        if self.products_per_tenant * 1.5 / self.vitrines > MAX_PRODUCTS:
            raise ValueError(f"a storefront has at most {MAX_PRODUCTS} products")
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

    def scopes(self, tenant_id: str, entity: str) -> list[int | None]:
        """What an entity is listed per: its storefronts, its branches at first, or the whole ERP; ascending."""
        if entity in ("products", "prices"):
            return list(self.vitrine_ids(tenant_id))
        if entity == "stock":
            branches = _branches(self, self.template_of(tenant_id))
            return [branches.id_at_rank(rank) for rank in range(branches.size)]
        if entity in ENTITIES:
            return [None]
        raise ValueError(f"unknown entity {entity!r}; known: {', '.join(ENTITIES)}")

    def listing(self, tenant_id: str, entity: str, scope: int | None = None) -> Listing | None:
        """The list of an entity, of one storefront or branch where it has such. None if it cannot exist."""
        template = self.template_of(tenant_id)
        match entity:
            case "customers":
                return _customers(self, template)
            case "branches":
                return _branches(self, template)
            case "products" | "prices":
                ids = self.vitrine_ids(tenant_id)
                if scope not in ids:
                    return None
                return (_products if entity == "products" else _prices)(self, template, ids.index(scope))
            case "stock":
                # Branches may be inserted later; their ids are known before.
                known = scope is not None and _branches(self, template).index_of_id(scope) is not None
                return _stock(self, template, scope) if known and scope is not None else None
        raise ValueError(f"unknown entity {entity!r}; known: {', '.join(ENTITIES)}")

    def listings(self, tenant_id: str, entity: str) -> list[Listing]:
        """All lists of an entity, in the order of their scope."""
        found = (self.listing(tenant_id, entity, scope) for scope in self.scopes(tenant_id, entity))
        return [listing for listing in found if listing is not None]

    def count(self, tenant_id: str, entity: str) -> int:
        """How many records of an entity a tenant has at first that can be accepted."""
        sent = sum(listing.size for listing in self.listings(tenant_id, entity))
        return sent - self.bad_count(tenant_id, entity)

    def bad_count(self, tenant_id: str, entity: str) -> int:
        """How many records of an entity have to be quarantined at first."""
        if self.bad_rate == 0:
            return 0
        return sum(map(_bad_count, self.listings(tenant_id, entity)))

    def truth(self, tenant_id: str, table: str) -> Iterator[Row]:
        """The rows a target table must hold for a tenant of an ERP where nothing has changed yet and no switch
        is on (`Admin.truth` for any other), ordered by key; texts order by code point ("C").
        """
        entity, _ = entity_of(table)
        for listing in self.listings(tenant_id, entity):
            items = (listing.item(listing.index_at_rank(rank)) for rank in range(listing.size))
            for row in rows_of(listing, items, table):
                yield as_served(table, row, Style())

    def user_of(self, tenant_id: str) -> str:
        """The ERP's user for a tenant: named like the tenant, unless several share one."""
        prefix, _, number = tenant_id.rpartition("-")
        if self.shared_users < 2 or not number.isdecimal():
            return tenant_id
        return f"{prefix}{_USER}{(int(number) - 1) // self.shared_users + 1:05d}"

    def owner_of(self, user: str) -> str:
        """The tenant that a user without a tenant in the URL means: the first of those that share it."""
        prefix, marker, number = user.rpartition(_USER)
        if self.shared_users < 2 or not marker or not number.isdecimal():
            return user
        return f"{prefix}-{(int(number) - 1) * self.shared_users + 1:05d}"

    def password_of(self, tenant_id: str) -> str:
        """The password of the tenant's ERP user."""
        return password_of(self.seed, self.user_of(tenant_id))

    def import_rows(self, url: str, count: int, first: int = 1) -> Iterator[tuple[str, str, str, str, str]]:
        """Rows for `streamsync tenants import`, under `IMPORT_COLUMNS`; `url` is the simulator's."""
        for tenant_id in self.tenants(count, first):
            salt = salt_of(self.seed, tenant_id, "name")
            trade = words.TRADES[salt % len(words.TRADES)]
            name = f"{trade} {words.BRANDS[mix(salt, 0) % len(words.BRANDS)]} {tenant_id.rpartition('-')[2]}"
            yield (
                tenant_id,
                name,
                f"{url}/erp/{tenant_id}",
                self.user_of(tenant_id),
                self.password_of(tenant_id),
            )


def password_of(seed: int, user: str) -> str:
    """A user's password, known to every process. No slash: session login has no escape for it."""
    return f"Senha-{salt_of(seed, user, 'password'):016x}"


def entity_of(table: str) -> tuple[str, bool]:
    """Which entity brings a table, and whether it is nested. Raises ValueError for an unknown table."""
    try:
        return TABLES[table]
    except KeyError:
        raise ValueError(f"unknown table {table!r}; known: {', '.join(TABLES)}") from None


def rows_of(listing: Listing, items: Iterable[Item], table: str) -> Iterator[Row]:
    """The rows that records of a list bring to a table; bad ones bring none."""
    _, nested = entity_of(table)
    for item in items:
        if listing.is_bad(item.index):
            continue
        if nested:
            yield from listing.children(item, table)
        else:
            yield listing.parent(item)


#: What stands between prefix and number in the name of a shared user.
_USER: Final = "-user-"


def _rates(population: Population) -> Rates:
    return Rates(population.bad_rate, population.shared_trans_id_rate, population.shared_trans_id_max)


@lru_cache(maxsize=4096)
def _customers(population: Population, template: str) -> CustomerListing:
    salt = salt_of(population.seed, template, "customers")
    size = _size(population, salt, population.customers_per_tenant)
    return CustomerListing(salt, size, 5_000_000 + salt % 1_000_000, _rates(population))


@lru_cache(maxsize=4096)
def _branches(population: Population, template: str) -> BranchListing:
    salt = salt_of(population.seed, template, "branches")
    # A branch that nobody can accept would take its stock along: there are none.
    return BranchListing(salt, population.branches, 57_000_000 + salt % 1_000_000, Rates())


@lru_cache(maxsize=4096)
def _products(population: Population, template: str, number: int) -> ProductListing:
    total = _size(population, salt_of(population.seed, template, "products"), population.products_per_tenant)
    salt = salt_of(population.seed, template, "products", number)
    ids = vitrine_ids(salt_of(population.seed, template, "vitrines"), population.vitrines)
    # Counters are per table and old shops have high ones: half of them do not fit in 32 bits.
    first_trans_id = (48_000_000 if salt % 2 else 7_600_000_000) + salt % 1_000_000
    size = total // population.vitrines + (number < total % population.vitrines)
    return ProductListing(ids[number], number, salt, size, first_trans_id, _rates(population))


@lru_cache(maxsize=4096)
def _prices(population: Population, template: str, number: int) -> PriceListing:
    salt = salt_of(population.seed, template, "prices", number)
    products = _products(population, template, number)
    return PriceListing(products, salt, 91_000_000 + salt % 1_000_000, _rates(population))


@lru_cache(maxsize=4096)
def _stock(population: Population, template: str, branch_id: int) -> StockListing:
    salt = salt_of(population.seed, template, "stock", branch_id)
    products = [_products(population, template, number) for number in range(population.vitrines)]
    return StockListing(branch_id, products, salt, 760_000_000 + salt % 1_000_000, _rates(population))


def _size(population: Population, salt: int, mean: int) -> int:
    return mean if population.fixed_sizes else mean // 2 + mix(salt, 1) % (mean + 1)


@lru_cache(maxsize=4096)
def _bad_count(listing: Listing) -> int:
    return sum(map(listing.is_bad, range(listing.size))) if listing.rates.bad > 0 else 0
