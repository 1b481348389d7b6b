"""What the ERP sends for a customer or a product: its field names, its nesting, its dirt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamsync.simulator import dirt
from streamsync.simulator.catalog import Sku
from streamsync.simulator.dice import Dice
from streamsync.simulator.dirt import Style
from streamsync.simulator.people import Row
from streamsync.simulator.record import Breaks, Record, forget_a_null

BROKEN_CUSTOMERS: Final[Breaks] = (
    ("data_cadastro", "/Date(abc)/"),
    ("cliente", ...),
    ("cliente", None),
    ("cliente", "SEM CODIGO"),
    ("data_atualizacao", "/Date(-180)x/"),
)
BROKEN_PRODUCTS: Final[Breaks] = (
    ("produto", ...),
    ("produto", None),
    ("produto", "A DEFINIR"),
    ("peso", "leve"),
    ("custo", "N/D"),
    ("data_cadastro", "/Date(abc)/"),
)


def customer(dice: Dice, row: Row, addresses: Sequence[Row], contacts: Sequence[Row], style: Style) -> Record:
    """One row of `clientes/lista`."""
    ddd, mobile = dirt.phone(dice, row["mobile"])
    record: Record = {
        "cliente": row["customer_id"],
        "cod_cliente": dirt.code(dice, row["customer_code"]),
        "nome": dirt.text(dice, row["name"]),
        "fantasia": dirt.text(dice, row["trade_name"]),
        "pf_pj": row["person_type"],
        "cpf": dirt.cpf(dice, row["cpf"]),
        "cnpj": dirt.cnpj(dice, row["cnpj"]),
        "rg": dirt.code(dice, row["rg"]),
        "ie": dirt.code(dice, row["state_registration"]),
        "ufie": None,
        "e_mail": dirt.email(dice, row["email"]),
        "ddd_celular": ddd,
        "cel": mobile,
        "data_aniversario": dirt.day(dice, row["birth_date"], style),
        "data_cadastro": dirt.day(dice, row["registered_on"], style),
        "data_atualizacao": dirt.timestamp(row["source_updated_at"], style),
        "tipo_sexo": dirt.absent(dice) if row["gender"] is None else row["gender"],
        "tratamento": str(dice.below(5)),
        "parentesco": 0,
        "maladireta": dirt.boolean(dice, row["accepts_mail"]),
        "permite_enviar_newsletter": dirt.boolean(dice, row["accepts_newsletter"]),
        "permite_enviar_sms": dirt.boolean(dice, row["accepts_sms"]),
        "origem_cliente": None,
        "id_externo": dirt.code(dice, row["external_id"]),
        "obs": dirt.text(dice, row["notes"]),
        "vitrine": None,
        "categorias": [1 + dice.below(9)] if dice.below(4) == 3 else [],
        "enderecos": [_address(dice, address) for address in addresses],
        "contato": [_contact(dice, contact, style) for contact in contacts],
        "filiais": [{"cod_filial": "00009", "desc_filial": "LOJA MODELO "}],
    }
    if style.trans_ids:
        record["trans_id"] = row["trans_id"]
    forget_a_null(dice, record)
    return record


def _address(dice: Dice, row: Row) -> Record:
    ddd, phone = dirt.phone(dice, row["phone"])
    record: Record = {
        "cod_endereco": row["address_id"],
        "logradouro": dirt.text(dice, row["street"]),
        "numero": dirt.house_number(dice, row["number"]),
        "complemento": dirt.text(dice, row["complement"]),
        "bairro": dirt.text(dice, row["district"]),
        "cidade": dirt.text(dice, row["city"]),
        "cod_mun_ibge": dirt.code(dice, row["city_ibge_code"]),
        "estado": dirt.state(dice, row["state"]),
        "cep": dirt.cep(dice, row["postal_code"]),
        "ddd": ddd,
        "fone": phone,
        "ramal": None,
        "fax": None,
        "ddd_cel": None,
        "contato": None,
        "grau_relacionamento": None,
        "desc_tipo_endereco": ("RESIDENCIAL", "COMERCIAL ", "ENTREGA")[dice.below(3)],
        "dicas_endereco": "PORTÃO AZUL" if dice.below(10) == 9 else None,
        "nome_pais": dirt.text(dice, row["country"]),
        "tipo_sexo": None,
    }
    forget_a_null(dice, record)
    return record


def _contact(dice: Dice, row: Row, style: Style) -> Record:
    ddd, mobile = dirt.phone(dice, row["mobile"])
    record: Record = {
        "nome": dirt.text(dice, row["name"]),
        "cargo": dirt.text(dice, row["role"]),
        "departamento": dirt.text(dice, row["department"]),
        "cpf": dirt.cpf(dice, row["cpf"]),
        "e_mail": dirt.email(dice, row["email"]),
        "ddd_celular": ddd,
        "celular": mobile,
        "data_aniversario": dirt.day(dice, row["birth_date"], style),
        "gerador_contato": row["contact_id"],
        "bip": None,
        "cod_bip": None,
    }
    forget_a_null(dice, record)
    return record


def product(
    dice: Dice, row: Row, skus: Sequence[Sku], classifications: Sequence[Row], style: Style
) -> Record:
    """One row of `produtos/listavitrine`."""
    record: Record = {
        "produto": row["product_id"],
        "cod_produto": dirt.code(dice, row["product_code"]),
        "descricao1": dirt.text(dice, row["description"]),
        "descricao2": None,
        "descricao_etiq": None,
        "descricao_sf": dirt.text(dice, row["site_name"]),
        "nome_produto_site": dirt.text(dice, row["site_name"]),
        "descricao_produto_site": None,
        "tipo_prod": row["product_type"],
        "ativo": dirt.letter(dice, row["active"]),
        "excluido": dirt.boolean(dice, row["excluded"]),
        "web": row["web"],
        "bloqueado": dirt.boolean(dice, row["blocked"]),
        "ncm": dirt.code(dice, row["ncm"]),
        "referencia": dirt.text(dice, row["reference"]),
        "unidade_uso": dirt.code(dice, row["unit"]),
        "cod_marca": dirt.code(dice, row["brand_code"]),
        "desc_marca": dirt.text(dice, row["brand"]),
        "cod_colecao": dirt.code(dice, row["collection_code"]),
        "desc_colecao": dirt.text(dice, row["collection"]),
        "cod_departamento": dirt.code(dice, row["department_code"]),
        "desc_departamento": dirt.text(dice, row["department"]),
        "cod_categoria": dirt.code(dice, row["category_code"]),
        "desc_categoria": dirt.text(dice, row["category"]),
        "peso": dirt.number(row["weight"]),
        "altura": dirt.number(row["height"]),
        "largura": dirt.number(row["width"]),
        "comprimento": dirt.number(row["length"]),
        "custo": dirt.number(row["cost"]),
        "data_cadastro": dirt.day(dice, row["registered_on"], style),
        "data_alteracao": dirt.timestamp(row["source_updated_at"], style),
        "kit": dirt.boolean(dice, row["kit"]),
        "permite_pedido_sem_estoque": dirt.letter(dice, row["allows_backorder"]),
        "pre_venda": "F",
        "lead_time_entrega": dice.below(4),
        "qtde_max_venda": None,
        "visibilidade": None,
        "fornecedor_principal": f"F{dice.below(90):04d} ",
        "url_produto": None,
        "vitrine": row["vitrine"],
        "classificacoes": [_classification(dice, classification) for classification in classifications],
        "especificacoes": [],
        "medidas": [],
        "fornecedores": [],
        "sku": [_sku(dice, sku, style) for sku in skus],
    }
    if style.trans_ids:
        record["trans_id"] = row["trans_id"]
    forget_a_null(dice, record)
    return record


def _classification(dice: Dice, row: Row) -> Record:
    record: Record = {
        "vitrine_classificacao": row["classification_id"],
        "arvore_classificacao": dirt.text(dice, row["tree"]),
        "desc_classificacao": dirt.text(dice, row["description"]),
        "visivel_web": dirt.boolean(dice, row["visible"]),
        "permite_presente": dirt.boolean(dice, row["giftable"]),
        "pickup_in_store": dirt.boolean(dice, row["pickup_in_store"]),
        "excluido": dirt.boolean(dice, row["excluded"]),
        "ordem": dice.below(20),
    }
    forget_a_null(dice, record)
    return record


def _sku(dice: Dice, sku: Sku, style: Style) -> Record:
    row = sku.row
    record: Record = {
        "sku": row["sku"],
        "produto": row["product_id"],
        "cor": row["color_id"],
        "estampa": row["pattern_id"],
        "tamanho": dirt.code(dice, row["size"]),
        "ativo": "1" if row["active"] else "0",
        "barra": dirt.code(dice, row["barcode"]),
        "barra13": dirt.code(dice, row["ean13"]),
        "barra_ref": dirt.code(dice, sku.reference),
        "cod_cor": f"{row['color_id']:03d}",
        "desc_cor": dirt.text(dice, row["color"]),
        "desc_estampa": dirt.text(dice, row["pattern"]),
        "estoque_min": dice.below(3),
        "sku_padrao": False,
        "obs_sku1": None,
        "permite_pedido_sem_estoque": dirt.letter(dice, row["allows_backorder"]),
        "pre_venda": "F",
        "id_externo": None,
    }
    if style.prices:
        record["preco1"] = dirt.number(row["price"])
        record["preco2"] = dirt.number(row["list_price"])
    return record
