"""Products of Millennium: `produtos/listavitrine`, read per storefront, with SKUs, barcodes, classifications.

`lista_preco=true` adds `preco1` (selling) and `preco2` (list) to each SKU. A product of one storefront is
invisible in another, so the storefront is part of the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streamsync.entity import Entity, Field, Scope, Table, field
from streamsync.erp import documents as d
from streamsync.erp import values as v

#: A SKU's codes in the order that decides the kind of one that stands in several: (kind, ERP field).
_BARCODES: Final = (("ean13", "barra13"), ("barcode", "barra"), ("reference", "barra_ref"))


def _barcodes(sku: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A SKU's distinct barcodes, each under the first kind it appears as."""
    found: dict[str, str] = {}
    for kind, source in _BARCODES:
        code = v.key(sku.get(source))
        if code is not None:
            found.setdefault(code, kind)
    return [{"sku": sku.get("sku"), "barcode": code, "kind": kind} for code, kind in found.items()]


PRODUCTS = Entity(
    name="products",
    method="produtos/listavitrine",
    scope=Scope.VITRINE,
    scope_column="vitrine",
    parameters=(("lista_preco", "true"),),
    date_parameter="data_atualizacao",
    date_source="data_alteracao",
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
                field("ean13_valid", "boolean", d.ean13_valid, "barra13"),
                field("color", "text", v.text, "desc_cor"),
                field("pattern", "text", v.text, "desc_estampa"),
                field("price", "numeric", v.decimal, "preco1"),
                field("list_price", "numeric", v.decimal, "preco2"),
                field("allows_backorder", "boolean", v.boolean, "permite_pedido_sem_estoque"),
            ),
        ),
        Table(
            name="sku_barcode",
            source="sku",
            parent_key=("vitrine", "product_id"),
            key=("vitrine", "product_id", "sku", "barcode"),
            fields=(
                field("sku", "text", v.key, required=True),
                field("barcode", "text", v.key, required=True),
                field("kind", "text", v.text, required=True),
                field("ean13_valid", "boolean", d.ean13_valid, "barcode", required=True),
            ),
            expand=_barcodes,
            expand_sources=tuple(source for _, source in _BARCODES),
            raw=False,
        ),
        Table(
            name="product_classification",
            source="classificacoes",
            parent_key=("vitrine", "product_id"),
            key=("vitrine", "product_id", "classification_id"),
            fields=(
                field("classification_id", "bigint", v.integer, "vitrine_classificacao", required=True),
                field("tree", "text", v.text, "arvore_classificacao"),
                field("description", "text", v.text, "desc_classificacao"),
                field("visible", "boolean", v.boolean, "visivel_web"),
                field("giftable", "boolean", v.boolean, "permite_presente"),
                field("pickup_in_store", "boolean", v.boolean),
                field("excluded", "boolean", v.boolean, "excluido"),
            ),
        ),
    ),
)
