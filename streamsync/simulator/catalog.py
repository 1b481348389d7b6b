"""Products, what is nested in them, and storefronts as they really are: the clean rows, before the ERP's dirt.

Which SKUs a product has depends on its rank alone and costs no dice: stock and prices have a row per SKU and
must find the n-th of millions without walking (`SkuSpace`).
"""

from __future__ import annotations

from bisect import bisect_right
from decimal import Decimal
from itertools import accumulate
from typing import Final, NamedTuple

from streamsync.simulator import words
from streamsync.simulator.dice import Dice, mix, salt_of
from streamsync.simulator.digits import ean13_of, is_ean13, with_wrong_check_digit
from streamsync.simulator.people import Row, day, moment

#: The shapes (colours, sizes) of sixteen products that are neighbours by rank; where it starts is by chance.
_SHAPES: Final = tuple((1 + number % 2, words.SIZES[number % len(words.SIZES)]) for number in range(16))
_COUNTS: Final = tuple(colors * len(sizes) for colors, sizes in _SHAPES)
_PER_BLOCK: Final = sum(_COUNTS)
#: For each start in `_SHAPES`: how many SKUs come before each of the sixteen.
_BEFORE: Final = tuple(
    tuple(accumulate((_COUNTS[(start + number) % 16] for number in range(15)), initial=0))
    for start in range(16)
)


class SkuKey(NamedTuple):
    """What names one SKU: its text and the ids and size in it."""

    text: str
    color: int
    pattern: int
    size: str


class Sku(NamedTuple):
    """A SKU's clean row and the one of its codes that the row has no column for."""

    row: Row
    reference: str | None


