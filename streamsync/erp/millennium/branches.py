"""Branches of Millennium: `filiais/lista_simples`, a short list that has no cursor and is read whole.

Some servers send a `trans_id` with each branch, some do not; some write `cgc` for the CNPJ and `estado` for the UF.
"""

from __future__ import annotations

from streamsync.entity import Entity, Reading, Scope, Table, field
from streamsync.erp import documents as d
from streamsync.erp import values as v


def _cnpj(cnpj: object, cgc: object) -> str | None:
    return v.cnpj(cnpj) or v.cnpj(cgc)


def _cnpj_valid(cnpj: object, cgc: object) -> bool | None:
    return d.cnpj_valid(_cnpj(cnpj, cgc))


def _trans_id(raw: object) -> int:
    """0 where the server sends none: then no state is older than another, and the last one read stays."""
    return v.integer(raw) or 0


BRANCHES = Entity(
    name="branches",
    method="filiais/lista_simples",
    scope=Scope.ERP,
    reading=Reading.LIST,
    table=Table(
        name="branch",
        key=("branch_id",),
        fields=(
            field("branch_id", "bigint", v.integer, "filial", required=True),
            field("branch_code", "text", v.text, "cod_filial"),
            field("name", "text", v.text, "nome"),
            field("trade_name", "text", v.text, "fantasia"),
            field("cnpj", "text", _cnpj, "cnpj", "cgc"),
            field("cnpj_valid", "boolean", _cnpj_valid, "cnpj", "cgc"),
            field("state", "text", d.first_upper, "uf", "estado"),
            field("state_valid", "boolean", d.state_valid, "uf", "estado"),
            field("city", "text", v.text, "cidade"),
            field("trans_id", "bigint", _trans_id),
        ),
    ),
)
