"""Pages of records: rendered in blocks, kept while there is room, assembled into answers.

A page costs its own rows, never the list's length: its first row is found by bisection, and at most one block
more than asked for is rendered at each end of a run of records that never changed.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator
from itertools import accumulate
from typing import Final, NamedTuple
from zlib import crc32

from streamsync.simulator import answers, protocol, record
from streamsync.simulator.answers import Answer, RefusedError
from streamsync.simulator.dice import falls
from streamsync.simulator.dirt import Style
from streamsync.simulator.listing import Item, Listing
from streamsync.simulator.overlay import Overlay
from streamsync.simulator.protocol import Method, Query, Target
from streamsync.simulator.switches import Switches, style_of_server
from streamsync.simulator.world import ListKey, World

_BLOCK: Final = 64
#: What a cache entry weighs besides its text: objects, key, offsets.
_ENTRY_BYTES: Final = 700

#: Tenants with the same template share what is rendered: (template, entity, scope), style, block or record.
_CacheKey = tuple[ListKey, int, int | Item]


class _Rendered:
    """Neighbouring rows as JSON, in one piece: rows kept one by one cost several times their length."""

    __slots__ = ("_starts", "body")

    def __init__(self, rows: list[bytes]) -> None:
        self.body = b",".join(rows)
        # One more than there are rows; each start is one comma after the row before.
        self._starts = array("I", accumulate((len(row) + 1 for row in rows), initial=0))

    def part(self, first: int, last: int) -> bytes:
        """The rows from `first` up to `last`, with the commas between them."""
        return self.body[self._starts[first] : self._starts[last] - 1]

    def rows(self, first: int, last: int) -> list[bytes]:
        """The same, each by itself."""
        return [self.part(number, number + 1) for number in range(first, last)]

    def __len__(self) -> int:
        return len(self._starts) - 1


class _Read(NamedTuple):
    """What a request gets: pieces of JSON to be joined by commas, how many rows are in them, how many match."""

    pieces: list[bytes]
    rows: int
    total: int


class Pages:
    """Answers the list methods of the API from a world."""

    def __init__(self, world: World, cache_bytes: int = 64 << 20) -> None:
        self.world = world
        self._cache_bytes = cache_bytes
        self._cached_bytes = 0
        self._blocks: OrderedDict[_CacheKey, _Rendered] = OrderedDict()
        self._styles: dict[Style, int] = {}
        #: Rows rendered since the start; tests of the cost of a page look at it.
        self.rendered = 0

    def answer(
        self, tenant_id: str, method: str, query: Query, switches: Switches, style: Style, *, as_json: bool
    ) -> Answer:
        """The answer to one read. Raises RefusedError for what the ERP would refuse."""
        if method in protocol.LISTS:
            read = self._page(tenant_id, method, query, switches, style, single=not as_json)
        else:
            records = self._storefronts(tenant_id)
            rows = [record.encode(one, style) for one in records[: query.top]]
            read = _Read(rows, len(rows), len(records))
        if switches.unordered:
            read.pieces.sort(key=crc32)
        if not as_json:
            return answers.atom(read.pieces)
        return answers.envelope(
            read.pieces, read.rows, read.total if switches.count_total else read.rows, switches
        )

    def _page(
        self, tenant_id: str, name: str, query: Query, switches: Switches, style: Style, *, single: bool
    ) -> _Read:
        method = protocol.LISTS[name]
        scope = query.number(method.scope) if method.scope else None
        if method.scope and scope is None:
            raise RefusedError(400, f"Parameter {method.scope} is required in millenium_eco.{name}")
        # Every parameter is read first: a wrong one is refused even where there is nothing to list.
        wanted = query.number(method.key)
        trans_id = query.number("trans_id")
        since = query.moment_ms(method.since) if method.since else None
        # A date is compared by the second.
        since = None if since is None else since // 1000 * 1000
        overlay = self.world.list_of(tenant_id, method.entity, scope)
        if overlay is None:
            return _Read([], 0, 0)
        start = 0
        if trans_id is not None and trans_id > 0:
            start = overlay.first_place(trans_id, exclusive=switches.exclusive)
        if since is not None:
            start = max(start, overlay.first_changed_since(since))
        key = (self.world.population.template_of(tenant_id), method.entity, scope)
        number = self._styles.setdefault(style, len(self._styles))
        if wanted is not None:
            items = _narrowed(overlay, wanted, start)
            found = [self._row(key, number, overlay, item, style).body for item in items]
            return _Read(found, len(found), len(found))
        total = len(overlay) - start
        start, stop = _cut(start, len(overlay), query, switches)
        spans = self._spans(key, number, overlay, start, stop, style)
        if single or switches.unordered or switches.duplicate_rate:
            pieces = [row for rendered, first, last in spans for row in rendered.rows(first, last)]
            if switches.duplicate_rate:
                doubled = _doubled(pieces, switches.duplicate_rate, overlay.listing.salt + start)
                pieces = doubled[: _most_rows(query, switches)]
            rows = len(pieces)
        else:
            pieces = [rendered.part(first, last) for rendered, first, last in spans]
            rows = max(stop - start, 0)
        self.world.page_served((tenant_id, method.entity, scope), rows)
        return _Read(pieces, rows, total)

    def _spans(
        self, key: ListKey, number: int, overlay: Overlay, start: int, stop: int, style: Style
    ) -> Iterator[tuple[_Rendered, int, int]]:
        """The rows of these places, as parts of what is kept rendered."""
        for run in overlay.runs(start, stop):
            for block in range(run.start // _BLOCK, -(-run.stop // _BLOCK)):
                first = block * _BLOCK
                rendered = self._block(key, number, block, overlay.listing, style)
                yield rendered, max(run.start - first, 0), min(run.stop - first, len(rendered))
        for item in overlay.moved(start, stop):
            yield self._row(key, number, overlay, item, style), 0, 1

    def _block(self, key: ListKey, number: int, block: int, listing: Listing, style: Style) -> _Rendered:
        rendered = self._cached((key, number, block))
        if rendered is None:
            indices = range(block * _BLOCK, min((block + 1) * _BLOCK, listing.size))
            rows = [_rendered(listing, listing.item(index), style) for index in indices]
            rendered = self._keep((key, number, block), rows)
        return rendered

    def _row(self, key: ListKey, number: int, overlay: Overlay, item: Item, style: Style) -> _Rendered:
        rendered = self._cached((key, number, item))
        if rendered is None:
            rendered = self._keep((key, number, item), [_rendered(overlay.listing, item, style)])
        return rendered

    def _cached(self, key: _CacheKey) -> _Rendered | None:
        rendered = self._blocks.get(key)
        if rendered is not None:
            self._blocks.move_to_end(key)
        return rendered

    def _keep(self, key: _CacheKey, rows: list[bytes]) -> _Rendered:
        self.rendered += len(rows)
        rendered = self._blocks[key] = _Rendered(rows)
        self._cached_bytes += len(rendered.body) + _ENTRY_BYTES
        while self._cached_bytes > self._cache_bytes:
            _, oldest = self._blocks.popitem(last=False)
            self._cached_bytes -= len(oldest.body) + _ENTRY_BYTES
        return rendered

    def _storefronts(self, tenant_id: str) -> list[record.Record]:
        return [
            {
                "vitrine": vitrine,
                "cod_vitrine": f"{number:02d}",
                "descricao": f"LOJA VIRTUAL {number} ",
                "tabela": 1,
                "desc_tabela": "0001 - TABELA PADRÃO",
                "trans_id": 900 + number,
            }
            for number, vitrine in enumerate(self.world.population.vitrine_ids(tenant_id), start=1)
        ]


def _rendered(listing: Listing, item: Item, style: Style) -> bytes:
    return record.encode(listing.record(item, style), style, item.version)


def _cut(start: int, size: int, query: Query, switches: Switches) -> tuple[int, int]:
    """Where a page begins and ends, with all that servers do to it."""
    if switches.repeat_rows and start > 0:
        start = max(start - switches.repeat_rows, 0)
    if switches.stuck_at:
        start = min(start, switches.stuck_at)
    if switches.honour_skip:
        start = min(start + query.skip, size)
    most = _most_rows(query, switches)
    return start, size if most is None else min(size, start + most)


def _most_rows(query: Query, switches: Switches) -> int | None:
    """Where an answer is cut; None for nowhere."""
    return min((limit for limit in (query.top, switches.top_max) if limit), default=None)


def _doubled(rows: list[bytes], rate: float, salt: int) -> list[bytes]:
    """Some rows twice, as a join does it; where the answer is cut they push others out."""
    return [row for number, row in enumerate(rows) for row in [row] * (1 + falls(salt, number, rate))]


def _narrowed(overlay: Overlay, wanted: int, start: int) -> list[Item]:
    """The records that a key asks for, of those at or after a place."""
    found = [item for item in map(overlay.item, overlay.listing.indices_of_key(wanted)) if item is not None]
    found.sort(key=lambda item: (item.trans_id, item.index))
    if start == 0:
        return found
    if start >= len(overlay):
        return []
    first = overlay.item(overlay.index_at(start))
    if first is None:
        raise RuntimeError("a record that is gone has a place")
    return [item for item in found if (item.trans_id, item.index) >= (first.trans_id, first.index)]


def style_of(
    query: Query, switches: Switches, *, iso_header: bool, upper_header: bool, as_json: bool
) -> Style:
    """How the answer to a request is to be written."""
    style = style_of_server(switches, as_json=as_json)._replace(prices=query.flag("lista_preco"))
    if switches.dates == "asked" and (iso_header or query.options.get("$dateformat", "").lower() == "iso"):
        style = style._replace(dates="iso")
    return style._replace(keys="upper") if upper_header else style


def unknown_parameters(target: Target, switches: Switches) -> set[str]:
    """The parameters that a tenant's server does not know although others do."""
    method: Method | None = protocol.LISTS.get(target.method)
    unknown = {switches.unknown_parameter.lower()}
    branches = method is not None and method.entity == "branches"
    if switches.no_trans_id or (branches and not switches.branch_trans_id):
        unknown.add("trans_id")
    return unknown
