"""What the ERP sends for a branch, a price, a stock balance: its field names and its dirt."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from streamsync.simulator import dirt
from streamsync.simulator.dice import Dice
from streamsync.simulator.dirt import Style
from streamsync.simulator.people import Row
from streamsync.simulator.record import Breaks, Record, forget_a_null
from streamsync.simulator.stores import Ware

BROKEN_PRICES: Final[Breaks] = (
    ("sku", ...),
    ("sku", None),
    ("preco1", "SOB CONSULTA"),
    ("preco2", "N/D"),
    ("data_atualizacao", "/Date(abc)/"),
)
BROKEN_STOCK: Final[Breaks] = (
    ("sku", ...),
    ("sku", "  "),
    ("saldo", "muito"),
    ("empenho", "N/D"),
    ("data_atualizacao", "/Date(-180)x/"),
)


def branch(dice: Dice, row: Row, style: Style) -> Record:
    """One row of `filiais/lista_simples`."""
    record: Record = {
        "filial": row["branch_id"],
        "cod_filial": dirt.code(dice, row["branch_code"]),
        "nome": dirt.text(dice, row["name"]),
        "fantasia": dirt.text(dice, row["trade_name"]),
        "cgc" if style.old_branch_names else "cnpj": dirt.cnpj(dice, row["cnpj"]),
        "estado" if style.old_branch_names else "uf": dirt.state(dice, row["state"]),
        "cidade": dirt.text(dice, row["city"]),
        "tipo_filial": dice.below(4),
        "e_mail": None,
    }
    if style.branch_trans_ids and style.trans_ids:
        record["trans_id"] = row["trans_id"]
    forget_a_null(dice, record)
    return record


def price(dice: Dice, row: Row, style: Style) -> Record:
    """One row of `produtos/precodetabela`."""
    record: Record = {
        "sku": row["sku"],
        "produto": row["product_id"],
        "cod_produto": dirt.code(dice, row["product_code"]),
        "cor": row["color_id"],
        "estampa": row["pattern_id"],
        "tamanho": dirt.code(dice, row["size"]),
        "vitrine": row["vitrine"],
        "preco1": dirt.number(row["price"]),
        "preco2": dirt.number(row["list_price"]),
        "preco_custo": dirt.number(row["cost"]),
        "bloqueado_preco": dirt.boolean(dice, row["blocked"]),
        "ativo": dirt.boolean(dice, row["active"]),
        "id_externo": dirt.code(dice, row["external_id"]),
        "data_atualizacao": dirt.timestamp(row["source_updated_at"], style),
        "validade_inicial_preco": None,
        "tabela": 1 + dice.below(3),
    }
    if style.trans_ids:
        record["trans_id"] = row["trans_id"]
    forget_a_null(dice, record)
    return record


def stock(dice: Dice, row: Row, ware: Ware, style: Style) -> Record:
    """One row of `produtos/saldodeestoque`."""
    balance, shown = row["balance"], row["storefront_balance"]
    hidden = None
    if isinstance(balance, Decimal) and isinstance(shown, Decimal):
        hidden = balance - shown
    record: Record = {
        "sku": row["sku"],
        "produto": row["product_id"],
        "cor": row["color_id"],
        "estampa": row["pattern_id"],
        "tamanho": dirt.code(dice, row["size"]),
        "filial": row["branch_id"],
        "cod_filial": dirt.code(dice, row["branch_code"]),
        "filial_externa": None,
        "saldo": dirt.number(balance),
        "empenho": dirt.number(row["reserved"]),
        "estoque_min": dirt.number(row["minimum"]),
        "saldo_vitrine": dirt.number(shown),
        "saldo_naovitrine": dirt.number(hidden),
        "reserva_vitrine": dirt.number(row["reserved"]),
        "reserva_naovitrine": 0,
        "saldo_vitrine_sem_reserva": dirt.number(row["storefront_free"]),
        "saldo_vitrine_com_reserva": dirt.number(shown),
        "total_saldo_vitrine_sem_reserva": None,
        "saldo_compra": dirt.number(row["purchase_balance"]),
        "data_compra": dirt.day(dice, row["purchase_date"], style),
        "data_atualizacao": dirt.timestamp(row["source_updated_at"], style),
        "data_envio": None,
        "barra": dirt.code(dice, row["barcode"]),
        "barra_ref": None,
        "cod_produto": dirt.code(dice, ware.product_code),
        "desc_produto": "MATERIAL" if ware.product_code.startswith("MP") else "PRODUTO DE LOJA ",
        "kit": None,
        "componente_kit": dirt.boolean(dice, None),
        "permite_pedido_sem_estoque": dirt.letter(dice, row["allows_backorder"]),
        "pre_venda": dirt.letter(dice, row["presale"]),
        "incluir": None,
        "lote": row["lot"] or dirt.absent(dice),
        "data_fabricacao": None,
        "data_validade": None,
        "id": None,
        "id_externo": None,
        "id_externo_produto": None,
        "vitrine_produto_sku": None,
        "preco_custo": None,
        "vitrine": None,
        "revendedor_integrado": None,
    }
    if style.trans_ids:
        record["trans_id"] = row["trans_id"]
    forget_a_null(dice, record)
    return record
