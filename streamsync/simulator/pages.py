"""Pages of records: rendered in blocks, kept while there is room, assembled into answers.

A page costs its own rows, never the list's length: its first row is found by bisection, and at most one block
more than asked for is rendered at each end.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from streamsync.simulator import protocol, render
from streamsync.simulator.data import Population
from streamsync.simulator.dirt import Style
from streamsync.simulator.listing import Listing
from streamsync.simulator.protocol import Answer, Query, RefusedError
from streamsync.simulator.switches import Switches

_BLOCK: Final = 64

_BlockKey = tuple[str, str, int | None, int, Style]


class Pages:
    """Answers the list methods of the API from a population."""

    def __init__(self, population: Population, cache_bytes: int = 64 << 20) -> None:
        self.population = population
        self._cache_bytes = cache_bytes
        self._cached_bytes = 0
        self._blocks: OrderedDict[_BlockKey, list[bytes]] = OrderedDict()
        #: Rows rendered since the start; tests of the cost of a page look at it.
        self.rendered = 0

    def answer(
        self, tenant_id: str, method: str, query: Query, switches: Switches, style: Style, *, as_json: bool
    ) -> Answer:
        """The answer to one read. Raises RefusedError for what the ERP would refuse."""
        if method in protocol.PAGED:
            rows, total = self._page(tenant_id, protocol.PAGED[method], query, switches, style)
        else:
            records = self._storefronts(tenant_id) if method == "vitrine.listatabelas" else _branches(query)
            top = query.top
            rows = [render.encode(record, style) for record in records[:top]]
            total = len(records)
        if not as_json:
            return protocol.atom(rows)
        count = total if switches.count_total else len(rows)
        return protocol.envelope(rows, count, empty_as_object=switches.empty_as_object)

    def _page(
        self, tenant_id: str, entity: str, query: Query, switches: Switches, style: Style
    ) -> tuple[list[bytes], int]:
        scope = query.number("vitrine") if entity == "products" else None
        if entity == "products" and scope is None:
            raise RefusedError(400, "Parameter vitrine is required in millenium_eco.produtos.listavitrine")
        # Every parameter is read first: a wrong one is refused even where there is nothing to list.
        wanted = query.number("cliente" if entity == "customers" else "produto")
        trans_id, since = query.number("trans_id"), query.moment_ms("data_atualizacao")
        listing = self.population.listing(tenant_id, entity, scope)
        if listing is None:
            return [], 0
        start, stop = 0, listing.size
        if trans_id is not None and trans_id > 0:
            start = listing.first_index(trans_id, exclusive=switches.exclusive)
        if since is not None:
            start = max(start, listing.first_changed_since(since))
        if wanted is not None:
            index = listing.index_of_id(wanted)
            start, stop = (index, index + 1) if index is not None and start <= index < stop else (0, 0)
        total = stop - start
        if switches.honour_skip:
            start = min(start + query.skip, stop)
        top = query.top
        if top is not None:
            stop = min(stop, start + top)
        return self._rows(tenant_id, entity, scope, listing, start, stop, style), total

    def _rows(
        self,
        tenant_id: str,
        entity: str,
        scope: int | None,
        listing: Listing,
        start: int,
        stop: int,
        style: Style,
    ) -> list[bytes]:
        template = self.population.template_of(tenant_id)
        rows: list[bytes] = []
        for block in range(start // _BLOCK, -(-stop // _BLOCK)):
            first = block * _BLOCK
            rendered = self._block((template, entity, scope, block, style), listing)
            rows += rendered[max(start - first, 0) : stop - first]
        return rows

    def _block(self, key: _BlockKey, listing: Listing) -> list[bytes]:
        rows = self._blocks.get(key)
        if rows is not None:
            self._blocks.move_to_end(key)
            return rows
        block, style = key[3], key[4]
        indices = range(block * _BLOCK, min((block + 1) * _BLOCK, listing.size))
        rows = [render.encode(listing.record(index, style), style) for index in indices]
        self.rendered += len(rows)
        self._blocks[key] = rows
        self._cached_bytes += sum(map(len, rows))
        while self._cached_bytes > self._cache_bytes:
            _, oldest = self._blocks.popitem(last=False)
            self._cached_bytes -= sum(map(len, oldest))
        return rows

    def _storefronts(self, tenant_id: str) -> list[render.Record]:
        return [
            {
                "vitrine": vitrine,
                "cod_vitrine": f"{number:02d}",
                "descricao": f"LOJA VIRTUAL {number} ",
                "tabela": 1,
                "desc_tabela": "0001 - TABELA PADRÃO",
                "trans_id": 900 + number,
            }
            for number, vitrine in enumerate(self.population.vitrine_ids(tenant_id), start=1)
        ]


def style_of(
    query: Query, switches: Switches, *, iso_header: bool, upper_header: bool, as_json: bool
) -> Style:
    """How the answer to a request is to be written."""
    return Style(
        iso_dates=iso_header or query.options.get("$dateformat", "").lower() == "iso",
        prices=query.flag("lista_preco"),
        upper_keys=upper_header or switches.upper_keys,
        raw_control=switches.raw_control and as_json,
    )


def _branches(query: Query) -> list[render.Record]:
    branches: list[render.Record] = [
        {
            "filial": number,
            "cod_filial": f"{number:05d}",
            "nome": name,
            "fantasia": name.title(),
            "cnpj": None,
            "uf": "SP",
            "cidade": "São Paulo ",
            "trans_id": 57_000_000 + 13 * number,
        }
        for number, name in ((1, "LOJA MODELO"), (2, "LOJA CENTRO"), (9, "DEPÓSITO"))
    ]
    wanted = query.number("filial")
    return [branch for branch in branches if wanted is None or branch["filial"] == wanted]
