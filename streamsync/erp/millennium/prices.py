"""Prices of Millennium: `produtos/precodetabela`, read per storefront, one row per SKU.

`preco1` is the selling price; some shops leave it 0 and keep theirs in `preco2`. Both are kept as they come.
"""

from __future__ import annotations

from streamsync.entity import Entity, Field, Scope, Table, field
from streamsync.erp import values as v

PRICES = Entity(
    name="prices",
    method="produtos/precodetabela",
    scope=Scope.VITRINE,
    scope_column="vitrine",
    date_parameter="data_atualizacao_inicial",
    date_source="data_atualizacao",
    table=Table(
        name="price",
        key=("vitrine", "sku"),
        fields=(
            Field("vitrine", "bigint", v.integer, ()),
            field("sku", "text", v.key, required=True),
            field("product_id", "bigint", v.integer, "produto"),
            field("product_code", "text", v.text, "cod_produto"),
            field("color_id", "bigint", v.integer, "cor"),
            field("pattern_id", "bigint", v.integer, "estampa"),
            field("size", "text", v.text, "tamanho"),
            field("price", "numeric", v.decimal, "preco1"),
            field("list_price", "numeric", v.decimal, "preco2"),
            field("cost", "numeric", v.decimal, "preco_custo"),
            field("blocked", "boolean", v.boolean, "bloqueado_preco"),
            field("active", "boolean", v.boolean, "ativo"),
            field("external_id", "text", v.text, "id_externo"),
            field("source_updated_at", "timestamptz", v.timestamp, "data_atualizacao"),
            field("trans_id", "bigint", v.integer, required=True),
        ),
    ),
)
