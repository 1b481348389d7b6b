"""The shape of the Millennium API: URLs, query options, parameters, error bodies, XML. No data, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

import orjson

#: The parameters each method knows. Names are lower case; the server reads them without regard to case.
#: `web`, `todas_vitrines`, `desagrupar_cores` and `origem_cliente` are known and change nothing here.
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
    "vitrine.listatabelas": frozenset({"vitrine"}),
    "filiais.lista_simples": frozenset({"filial", "trans_id"}),
}

#: The methods that page through an entity, and which.
PAGED: Final = {"clientes.lista": "customers", "produtos.listavitrine": "products"}

_BRASILIA: Final = timezone(timedelta(hours=-3))
_JSON: Final = (b"content-type", b"application/json; charset=utf-8")
_XML: Final = (b"content-type", b"application/atom+xml; charset=utf-8")
_HTML: Final = (b"content-type", b"text/html")


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer. `rows` is how many records it carries."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = (_JSON,)
    rows: int = 0


class RefusedError(Exception):
    """The ERP says no; the answer is the exception."""

    def __init__(self, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.answer = error(status, message, *headers)


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


def check_parameters(target: Target, query: Query) -> None:
    """Refuse what the method does not know, one parameter at a time, as the ERP does."""
    known = PARAMETERS.get(target.method)
    library = target.library.split("!")[0]
    if known is None or library != "millenium_eco":
        raise RefusedError(404, f"Method not found: {target.library}.{target.method}")
    for name in query.parameters:
        if name not in known:
            raise RefusedError(400, f"Parameter {name} not found in {target.library}.{target.method}")


def error(status: int, message: str, *headers: tuple[bytes, bytes]) -> Answer:
    """An error as the ERP words it."""
    content = {"error": {"code": status, "message": {"lang": "pt-BR", "value": message}}}
    return Answer(status, orjson.dumps(content), (_JSON, *headers))


def envelope(rows: list[bytes], count: int, *, empty_as_object: bool = False) -> Answer:
    """Rows that are JSON already, in the ERP's envelope."""
    if not rows and empty_as_object:
        return Answer(200, b"{}")
    body = b'{"odata.count":%d,"value":[%b]}' % (count, b",".join(rows))
    return Answer(200, body, rows=len(rows))


def atom(rows: list[bytes]) -> Answer:
    """The same rows as Atom XML, for a client that does not ask for JSON. Nested lists are left out."""
    parts = [
        '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom" '
        'xmlns:d="http://schemas.microsoft.com/ado/2007/08/dataservices" '
        'xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata">'
    ]
    for row in rows:
        parts.append('<entry><content type="application/xml"><m:properties>')
        for name, value in orjson.loads(row).items():
            if value is None:
                parts.append(f'<d:{name} m:null="true"/>')
            elif not isinstance(value, list):
                parts.append(f"<d:{name}>{escape(_printable(value))}</d:{name}>")
        parts.append("</m:properties></content></entry>")
    parts.append("</feed>")
    return Answer(200, "".join(parts).encode(), (_XML,), rows=len(rows))


def html(status: int = 200) -> Answer:
    """What a proxy or a half-dead server says instead of data."""
    page = (
        b"<html><head><title>Servi\xe7o indispon\xedvel</title></head><body><h1>wtsBroker</h1></body></html>"
    )
    return Answer(status, page, (_HTML,))


def _integer(value: str | None) -> int | None:
    if value is None:
        return None
    try:
        return int(value)
    except ValueError as error:
        raise RefusedError(400, "Could not convert variant of type (String) into type (Integer)") from error


def _printable(value: object) -> str:
    # XML 1.0 has no way to write most control characters.
    return "".join(character for character in str(value) if character >= " " or character in "\t\r\n")
