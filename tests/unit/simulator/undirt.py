"""A cleaner of the simulator's own tests: the rules of the protocol reference in their plainest form.

Shared with nothing. It exists to show that the dirt can be undone, and that what is undone is the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.unit.simulator.undirt_values import (
    boolean,
    day,
    digits,
    listed,
    number,
    phone,
    stamp,
    text,
    upper,
    valid_cep,
    valid_cnpj,
    valid_cpf,
    valid_ean13,
    valid_state,
)

Record = dict[str, Any]


def customer(record: Record) -> Record:
    cpf, cnpj = digits(record.get("cpf")), digits(record.get("cnpj"))
    email = text(record.get("e_mail"))
    return {
        "customer_id": record["cliente"],
        "customer_code": text(record.get("cod_cliente")),
        "name": text(record.get("nome")),
        "trade_name": text(record.get("fantasia")),
        "person_type": record["pf_pj"],
        "cpf": cpf,
        "cpf_valid": valid_cpf(cpf),
        "cnpj": cnpj,
        "cnpj_valid": valid_cnpj(cnpj),
        "rg": text(record.get("rg")),
        "state_registration": text(record.get("ie")),
        "email": email and email.lower(),
        "mobile": phone(record.get("ddd_celular"), record.get("cel")),
        "birth_date": day(record.get("data_aniversario")),
        "registered_on": day(record.get("data_cadastro")),
        "source_updated_at": stamp(record.get("data_atualizacao")),
        "gender": text(record.get("tipo_sexo")),
        "accepts_newsletter": boolean(record.get("permite_enviar_newsletter")),
        "accepts_sms": boolean(record.get("permite_enviar_sms")),
        "accepts_mail": boolean(record.get("maladireta")),
        "external_id": text(record.get("id_externo")),
        "notes": text(record.get("obs")),
        "trans_id": record.get("trans_id", 0),
    }


def addresses(record: Record) -> list[Record]:
    return [
        {
            "customer_id": record["cliente"],
            "address_id": item["cod_endereco"],
            "street": text(item.get("logradouro")),
            "number": text(item.get("numero")),
            "complement": text(item.get("complemento")),
            "district": text(item.get("bairro")),
            "city": text(item.get("cidade")),
            "city_ibge_code": text(item.get("cod_mun_ibge")),
            "state": upper(item.get("estado")),
            "state_valid": valid_state(upper(item.get("estado"))),
            "postal_code": digits(item.get("cep")),
            "postal_code_valid": valid_cep(digits(item.get("cep"))),
            "phone": phone(item.get("ddd"), item.get("fone")),
            "country": text(item.get("nome_pais")),
        }
        for item in listed(record["enderecos"])
    ]


def contacts(record: Record) -> list[Record]:
    return [
        {
            "customer_id": record["cliente"],
            "position": position,
            "contact_id": item.get("gerador_contato"),
            "name": text(item.get("nome")),
            "role": text(item.get("cargo")),
            "department": text(item.get("departamento")),
            "cpf": digits(item.get("cpf")),
            "cpf_valid": valid_cpf(digits(item.get("cpf"))),
            "email": (text(item.get("e_mail")) or "").lower() or None,
            "mobile": phone(item.get("ddd_celular"), item.get("celular")),
            "birth_date": day(item.get("data_aniversario")),
        }
        for position, item in enumerate(listed(record["contato"]), start=1)
    ]


def product(record: Record) -> Record:
    texts = {
        "product_code": "cod_produto",
        "description": "descricao1",
        "site_name": "nome_produto_site",
        "product_type": "tipo_prod",
        "web": "web",
        "ncm": "ncm",
        "reference": "referencia",
        "unit": "unidade_uso",
        "brand_code": "cod_marca",
        "brand": "desc_marca",
        "collection_code": "cod_colecao",
        "collection": "desc_colecao",
        "department_code": "cod_departamento",
        "department": "desc_departamento",
        "category_code": "cod_categoria",
        "category": "desc_categoria",
    }
    flags = {
        "active": "ativo",
        "excluded": "excluido",
        "blocked": "bloqueado",
        "kit": "kit",
        "allows_backorder": "permite_pedido_sem_estoque",
    }
    numbers = {
        "weight": "peso",
        "height": "altura",
        "width": "largura",
        "length": "comprimento",
        "cost": "custo",
    }
    return {
        "vitrine": record["vitrine"],
        "product_id": record["produto"],
        **{column: text(record.get(name)) for column, name in texts.items()},
        **{column: boolean(record.get(name)) for column, name in flags.items()},
        **{column: number(record.get(name)) for column, name in numbers.items()},
        "registered_on": day(record.get("data_cadastro")),
        "source_updated_at": stamp(record.get("data_alteracao")),
        "trans_id": record.get("trans_id", 0),
    }


def skus(record: Record) -> list[Record]:
    return [
        {
            "vitrine": record["vitrine"],
            "sku": item["sku"],
            "product_id": item["produto"],
            "color_id": item["cor"],
            "pattern_id": item["estampa"],
            "size": text(item.get("tamanho")),
            "active": boolean(item.get("ativo")),
            "barcode": text(item.get("barra")),
            "ean13": text(item.get("barra13")),
            "ean13_valid": valid_ean13(text(item.get("barra13"))),
            "color": text(item.get("desc_cor")),
            "pattern": text(item.get("desc_estampa")),
            "price": number(item.get("preco1")),
            "list_price": number(item.get("preco2")),
            "allows_backorder": boolean(item.get("permite_pedido_sem_estoque")),
        }
        for item in listed(record["sku"])
    ]


def barcodes(record: Record) -> list[Record]:
    rows = []
    for item in listed(record["sku"]):
        seen: dict[str, str] = {}
        for kind, name in (("ean13", "barra13"), ("barcode", "barra"), ("reference", "barra_ref")):
            code = text(item.get(name))
            if code is not None and code not in seen:
                seen[code] = kind
        rows += [
            {
                "vitrine": record["vitrine"],
                "product_id": record["produto"],
                "sku": item["sku"],
                "barcode": code,
                "kind": kind,
                "ean13_valid": bool(valid_ean13(code)),
            }
            for code, kind in seen.items()
        ]
    return rows


def classifications(record: Record) -> list[Record]:
    flags = {
        "visible": "visivel_web",
        "giftable": "permite_presente",
        "pickup_in_store": "pickup_in_store",
        "excluded": "excluido",
    }
    return [
        {
            "vitrine": record["vitrine"],
            "product_id": record["produto"],
            "classification_id": item["vitrine_classificacao"],
            "tree": text(item.get("arvore_classificacao")),
            "description": text(item.get("desc_classificacao")),
            **{column: boolean(item.get(name)) for column, name in flags.items()},
        }
        for item in listed(record["classificacoes"])
    ]


def branch(record: Record) -> Record:
    cnpj = digits(record.get("cnpj", record.get("cgc")))
    state = upper(record.get("uf", record.get("estado")))
    return {
        "branch_id": record["filial"],
        "branch_code": text(record.get("cod_filial")),
        "name": text(record.get("nome")),
        "trade_name": text(record.get("fantasia")),
        "cnpj": cnpj,
        "cnpj_valid": valid_cnpj(cnpj),
        "state": state,
        "state_valid": valid_state(state),
        "city": text(record.get("cidade")),
        "trans_id": record.get("trans_id", 0),
    }


def price(record: Record) -> Record:
    return {
        **_sku_of(record),
        "vitrine": record["vitrine"],
        "product_code": text(record.get("cod_produto")),
        "price": number(record.get("preco1")),
        "list_price": number(record.get("preco2")),
        "cost": number(record.get("preco_custo")),
        "blocked": boolean(record.get("bloqueado_preco")),
        "active": boolean(record.get("ativo")),
        "external_id": text(record.get("id_externo")),
    }


def stock(record: Record) -> Record:
    numbers = {
        "balance": "saldo",
        "reserved": "empenho",
        "minimum": "estoque_min",
        "storefront_balance": "saldo_vitrine",
        "storefront_free": "saldo_vitrine_sem_reserva",
        "purchase_balance": "saldo_compra",
    }
    return {
        **_sku_of(record),
        "branch_id": record["filial"],
        "lot": text(record.get("lote")) or "",
        "branch_code": text(record.get("cod_filial")),
        **{column: number(record.get(name)) for column, name in numbers.items()},
        "purchase_date": day(record.get("data_compra")),
        "barcode": text(record.get("barra")),
        "allows_backorder": boolean(record.get("permite_pedido_sem_estoque")),
        "presale": boolean(record.get("pre_venda")),
    }


def _sku_of(record: Record) -> Record:
    return {
        "sku": record["sku"],
        "product_id": record["produto"],
        "color_id": record["cor"],
        "pattern_id": record["estampa"],
        "size": text(record.get("tamanho")),
        "source_updated_at": stamp(record.get("data_atualizacao")),
        "trans_id": record.get("trans_id", 0),
    }


#: The rows that one record of an entity brings to a table.
ROWS: dict[str, Callable[[Record], list[Record]]] = {
    "customer": lambda record: [customer(record)],
    "customer_address": addresses,
    "customer_contact": contacts,
    "branch": lambda record: [branch(record)],
    "product": lambda record: [product(record)],
    "sku": skus,
    "sku_barcode": barcodes,
    "product_classification": classifications,
    "price": lambda record: [price(record)],
    "stock": lambda record: [stock(record)],
}

#: The key of each table, in whose order its truth is told.
KEYS = {
    "customer": ("customer_id",),
    "customer_address": ("customer_id", "address_id"),
    "customer_contact": ("customer_id", "position"),
    "branch": ("branch_id",),
    "product": ("vitrine", "product_id"),
    "sku": ("vitrine", "product_id", "sku"),
    "sku_barcode": ("vitrine", "product_id", "sku", "barcode"),
    "product_classification": ("vitrine", "product_id", "classification_id"),
    "price": ("vitrine", "sku"),
    "stock": ("branch_id", "sku", "lot"),
}


def rows_of(table: str, records: Iterable[Record]) -> list[Record]:
    """What the records bring to a table, in the order of its key."""
    rows = [row for record in records for row in ROWS[table](record)]
    return sorted(rows, key=lambda row: tuple(row[name] for name in KEYS[table]))
