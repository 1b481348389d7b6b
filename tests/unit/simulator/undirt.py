"""A cleaner of the simulator's own tests: the rules of the protocol reference in their plainest form.

Shared with nothing. It exists to show that the dirt can be undone, and that what is undone is the truth.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

Record = dict[str, Any]


def text(value: object) -> str | None:
    if value is None:
        return None
    clean = unicodedata.normalize("NFC", str(value)).replace("\u00ad", "")
    clean = re.sub(r"[\n\t]", " ", clean)
    clean = "".join(character for character in clean if unicodedata.category(character) != "Cc")
    return re.sub(" +", " ", clean).strip() or None


def digits(value: object) -> str | None:
    return re.sub(r"\D", "", str(value or "")) or None


def phone(ddd: object, number: object) -> str | None:
    local = digits(number)
    if local is None:
        return None
    national = (digits(ddd) or "").lstrip("0") + local
    return f"+55{national}" if len(national) in (10, 11) else national


def boolean(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    word = text(value)
    return None if word is None else {"T": True, "F": False, "1": True, "0": False}[word]


def stamp(value: object) -> datetime | None:
    raw = text(value)
    if raw is None:
        return None
    found = re.fullmatch(r"/Date\((-?\d+)([+-]\d+)\)/", raw)
    if found:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(found[1]))
    return datetime.fromisoformat(raw).astimezone(UTC)


def day(value: object) -> date | None:
    moment = stamp(value)
    return None if moment is None else moment.date()


def number(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def valid_cpf(cpf: str | None) -> bool | None:
    if cpf is None:
        return None
    if len(cpf) != 11 or len(set(cpf)) == 1:
        return False
    for size in (9, 10):
        total = sum(int(cpf[i]) * (size + 1 - i) for i in range(size))
        if total * 10 % 11 % 10 != int(cpf[size]):
            return False
    return True


def valid_cnpj(cnpj: str | None) -> bool | None:
    if cnpj is None:
        return None
    if len(cnpj) != 14:
        return False
    for size in (12, 13):
        weights = [(size - 1 - i) % 8 + 2 for i in range(size)]
        total = sum(int(cnpj[i]) * weights[i] for i in range(size))
        if total * 10 % 11 % 10 != int(cnpj[size]):
            return False
    return True


def valid_ean13(code: str | None) -> bool | None:
    if code is None:
        return None
    if not re.fullmatch(r"\d{13}", code):
        return False
    return sum(int(c) * (3 if i % 2 else 1) for i, c in enumerate(code)) % 10 == 0


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
        "trans_id": record["trans_id"],
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
            "state": (text(item.get("estado")) or "").upper() or None,
            "postal_code": digits(item.get("cep")),
            "phone": phone(item.get("ddd"), item.get("fone")),
            "country": text(item.get("nome_pais")),
        }
        for item in record["enderecos"]
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
        "trans_id": record["trans_id"],
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
        for item in record["sku"]
    ]
