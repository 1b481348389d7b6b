"""Products, their SKUs and the storefronts as they really are: the clean rows, before the ERP's dirt."""

from __future__ import annotations

from decimal import Decimal

from streamsync.simulator import words
from streamsync.simulator.dice import Dice, mix
from streamsync.simulator.digits import ean13_of, with_wrong_check_digit
from streamsync.simulator.people import Row, day, moment


def scaled(number: int, places: int) -> Decimal:
    """`number` thousandths, hundredths, … as the shortest exact Decimal: 32990 cents are 329.9."""
    whole, rest = divmod(number, 10**places)
    return Decimal(f"{whole}.{rest:0{places}d}".rstrip("0").rstrip("."))


def vitrine_ids(salt: int, count: int) -> list[int]:
    """The ids of a tenant's storefronts, ascending."""
    first = 100 + mix(salt, 0) % 800
    return [first + 10 * number + mix(salt, number + 1) % 10 for number in range(count)]


def product(dice: Dice, vitrine: int, product_id: int, rank: int, trans_id: int, updated_ms: int) -> Row:
    """The clean row of one product of a storefront."""
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
        "product_code": f"{rank:05d}-{style[0]}" if rank % 4 else f"{rank:07d}",
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
        "registered_on": day(updated_ms // 86_400_000 - dice.below(1500)),
        "source_updated_at": moment(updated_ms),
        "kit": dice.chance(20),
        "allows_backorder": dice.pick((False, False, True, None)),
        "trans_id": trans_id,
    }


def skus(dice: Dice, vitrine: int, product_id: int) -> list[Row]:
    """The clean rows of a product's SKUs: its colours times its sizes."""
    colors = 1 + dice.below(2)
    first_color = dice.below(len(words.COLORS))
    sizes = dice.pick(words.SIZES)
    pattern = 0 if dice.chance(700) else 1 + dice.below(len(words.PATTERNS) - 1)
    cents = 1990 + 1000 * dice.below(60) + dice.pick((0, 0, 0, 50, 9, 95))
    listed = cents + dice.pick((0, 0, 2000, 5000))
    priced = dice.chance(960)
    rows = []
    for number in range(colors):
        color = (first_color + 3 * number) % len(words.COLORS)
        for size in sizes:
            barcode, ean13, ean13_valid = _barcodes(dice, product_id)
            rows.append(
                {
                    "vitrine": vitrine,
                    "sku": f"{product_id}_{color + 1}_{pattern}_{size}",
                    "product_id": product_id,
                    "color_id": color + 1,
                    "pattern_id": pattern,
                    "size": size,
                    "active": dice.chance(930),
                    "barcode": barcode,
                    "ean13": ean13,
                    "ean13_valid": ean13_valid,
                    "color": words.COLORS[color],
                    "pattern": words.PATTERNS[pattern] if pattern or dice.chance(500) else None,
                    "price": scaled(cents, 2) if priced else None,
                    "list_price": scaled(listed, 2) if priced and dice.chance(900) else None,
                    "allows_backorder": dice.pick((False, False, True, None)),
                }
            )
    return rows


def _barcodes(dice: Dice, product_id: int) -> tuple[str | None, str | None, bool | None]:
    kind = dice.below(100)
    if kind < 8:
        return f"{product_id}{dice.below(100):02d}", None, None
    # GS1 keeps 789 and 790 for Brazil.
    code = ean13_of(789_000_000_000 + dice.below(2_000_000_000))
    if kind < 92:
        return code, code, True
    if kind < 96:
        wrong = with_wrong_check_digit(code)
        return wrong, wrong, False
    # An internal code in the EAN's place.
    internal = f"{product_id}{dice.below(100):02d}"
    return internal, internal, False
