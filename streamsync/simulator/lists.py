"""The lists that the ERP has: what a record of each is, and how it hangs together with the others'."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import accumulate
from typing import Final

from streamsync.simulator import catalog, people, render, render_stores, stores
from streamsync.simulator.catalog import Sku, SkuSpace
from streamsync.simulator.dice import Dice, mix
from streamsync.simulator.dirt import Style
from streamsync.simulator.listing import Item, Listing, Rates, kept
from streamsync.simulator.people import Row
from streamsync.simulator.record import Record, break_record
from streamsync.simulator.served import as_served
from streamsync.simulator.stores import Ware

#: Ids of all products have nine digits, so that the order of the SKUs' texts is the order of their products.
_FIRST_PRODUCT: Final = 100_000_000
_PRODUCTS_APART: Final = 15_000_000
_FIRST_MATERIAL: Final = 900_000_000

#: Most products of one storefront; more would run into the next one's ids.
MAX_PRODUCTS: Final = _PRODUCTS_APART // 3 - 100_000


class CustomerListing(Listing):
    """`clientes/lista` of one tenant."""

    nested = ("customer_address", "customer_contact")
    first_id = 1000

    def parent(self, item: Item) -> Row:
        rank = self.rank(item.index)
        dice = self._dice(b"row", item.index, item.version)
        first_ms = self.updated_ms(item.index)
        return people.customer(
            dice, self.id_at_rank(rank), rank + 1, item.trans_id, item.updated_ms, first_ms
        )

    def children(self, item: Item, table: str) -> list[Row]:
        customer_id = self.id_of(item.index)
        if table == "customer_address":
            rows = people.addresses(self._dice(b"children", item.index, item.version), customer_id)
            return kept(rows, item, table)
        if table == "customer_contact":
            rows = people.contacts(self._dice(b"contacts", item.index, item.version), customer_id)
            left = kept(rows, item, table)
            # Their place is their key: whoever follows moves up.
            return [{**row, "position": place} for place, row in enumerate(left, start=1)]
        return super().children(item, table)

    def record(self, item: Item, style: Style) -> Record:
        record = render.customer(
            self._dirt(item, style),
            self.parent(item),
            self.children(item, "customer_address"),
            self.children(item, "customer_contact"),
            style,
        )
        if self.is_bad(item.index):
            break_record(self._dice(b"bad", item.index), record, render.BROKEN_CUSTOMERS)
        return record


class ProductListing(Listing):
    """`produtos/listavitrine` of one storefront."""

    #: Barcodes vanish with their SKU only.
    nested = ("sku", "product_classification")

    def __init__(
        self, vitrine: int, number: int, salt: int, size: int, first_trans_id: int, rates: Rates
    ) -> None:
        super().__init__(salt, size, first_trans_id, rates)
        self.vitrine = vitrine
        self.first_id = _FIRST_PRODUCT + _PRODUCTS_APART * number
        self.space = SkuSpace(salt)

    def parent(self, item: Item) -> Row:
        rank = self.rank(item.index)
        dice = self._dice(b"row", item.index, item.version)
        row = catalog.product(
            dice,
            self.vitrine,
            self.id_at_rank(rank),
            rank + 1,
            item.trans_id,
            item.updated_ms,
            self.updated_ms(item.index),
        )
        return row | {"excluded": True, "active": False, "web": "E"} if item.excluded else row

    def skus(self, item: Item) -> list[Sku]:
        """A product's SKUs, ordered by their text."""
        rank = self.rank(item.index)
        product_id = self.id_at_rank(rank)
        price, list_price = catalog.offer(self._dice(b"offer", item.index, item.version))
        dice = self._dice(b"skus", item.index, item.version)
        found = []
        for place, key in enumerate(self.space.keys(product_id, rank)):
            sku = catalog.sku(
                dice,
                self._codes_dice(item.index, place),
                self.vitrine,
                product_id,
                key,
                {"price": price, "list_price": list_price},
            )
            if item.excluded:
                sku.row["active"] = False
            if ("sku", place) not in item.dropped:
                found.append(sku)
        return found

    def children(self, item: Item, table: str) -> list[Row]:
        if table == "sku":
            return [sku.row for sku in self.skus(item)]
        if table == "sku_barcode":
            return [row for sku in self.skus(item) for row in catalog.barcodes(sku)]
        if table == "product_classification":
            dice = self._dice(b"classes", item.index, item.version)
            return kept(catalog.classifications(dice, self.vitrine, self.id_of(item.index)), item, table)
        return super().children(item, table)

    def record(self, item: Item, style: Style) -> Record:
        record = render.product(
            self._dirt(item, style),
            self.parent(item),
            [Sku(as_served("sku", sku.row, style), sku.reference) for sku in self.skus(item)],
            self.children(item, "product_classification"),
            style,
        )
        if self.is_bad(item.index):
            break_record(self._dice(b"bad", item.index), record, render.BROKEN_PRODUCTS)
        return record

    def ware(self, number: int) -> tuple[int, Ware]:
        """The n-th of all SKUs of the products as they were at first, and its product's index."""
        rank, place = self.space.find(number)
        index, product_id = self.index_at_rank(rank), self.id_at_rank(rank)
        key = self.space.keys(product_id, rank)[place]
        barcode = catalog.codes(self._codes_dice(index, place), product_id)[0]
        return index, Ware(key, product_id, catalog.product_code(rank + 1), barcode)

    def offer_at_first(self, index: int) -> tuple[Decimal | None, Decimal | None]:
        """What the storefront asked for a product's SKUs at first."""
        return catalog.offer(self._dice(b"offer", index))

    @property
    def sku_count(self) -> int:
        """How many SKUs the products had at first."""
        return self.space.before(self.size)

    def numbers_of_product(self, product_id: int) -> range:
        """The SKUs of one product, as `ware` counts them."""
        index = self.index_of_id(product_id)
        if index is None:
            return range(0)
        rank = self.rank(index)
        return range(self.space.before(rank), self.space.before(rank + 1))

    def _codes_dice(self, index: int, place: int) -> Dice:
        return self._dice(b"codes", index * 64 + place)


