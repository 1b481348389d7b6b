"""Products of Millennium: `produtos/listavitrine`, read per storefront, with their SKUs and prices.

`lista_preco=true` adds `preco1` (selling) and `preco2` (list) to each SKU. A product of one storefront is
invisible in another, so the storefront is part of the key.
"""

from __future__ import annotations

from streamsync.entity import Entity, Field, Scope, Table, field
from streamsync.erp import values as v


def _ean13_valid(raw: object) -> bool | None:
    return v.ean13_valid(v.text(raw))


PRODUCTS = Entity(
    name="products",
    method="produtos/listavitrine",
    scope=Scope.VITRINE,
    scope_column="vitrine",
    parameters=(("lista_preco", "true"),),
    table=Table(
        name="product",
        key=("vitrine", "product_id"),
        fields=(
            Field("vitrine", "bigint", v.integer, ()),
            field("product_id", "bigint", v.integer, "produto", required=True),
            field("product_code", "text", v.text, "cod_produto"),
            field("description", "text", v.text, "descricao1"),
            field("site_name", "text", v.text, "nome_produto_site"),
            field("product_type", "text", v.upper, "tipo_prod"),
            field("active", "boolean", v.boolean, "ativo"),
            field("excluded", "boolean", v.boolean, "excluido"),
            field("web", "text", v.upper),
            field("blocked", "boolean", v.boolean, "bloqueado"),
            field("ncm", "text", v.text),
            field("reference", "text", v.text, "referencia"),
            field("unit", "text", v.text, "unidade_uso"),
            field("brand_code", "text", v.text, "cod_marca"),
            field("brand", "text", v.text, "desc_marca"),
            field("collection_code", "text", v.text, "cod_colecao"),
            field("collection", "text", v.text, "desc_colecao"),
            field("department_code", "text", v.text, "cod_departamento"),
            field("department", "text", v.text, "desc_departamento"),
            field("category_code", "text", v.text, "cod_categoria"),
            field("category", "text", v.text, "desc_categoria"),
            field("weight", "numeric", v.decimal, "peso"),
            field("height", "numeric", v.decimal, "altura"),
            field("width", "numeric", v.decimal, "largura"),
            field("length", "numeric", v.decimal, "comprimento"),
            field("cost", "numeric", v.decimal, "custo"),
            field("registered_on", "date", v.calendar_date, "data_cadastro"),
            field("source_updated_at", "timestamptz", v.timestamp, "data_alteracao"),
            field("kit", "boolean", v.boolean),
            field("allows_backorder", "boolean", v.boolean, "permite_pedido_sem_estoque"),
            field("trans_id", "bigint", v.integer, required=True),
        ),
    ),
    children=(
        Table(
            name="sku",
            source="sku",
            parent_key=("vitrine", "product_id"),
            key=("vitrine", "product_id", "sku"),
            fields=(
                field("sku", "text", v.key, required=True),
                field("color_id", "bigint", v.integer, "cor"),
                field("pattern_id", "bigint", v.integer, "estampa"),
                field("size", "text", v.text, "tamanho"),
                field("active", "boolean", v.boolean, "ativo"),
                field("barcode", "text", v.text, "barra"),
                field("ean13", "text", v.text, "barra13"),
                field("ean13_valid", "boolean", _ean13_valid, "barra13"),
                field("color", "text", v.text, "desc_cor"),
                field("pattern", "text", v.text, "desc_estampa"),
                field("price", "numeric", v.decimal, "preco1"),
                field("list_price", "numeric", v.decimal, "preco2"),
                field("allows_backorder", "boolean", v.boolean, "permite_pedido_sem_estoque"),
            ),
        ),
    ),
)