class SkuSpace:
    """All SKUs of a storefront's products in the order of the products' ranks, by number."""

    def __init__(self, salt: int) -> None:
        self._salt = salt_of(salt, "shapes")

    def _start(self, block: int) -> int:
        return mix(self._salt, block) % 16

    def before(self, rank: int) -> int:
        """How many SKUs the products before this rank have."""
        block, place = divmod(rank, 16)
        return block * _PER_BLOCK + _BEFORE[self._start(block)][place]

    def find(self, number: int) -> tuple[int, int]:
        """The rank of the product that has this SKU, and which of its SKUs it is."""
        block, rest = divmod(number, _PER_BLOCK)
        before = _BEFORE[self._start(block)]
        place = bisect_right(before, rest) - 1
        return block * 16 + place, rest - before[place]

    def keys(self, product_id: int, rank: int) -> list[SkuKey]:
        """A product's SKUs, its colours times its sizes, ordered by their text."""
        colors, sizes = _SHAPES[(self._start(rank // 16) + rank) % 16]
        choice = mix(self._salt, -1 - rank)
        first_color, choice = choice % len(words.COLORS), choice // len(words.COLORS)
        pattern = 0 if choice % 10 < 7 else 1 + choice // 10 % (len(words.PATTERNS) - 1)
        keys = []
        for number in range(colors):
            color = (first_color + 3 * number) % len(words.COLORS) + 1
            keys += [SkuKey(f"{product_id}_{color}_{pattern}_{size}", color, pattern, size) for size in sizes]
        return sorted(keys)


def scaled(number: int, places: int) -> Decimal:
    """`number` thousandths, hundredths, … as the shortest exact Decimal: 32990 cents are 329.9."""
    whole, rest = divmod(number, 10**places)
    return Decimal(f"{whole}.{rest:0{places}d}".rstrip("0").rstrip("."))


def vitrine_ids(salt: int, count: int) -> list[int]:
    """The ids of a tenant's storefronts, ascending."""
    first = 100 + mix(salt, 0) % 800
    return [first + 10 * number + mix(salt, number + 1) % 10 for number in range(count)]


def product_code(rank: int) -> str:
    """The display code of a product: another content than its id, zeros in front, sometimes a letter."""
    return f"{rank:05d}-{'ABCD'[rank % 4]}" if rank % 4 else f"{rank:07d}"


def product(
    dice: Dice, vitrine: int, product_id: int, rank: int, trans_id: int, updated_ms: int, first_ms: int
) -> Row:
    """The clean row of one product of a storefront; `first_ms` is after it was registered."""
    garment, category = dice.pick(words.GARMENTS)
    material = dice.pick(words.MATERIALS)
    style = dice.pick(words.STYLES)
    description = f"{garment} {style} {material}"
    excluded = dice.chance(15)
    brand = dice.below(len(words.BRANDS))
    collection = dice.below(len(words.COLLECTIONS))
    collection_name = words.COLLECTIONS[collection]
    department = dice.below(len(words.DEPARTMENTS))
    measured = dice.chance(800)
    return {
        "vitrine": vitrine,
        "product_id": product_id,
        "product_code": product_code(rank),
        "description": description.upper() if dice.chance(700) else description,
        "site_name": f"{garment} {style} de {material}" if dice.chance(750) else None,
        "product_type": "AC" if dice.chance(940) else dice.pick(("MP", "MC", "AG", "SE")),
        "active": not excluded and dice.chance(930),
        "excluded": excluded,
        "web": "E" if excluded else ("T" if dice.chance(880) else "F"),
        "blocked": dice.chance(20) if dice.chance(900) else None,
        "ncm": f"{6100 + dice.below(400)}{dice.below(10_000):04d}" if dice.chance(900) else None,
        "reference": f"REF {dice.below(10**6):06d}" if dice.chance(600) else None,
        "unit": dice.pick(words.UNITS),
        "brand_code": f"{brand:02d}",
        "brand": words.BRANDS[brand],
        "collection_code": f"{collection:04d}",
        # Real shops' descriptions often repeat their own code.
        "collection": f"{collection:04d} - {collection_name.upper()}" if product_id % 2 else collection_name,
        "department_code": str(department + 1),
        "department": words.DEPARTMENTS[department],
        "category_code": f"{len(category):03d}" if dice.chance(950) else None,
        "category": category,
        "weight": scaled(20 + dice.below(2500), 3) if measured else None,
        "height": scaled(10 + dice.below(400), 1) if measured else None,
        "width": scaled(100 + dice.below(5000), 1) if measured else None,
        "length": Decimal(10 + dice.below(90)) if measured else None,
        "cost": scaled(500 + dice.below(40_000), 2) if dice.chance(850) else None,
        "registered_on": day(first_ms // 86_400_000 - dice.below(1500)),
        "source_updated_at": moment(updated_ms),
        "kit": dice.chance(20),
        "allows_backorder": dice.pick((False, False, True, None)),
        "trans_id": trans_id,
    }


def offer(dice: Dice) -> tuple[Decimal | None, Decimal | None]:
    """Selling and list price of a product's SKUs; some have none."""
    cents = 1990 + 1000 * dice.below(60) + dice.pick((0, 0, 0, 50, 9, 95))
    listed = cents + dice.pick((0, 0, 2000, 5000))
    if not dice.chance(960):
        return None, None
    return scaled(cents, 2), scaled(listed, 2) if dice.chance(900) else None


def sku(dice: Dice, own: Dice, vitrine: int, product_id: int, key: SkuKey, prices: Row) -> Sku:
    """One SKU: `own` are the dice of what never changes about it, its codes."""
    barcode, ean13, reference = codes(own, product_id)
    patterned = key.pattern or dice.chance(500)
    row: Row = {
        "vitrine": vitrine,
        "product_id": product_id,
        "sku": key.text,
        "color_id": key.color,
        "pattern_id": key.pattern,
        "size": key.size,
        "active": dice.chance(930),
        "barcode": barcode,
        "ean13": ean13,
        "ean13_valid": None if ean13 is None else is_ean13(ean13),
        "color": words.COLORS[key.color - 1],
        "pattern": words.PATTERNS[key.pattern] if patterned else None,
        **prices,
        "allows_backorder": dice.pick((False, False, True, None)),
    }
    return Sku(row, reference)


def barcodes(item: Sku) -> list[Row]:
    """The distinct codes of a SKU, ordered; one that appears in several fields is of the first's kind."""
    named = (("ean13", item.row["ean13"]), ("barcode", item.row["barcode"]), ("reference", item.reference))
    kinds: dict[str, str] = {}
    for kind, code in named:
        if code is not None:
            kinds.setdefault(str(code), kind)
    return [
        {
            **{name: item.row[name] for name in ("vitrine", "product_id", "sku")},
            "barcode": code,
            "kind": kinds[code],
            "ean13_valid": is_ean13(code),
        }
        for code in sorted(kinds)
    ]


def classifications(dice: Dice, vitrine: int, product_id: int) -> list[Row]:
    """The places of a product in its storefront's trees, ordered by id."""
    count = (0, 0, 0, 1, 1, 1, 1, 2, 2, 3)[dice.below(10)]
    first = 1 + dice.below(40)
    rows: list[Row] = []
    for number in range(count):
        department, garment = dice.pick(words.DEPARTMENTS), dice.pick(words.GARMENTS)
        rows.append(
            {
                "vitrine": vitrine,
                "product_id": product_id,
                "classification_id": first + 40 * number,
                "tree": f"{department} > {garment[1]}",
                "description": f"{garment[1]} {department}",
                "visible": dice.pick((True, True, False, None)),
                "giftable": dice.pick((True, False, None)),
                "pickup_in_store": dice.pick((True, False, None)),
                "excluded": dice.chance(40),
            }
        )
    return rows


def codes(dice: Dice, product_id: int) -> tuple[str | None, str | None, str | None]:
    """barra, barra13 and barra_ref of a SKU: often one code, often not an EAN, sometimes none."""
    kind = dice.below(100)
    internal = f"{product_id}{dice.below(100):02d}"
    # GS1 keeps 789 and 790 for Brazil.
    code = ean13_of(789_000_000_000 + dice.below(2_000_000_000))
    reference = dice.pick((None, None, code, f"R{dice.below(10**7):07d}"))
    if kind < 6:
        return internal, None, reference
    if kind < 9:
        return None, None, reference
    if kind < 70:
        return code, code, reference
    if kind < 92:
        return internal, code, reference
    if kind < 96:
        wrong = with_wrong_check_digit(code)
        return wrong, wrong, reference
    # An internal code in the EAN's place.
    return internal, internal, reference
