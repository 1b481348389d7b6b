"""Customers of Millennium: `clientes/lista`, with their addresses and contacts.

Field names: the server's own `$help` tables; `cliente` is not in them but in real answers.
"""

from __future__ import annotations

from streamsync.entity import Entity, Scope, Table, field
from streamsync.erp import documents as d
from streamsync.erp import values as v

CUSTOMERS = Entity(
    name="customers",
    method="clientes/lista",
    scope=Scope.ERP,
    table=Table(
        name="customer",
        key=("customer_id",),
        fields=(
            field("customer_id", "bigint", v.integer, "cliente", required=True),
            field("customer_code", "text", v.text, "cod_cliente"),
            field("name", "text", v.text, "nome"),
            field("trade_name", "text", v.text, "fantasia"),
            field("person_type", "text", v.upper, "pf_pj"),
            field("cpf", "text", v.digits),
            field("cpf_valid", "boolean", d.cpf_valid, "cpf"),
            field("cnpj", "text", v.cnpj),
            field("cnpj_valid", "boolean", d.cnpj_valid, "cnpj"),
            field("rg", "text", v.text),
            field("state_registration", "text", v.text, "ie"),
            field("email", "text", v.email, "e_mail"),
            field("mobile", "text", v.phone, "ddd_celular", "cel"),
            field("birth_date", "date", v.calendar_date, "data_aniversario"),
            field("registered_on", "date", v.calendar_date, "data_cadastro"),
            field("source_updated_at", "timestamptz", v.timestamp, "data_atualizacao"),
            field("gender", "text", v.upper, "tipo_sexo"),
            field("accepts_newsletter", "boolean", v.boolean, "permite_enviar_newsletter"),
            field("accepts_sms", "boolean", v.boolean, "permite_enviar_sms"),
            field("accepts_mail", "boolean", v.boolean, "maladireta"),
            field("external_id", "text", v.text, "id_externo"),
            field("notes", "text", v.text, "obs"),
            field("trans_id", "bigint", v.integer, required=True),
        ),
    ),
    children=(
        Table(
            name="customer_address",
            source="enderecos",
            parent_key=("customer_id",),
            key=("customer_id", "address_id"),
            fields=(
                field("address_id", "bigint", v.integer, "cod_endereco", required=True),
                field("street", "text", v.text, "logradouro"),
                field("number", "text", v.text, "numero"),
                field("complement", "text", v.text, "complemento"),
                field("district", "text", v.text, "bairro"),
                field("city", "text", v.text, "cidade"),
                field("city_ibge_code", "text", v.text, "cod_mun_ibge"),
                field("state", "text", v.upper, "estado"),
                field("state_valid", "boolean", d.state_valid, "estado"),
                field("postal_code", "text", v.digits, "cep"),
                field("postal_code_valid", "boolean", d.postal_code_valid, "cep"),
                field("phone", "text", v.phone, "ddd", "fone"),
                field("country", "text", v.text, "nome_pais"),
            ),
        ),
        Table(
            name="customer_contact",
            source="contato",
            parent_key=("customer_id",),
            key=("customer_id", "position"),
            fields=(
                field("position", "integer", v.integer, "#"),
                field("contact_id", "bigint", v.integer, "gerador_contato"),
                field("name", "text", v.text, "nome"),
                field("role", "text", v.text, "cargo"),
                field("department", "text", v.text, "departamento"),
                field("cpf", "text", v.digits),
                field("cpf_valid", "boolean", d.cpf_valid, "cpf"),
                field("email", "text", v.email, "e_mail"),
                field("mobile", "text", v.phone, "ddd_celular", "celular"),
                field("birth_date", "date", v.calendar_date, "data_aniversario"),
            ),
        ),
    ),
)
