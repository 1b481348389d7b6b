"""Branches, and the prices and stock of every SKU, as they really are: the clean rows, before the ERP's dirt."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from streamsync.simulator import words
from streamsync.simulator.catalog import SkuKey, scaled
from streamsync.simulator.dice import Dice
from streamsync.simulator.digits import cnpj_of, with_wrong_check_digit
from streamsync.simulator.people import Row, day, moment

_NAMES = ("LOJA MODELO", "LOJA CENTRO", "LOJA SHOPPING NORTE", "OUTLET", "QUIOSQUE PRAÇA")


class Ware(NamedTuple):
    """What a price or a stock row is about: a SKU of a product, or a material that no storefront shows."""

    key: SkuKey
    product_id: int
    product_code: str
    barcode: str | None
    lot: str | None = None


def branch(dice: Dice, branch_id: int, rank: int, trans_id: int) -> Row:
    """The clean row of one branch. Special ones, with negative ids, have no document and no place."""
    special = branch_id < 0
    city = dice.pick(words.CITIES)
    name = "CONSIGNAÇÃO" if special else f"{dice.pick(_NAMES)} {rank + 1}"
    cnpj = None if special else cnpj_of((dice.below(99_999_998) + 1) * 10_000 + 1 + rank)
    if cnpj is not None and dice.chance(60):
        cnpj = with_wrong_check_digit(cnpj)
    state = None if special else ("XX" if dice.chance(20) else city.state)
    return {
        "branch_id": branch_id,
        "branch_code": branch_code(branch_id),
        "name": name,
        "trade_name": name.title() if dice.chance(700) else None,
        "cnpj": cnpj,
        "cnpj_valid": None if cnpj is None else cnpj == cnpj_of(int(cnpj[:12])),
        "state": state,
        "state_valid": None if state is None else state != "XX",
        "city": None if special else city.name,
        "trans_id": trans_id,
    }


def branch_code(branch_id: int) -> str:
    """The display code of a branch: another content than its id, zeros in front or a letter."""
    return f"X{-branch_id:03d}" if branch_id < 0 else f"{100 + branch_id:06d}"


def price(
    dice: Dice, vitrine: int, ware: Ware, offer: tuple[Decimal | None, Decimal | None], at: tuple[int, int]
) -> Row:
    """The clean row of one SKU in a storefront's price list; `at` is its trans_id and update time (ms)."""
    selling, listed = offer
    return {
        "vitrine": vitrine,
        "sku": ware.key.text,
        "product_id": ware.product_id,
        "product_code": ware.product_code,
        "color_id": ware.key.color,
        "pattern_id": ware.key.pattern,
        "size": ware.key.size,
        "price": selling,
        "list_price": listed,
        "cost": scaled(500 + dice.below(40_000), 2) if dice.chance(800) else None,
        "blocked": dice.pick((False, False, False, True, None)),
        "active": dice.pick((True, True, True, False, None)),
        "external_id": f"p-{dice.below(10**9):x}" if dice.chance(150) else None,
        "source_updated_at": moment(at[1]),
        "trans_id": at[0],
    }


def stock(dice: Dice, branch_id: int, ware: Ware, at: tuple[int, int]) -> Row:
    """The clean row of one SKU (and lot) in a branch; `at` is its trans_id and update time (ms)."""
    balance = _balance(dice, measured=ware.lot is not None)
    reserved = Decimal(dice.below(4)) if dice.chance(300) else Decimal(0)
    shown = balance if dice.chance(800) else Decimal(0)
    bought = dice.chance(100)
    return {
        "branch_id": branch_id,
        "sku": ware.key.text,
        "lot": ware.lot or "",
        "product_id": ware.product_id,
        "color_id": ware.key.color,
        "pattern_id": ware.key.pattern,
        "size": ware.key.size,
        "branch_code": branch_code(branch_id),
        "balance": balance,
        "reserved": reserved,
        "minimum": Decimal(dice.pick((0, 0, 1, 2, 5))),
        "storefront_balance": shown,
        "storefront_free": None if shown is None else shown - reserved,
        "purchase_balance": Decimal(1 + dice.below(200)) if bought else None,
        "purchase_date": day(at[1] // 86_400_000 - dice.below(90)) if bought else None,
        "barcode": ware.barcode,
        "allows_backorder": dice.pick((False, False, True, None)),
        "presale": dice.pick((False, False, False, True)),
        "source_updated_at": moment(at[1]),
        "trans_id": at[0],
    }


def _balance(dice: Dice, *, measured: bool) -> Decimal | None:
    kind = dice.below(100)
    if kind < 4:
        return None
    if kind < 28:
        return Decimal(0)
    if kind < 34:
        return Decimal(-1 - dice.below(12))
    return scaled(1 + dice.below(90_000), 3) if measured else Decimal(1 + dice.below(120))


def material(first_id: int, number: int) -> Ware:
    """The n-th row of materials: each has two lots, one row per lot; the first row has none."""
    own, second = divmod(number, 2)
    product_id = first_id + 3 * own
    key = SkuKey(f"{product_id}_0_0_U", 0, 0, "U")
    lot = f"L{own % 90:02d}-{1 + second}" if second or own % 3 else None
    return Ware(key, product_id, f"MP{own:05d}", None, lot)
