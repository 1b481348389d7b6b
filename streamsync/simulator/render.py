"""What the ERP sends for a clean record: its field names, its nesting, its dirt; and broken records."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from streamsync.simulator import dirt
from streamsync.simulator.dice import Dice
from streamsync.simulator.dirt import Style
from streamsync.simulator.people import Row

Record = dict[str, object]

#: Ways to break a record so that no honest cleaner can accept it: (field, value). `...` takes the field away.
_BROKEN_CUSTOMERS: tuple[tuple[str, object], ...] = (
    ("data_cadastro", "/Date(abc)/"),
    ("cliente", ...),
    ("cliente", None),
    ("cliente", "SEM CODIGO"),
    ("data_atualizacao", "/Date(-180)x/"),
)
_BROKEN_PRODUCTS: tuple[tuple[str, object], ...] = (
    ("produto", ...),
    ("produto", None),
    ("produto", "A DEFINIR"),
    ("peso", "leve"),
    ("custo", "N/D"),
    ("data_cadastro", "/Date(abc)/"),
)


def customer(dice: Dice, row: Row, addresses: Sequence[Row], style: Style) -> Record:
    """One row of `clientes/lista`."""
    ddd, mobile = dirt.phone(dice, row["mobile"])
    iso = style.iso_dates
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
        "data_aniversario": dirt.day(dice, row["birth_date"], iso=iso),
        "data_cadastro": dirt.day(dice, row["registered_on"], iso=iso),
        "data_atualizacao": dirt.timestamp(row["source_updated_at"], iso=iso),
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
        "trans_id": row["trans_id"],
        "categorias": [],
        "enderecos": [_address(dice, address) for address in addresses],
        "contato": [],
        "filiais": [{"cod_filial": "00009", "desc_filial": "LOJA MODELO "}],
    }
    _forget_a_null(dice, record)
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
        "desc_tipo_endereco": "RESIDENCIAL",
        "nome_pais": dirt.text(dice, row["country"]),
        "tipo_sexo": None,
    }
    _forget_a_null(dice, record)
    return record


def product(dice: Dice, row: Row, skus: Sequence[Row], style: Style) -> Record:
    """One row of `produtos/listavitrine`."""
    iso = style.iso_dates
    record: Record = {
        "produto": row["product_id"],
        "cod_produto": dirt.code(dice, row["product_code"]),
        "descricao1": dirt.text(dice, row["description"]),
        "descricao2": None,
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
        "data_cadastro": dirt.day(dice, row["registered_on"], iso=iso),
        "data_alteracao": dirt.timestamp(row["source_updated_at"], iso=iso),
        "kit": dirt.boolean(dice, row["kit"]),
        "permite_pedido_sem_estoque": dirt.letter(dice, row["allows_backorder"]),
        "pre_venda": "F",
        "lead_time_entrega": 0,
        "vitrine": row["vitrine"],
        "trans_id": row["trans_id"],
        "classificacoes": [],
        "sku": [_sku(dice, sku, style) for sku in skus],
    }
    _forget_a_null(dice, record)
    return record


def _sku(dice: Dice, row: Row, style: Style) -> Record:
    record: Record = {
        "sku": row["sku"],
        "produto": row["product_id"],
        "cor": row["color_id"],
        "estampa": row["pattern_id"],
        "tamanho": dirt.code(dice, row["size"]),
        "ativo": "1" if row["active"] else "0",
        "barra": dirt.code(dice, row["barcode"]),
        "barra13": dirt.code(dice, row["ean13"]),
        "cod_cor": f"{row['color_id']:03d}",
        "desc_cor": dirt.text(dice, row["color"]),
        "desc_estampa": dirt.text(dice, row["pattern"]),
        "estoque_min": 0,
        "permite_pedido_sem_estoque": dirt.letter(dice, row["allows_backorder"]),
        "pre_venda": "F",
        "id_externo": None,
    }
    if style.prices:
        record["preco1"] = dirt.number(row["price"])
        record["preco2"] = dirt.number(row["list_price"])
    return record


def _forget_a_null(dice: Dice, record: Record) -> None:
    """Versions differ in their columns: an absent value's key may be absent too."""
    if dice.below(20) == 0:
        key = dice.pick(list(record))
        if record[key] is None:
            del record[key]


def break_customer(dice: Dice, record: Record) -> None:
    """Make a customer one that has to be quarantined."""
    _break(dice, record, _BROKEN_CUSTOMERS)


def break_product(dice: Dice, record: Record) -> None:
    """Make a product one that has to be quarantined."""
    _break(dice, record, _BROKEN_PRODUCTS)


def _break(dice: Dice, record: Record, ways: Sequence[tuple[str, object]]) -> None:
    field, value = dice.pick(ways)
    if value is ...:
        record.pop(field, None)
    else:
        record[field] = value


def upper_keys(value: object) -> object:
    """The same value with every field's name in upper case, as `X-IdentifierCase: upper` asks."""
    if isinstance(value, dict):
        return {str(key).upper(): upper_keys(item) for key, item in value.items()}
    if isinstance(value, list):
        return [upper_keys(item) for item in value]
    return value


def encode(record: Record, style: Style) -> bytes:
    """The record's JSON. With `raw_control`, line ends and tabs stand in it unescaped, as some servers do."""
    body = orjson.dumps(upper_keys(record) if style.upper_keys else record)
    if style.raw_control:
        # No value has a backslash, so these pairs are escapes and nothing else.
        body = body.replace(rb"\n", b"\n").replace(rb"\r", b"\r").replace(rb"\t", b"\t")
    return body
