"""Stock of Millennium: `produtos/saldodeestoque`, read per branch, one row per SKU and lot.

Zero, negative and null balances are listed and kept. `tipo_prod` is no parameter of this method (the server answers
400), so materials appear among the rows.
"""

from __future__ import annotations

from streamsync.entity import Entity, Field, Scope, Table, field
from streamsync.erp import values as v


def _lot(raw: object) -> str:
    """Part of the key, so never absent: most goods have no lot."""
    return v.key(raw) or ""


STOCK = Entity(
    name="stock",
    method="produtos/saldodeestoque",
    scope=Scope.FILIAL,
    scope_column="branch_id",
    date_parameter="data_atualizacao_inicial",
    date_source="data_atualizacao",
    table=Table(
        name="stock",
        key=("branch_id", "sku", "lot"),
        fields=(
            Field("branch_id", "bigint", v.integer, ()),
            field("sku", "text", v.key, required=True),
            field("lot", "text", _lot, "lote"),
            field("product_id", "bigint", v.integer, "produto"),
            field("color_id", "bigint", v.integer, "cor"),
            field("pattern_id", "bigint", v.integer, "estampa"),
            field("size", "text", v.text, "tamanho"),
            field("branch_code", "text", v.text, "cod_filial"),
            field("balance", "numeric", v.decimal, "saldo"),
            field("reserved", "numeric", v.decimal, "empenho"),
            field("minimum", "numeric", v.decimal, "estoque_min"),
            field("storefront_balance", "numeric", v.decimal, "saldo_vitrine"),
            field("storefront_free", "numeric", v.decimal, "saldo_vitrine_sem_reserva"),
            field("purchase_balance", "numeric", v.decimal, "saldo_compra"),
            field("purchase_date", "date", v.calendar_date, "data_compra"),
            field("barcode", "text", v.text, "barra"),
            field("allows_backorder", "boolean", v.boolean, "permite_pedido_sem_estoque"),
            field("presale", "boolean", v.boolean, "pre_venda"),
            field("source_updated_at", "timestamptz", v.timestamp, "data_atualizacao"),
            field("trans_id", "bigint", v.integer, required=True),
        ),
    ),
)