class PriceListing(Listing):
    """`produtos/precodetabela` of one storefront: one row per SKU; inserted ones are those of products to come."""

    def __init__(self, products: ProductListing, salt: int, first_trans_id: int, rates: Rates) -> None:
        super().__init__(salt, products.sku_count, first_trans_id, rates)
        self.products = products

    def parent(self, item: Item) -> Row:
        product, ware = self.products.ware(self.rank(item.index))
        if item.version == 0:
            offer = self.products.offer_at_first(product)
        else:
            offer = catalog.offer(self._dice(b"offer", item.index, item.version))
        dice = self._dice(b"row", item.index, item.version)
        return stores.price(dice, self.products.vitrine, ware, offer, (item.trans_id, item.updated_ms))

    def record(self, item: Item, style: Style) -> Record:
        row = as_served("price", self.parent(item), style)
        record = render_stores.price(self._dirt(item, style), row, style)
        if self.is_bad(item.index):
            break_record(self._dice(b"bad", item.index), record, render_stores.BROKEN_PRICES)
        return record

    def indices_of_key(self, key: int) -> list[int]:
        return [self.index_at_rank(rank) for rank in self.products.numbers_of_product(key)]


class BranchListing(Listing):
    """`filiais/lista_simples` of one tenant. Where there are several, the first is a special one."""

    def id_at_rank(self, rank: int) -> int:
        if rank == 0 and self.size > 1:
            return -1 - mix(self._id_salt, 0) % 5
        return 1 + rank * 3 + mix(self._id_salt, rank) % 3

    def index_of_id(self, record_id: int) -> int | None:
        rank = 0 if record_id < 0 else (record_id - 1) // 3
        return self.index_at_rank(rank) if rank >= 0 and self.id_at_rank(rank) == record_id else None

    def parent(self, item: Item) -> Row:
        rank = self.rank(item.index)
        dice = self._dice(b"row", item.index, item.version)
        return stores.branch(dice, self.id_at_rank(rank), rank, item.trans_id)

    def record(self, item: Item, style: Style) -> Record:
        dice = self._dirt(item, style)
        return render_stores.branch(dice, self.parent(item), style)


class StockListing(Listing):
    """`produtos/saldodeestoque` of one branch: the SKUs of all storefronts, then materials, two lots of each.

    Inserted rows are materials.
    """

    def __init__(
        self,
        branch_id: int,
        products: Sequence[ProductListing],
        salt: int,
        first_trans_id: int,
        rates: Rates,
    ) -> None:
        self.branch_id = branch_id
        self._products = products
        self._ends = list(accumulate(listing.sku_count for listing in products))
        self._first_material = self._ends[-1] if self._ends else 0
        materials = 2 * (sum(listing.size for listing in products) // 20 + 1)
        super().__init__(salt, self._first_material + materials, first_trans_id, rates)

    def _ware(self, rank: int) -> Ware:
        start = 0
        for listing, end in zip(self._products, self._ends, strict=True):
            if rank < end:
                return listing.ware(rank - start)[1]
            start = end
        return stores.material(_FIRST_MATERIAL, rank - start)

    def parent(self, item: Item) -> Row:
        dice = self._dice(b"row", item.index, item.version)
        ware = self._ware(self.rank(item.index))
        return stores.stock(dice, self.branch_id, ware, (item.trans_id, item.updated_ms))

    def record(self, item: Item, style: Style) -> Record:
        ware = self._ware(self.rank(item.index))
        dice = self._dirt(item, style)
        record = render_stores.stock(dice, self.parent(item), ware, style)
        if self.is_bad(item.index):
            break_record(self._dice(b"bad", item.index), record, render_stores.BROKEN_STOCK)
        return record

    def indices_of_key(self, key: int) -> list[int]:
        found = []
        for listing, end in zip(self._products, self._ends, strict=True):
            start = end - listing.sku_count
            numbers = listing.numbers_of_product(key)
            found += [self.index_at_rank(start + number) for number in numbers if number < listing.sku_count]
        return found
