"""Linx e-Millennium (`millenium_eco`): one tenant's ERP during one sync. Calls are strictly sequential."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

from streamsync.entity import Entity, FieldRejected, Reading, Scope
from streamsync.erp import values as v
from streamsync.erp.connector import Access, CursorKind, Page, Scopes, SessionStore
from streamsync.erp.http import ErpHttp, host_of
from streamsync.erp.millennium.cursors import dated, local_second, trans_ids
from streamsync.erp.millennium.decode import records_of
from streamsync.erp.millennium.entities import ENTITIES
from streamsync.erp.millennium.session import session_of
from streamsync.errors import PermanentError, TransientError

#: From this size on decoding leaves the event loop, so that heartbeats are not starved.
_DECODE_IN_THREAD_BYTES: Final = 256 * 1024


class Millennium:
    """A `Connector`."""

    def __init__(self, access: Access, http: ErpHttp, sessions: SessionStore | None = None) -> None:
        self._access = access
        self._http = http
        self._host = host_of(access.base_url)
        self._session = session_of(access, http, sessions)
        #: What the ERP listed, by scope: several entities are read per storefront.
        self._listed: dict[Scope, Scopes] = {}

    async def __aenter__(self) -> Millennium:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    def entity(self, name: str) -> Entity:
        """The declaration of an entity. Raises PermanentError(`unknown_entity`)."""
        try:
            return ENTITIES[name]
        except KeyError:
            known = ", ".join(ENTITIES)
            raise PermanentError(
                "unknown_entity", f"Millennium has no entity {name!r}; known: {known}"
            ) from None

    async def scopes(self, entity: Entity) -> Scopes:
        """The storefronts or branches named at the tenant, else all that the ERP lists."""
        if entity.scope is Scope.ERP:
            return Scopes([""])
        if entity.scope is Scope.VITRINE:
            named, method, key = self._access.vitrines, "vitrine/listatabelas", "vitrine"
        else:
            named, method, key = self._access.branches, "filiais/lista_simples", "filial"
        if named:
            return Scopes([str(number) for number in named])
        if entity.scope not in self._listed:
            self._listed[entity.scope] = await self._list_scopes(method, key)
        return self._listed[entity.scope]

    async def _list_scopes(self, method: str, key: str) -> Scopes:
        records, _ = await self._records(method, {})
        scopes = set()
        for row in records:
            try:
                scopes.add(v.integer(row.get(key)))
            except FieldRejected:
                scopes.add(None)
        readable = sorted(number for number in scopes if number is not None)
        if not readable:
            raise TransientError(f"erp_no_{key}", f"{self._host}: {method} lists none for this user")
        # Where an id cannot be read, nobody knows whose it is: then none has vanished.
        return Scopes([str(number) for number in readable], all_there_are=None not in scopes)

    def cursor_kind(self, entity: Entity) -> CursorKind:
        """trans_id, unless the tenant's server has none: then the date of change, or the whole list."""
        if entity.reading is Reading.LIST:
            return CursorKind.LIST
        if self._access.cursor_mode == CursorKind.TRANS_ID:
            return CursorKind.TRANS_ID
        return CursorKind.DATE if entity.date_parameter else CursorKind.LIST

    async def page(self, entity: Entity, scope: str, cursor: int, size: int | None) -> Page:
        """Rows from `cursor` on; the server cuts at `$top` in silence."""
        kind = self.cursor_kind(entity)
        parameters = dict(entity.parameters)
        if kind is CursorKind.TRANS_ID:
            parameters["trans_id"] = str(cursor)
        elif kind is CursorKind.DATE:
            parameters[entity.date_parameter] = local_second(cursor)
        if size is not None:
            parameters["$top"] = str(size)
        if entity.scope is not Scope.ERP:
            parameters[entity.scope.value] = scope
        records, size_bytes = await self._records(entity.method, parameters)
        if kind is CursorKind.TRANS_ID:
            seen = trans_ids(records)
            if records and not seen:
                raise TransientError("erp_garbage", f"{entity.method}: no row carries a trans_id")
        else:
            seen = dated(records, entity.date_source)
            if kind is CursorKind.DATE and records and not seen:
                raise TransientError("erp_garbage", f"{entity.method}: no row carries a date of change")
        return Page(records, None if kind is CursorKind.LIST else max(seen, default=None), size_bytes)

    async def _records(self, method: str, parameters: Mapping[str, str]) -> tuple[list[dict[str, Any]], int]:
        answer = await self._session.get(method, parameters)
        if len(answer.body) >= _DECODE_IN_THREAD_BYTES:
            return await asyncio.to_thread(records_of, answer.body), len(answer.body)
        return records_of(answer.body), len(answer.body)
