"""What is asked in the Millennium API: URLs, query options, the parameters of each method. No data, no I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final
from urllib.parse import parse_qsl, unquote

from streamsync.simulator.answers import RefusedError

#: The parameters each method knows. Names are lower case; the server reads them without regard to case.
#: `web`, `todas_vitrines`, `desagrupar_cores` and `origem_cliente` are known and change nothing here, nor does
#: `vitrine` for stock. `trans_id` of branches exists in some versions only (a switch).
PARAMETERS: Final[dict[str, frozenset[str]]] = {
    "clientes.lista": frozenset({"cliente", "origem_cliente", "trans_id", "vitrine"}),
    "produtos.listavitrine": frozenset(
        {
            "vitrine",
            "produto",
            "trans_id",
            "lista_preco",
            "todas_vitrines",
            "desagrupar_cores",
            "web",
            "data_atualizacao",
        }
    ),
    "produtos.precodetabela": frozenset({"vitrine", "produto", "trans_id", "data_atualizacao_inicial"}),
    "produtos.saldodeestoque": frozenset(
        {"filial", "vitrine", "produto", "trans_id", "data_atualizacao_inicial"}
    ),
    "vitrine.listatabelas": frozenset({"vitrine"}),
    "filiais.lista_simples": frozenset({"filial", "trans_id"}),
}


@dataclass(frozen=True, slots=True)
class Method:
    """How a list is asked for: its entity, and the parameters for its scope, one record's key, and a date."""

    entity: str
    scope: str = ""
    key: str = ""
    since: str = ""


#: The methods that list an entity.
LISTS: Final = {
    "clientes.lista": Method("customers", key="cliente"),
    "produtos.listavitrine": Method("products", "vitrine", "produto", "data_atualizacao"),
    "produtos.precodetabela": Method("prices", "vitrine", "produto", "data_atualizacao_inicial"),
    "produtos.saldodeestoque": Method("stock", "filial", "produto", "data_atualizacao_inicial"),
    "filiais.lista_simples": Method("branches", key="filial"),
}

#: The methods that page through an entity, and which; branches come all at once.
PAGED: Final = {name: method.entity for name, method in LISTS.items() if method.entity != "branches"}

_BRASILIA: Final = timezone(timedelta(hours=-3))


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL points at. `method` is `object.method` in lower case, or `login` or `logout`."""

    tenant_id: str | None
    library: str
    method: str


def target_of(path: str) -> Target | None:
    """Read a path: `/api/lib/object/method`, `/api/lib.object.method` or a mixture, behind `/erp/<tenant>` or
    bare. None if it is no path of the API.
    """
    tenant_id = None
    parts = [unquote(part) for part in path.split("/") if part]
    if len(parts) > 2 and parts[0].lower() == "erp":
        tenant_id = parts[1]
        parts = parts[2:]
    if len(parts) < 2 or parts[0].lower() != "api":
        return None
    names = ".".join(parts[1:]).lower().split(".")
    if len(names) == 1:
        return Target(tenant_id, "", names[0]) if names[0] in ("login", "logout") else None
    return Target(tenant_id, names[0], ".".join(names[1:]))


@dataclass(frozen=True, slots=True)
class Query:
    """A request's parameters and `$` options, by lower-case name."""

    parameters: Mapping[str, str]
    options: Mapping[str, str]

    def number(self, name: str) -> int | None:
        """An integer parameter; None if it was not sent."""
        return _integer(self.parameters.get(name))

    def flag(self, name: str) -> bool:
        """A boolean parameter in any of the spellings clients use."""
        return self.parameters.get(name, "").lower() in ("true", "t", "1", "s")

    @property
    def top(self) -> int | None:
        """How many rows were asked for; None for all of them."""
        return _integer(self.options.get("$top")) or None

    @property
    def skip(self) -> int:
        """The `$skip` that most servers ignore."""
        return _integer(self.options.get("$skip")) or 0

    def moment_ms(self, name: str) -> int | None:
        """A date parameter as ms since 1970; without a zone it is Brasília's time."""
        value = self.parameters.get(name)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise RefusedError(400, "Could not convert variant of type (String) into type (Date)") from error
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=_BRASILIA)
        return int(moment.timestamp() * 1000)


def query_of(raw: bytes, body: Mapping[str, object] | None = None) -> Query:
    """Read a query string, and the JSON body that a POST in place of a GET carries."""
    pairs: Iterable[tuple[str, str]] = parse_qsl(raw.decode("latin-1"), keep_blank_values=True)
    if body is not None:
        pairs = [*pairs, *((name, str(value)) for name, value in body.items() if value is not None)]
    parameters: dict[str, str] = {}
    options: dict[str, str] = {}
    for name, value in pairs:
        (options if name.startswith("$") else parameters)[name.lower()] = value
    return Query(parameters, options)


def check_parameters(target: Target, query: Query, unknown: Collection[str] = ()) -> None:
    """Refuse what the method does not know, one parameter at a time, as the ERP does.

    `unknown` are parameters that this server's version lacks.
    """
    known = PARAMETERS.get(target.method)
    library = target.library.split("!")[0]
    if known is None or library != "millenium_eco":
        raise RefusedError(404, f"Method not found: {target.library}.{target.method}")
    for name in query.parameters:
        if name not in known or name in unknown:
            raise RefusedError(400, f"Parameter {name} not found in {target.library}.{target.method}")


def _integer(value: str | None) -> int | None:
    if value is None:
        return None
    try:
        return int(value)
    except ValueError as error:
        raise RefusedError(400, "Could not convert variant of type (String) into type (Integer)") from error
