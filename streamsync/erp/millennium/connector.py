"""Linx e-Millennium (`millenium_eco`): one tenant's ERP during one sync. Calls are strictly sequential."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final

from streamsync.entity import Entity, Scope
from streamsync.erp.connector import Access, Page, SessionStore
from streamsync.erp.http import ErpHttp, host_of
from streamsync.erp.millennium.customers import CUSTOMERS
from streamsync.erp.millennium.decode import records_of
from streamsync.erp.millennium.products import PRODUCTS
from streamsync.erp.millennium.session import session_of
from streamsync.errors import PermanentError, TransientError

_ENTITIES: Final = {entity.name: entity for entity in (CUSTOMERS, PRODUCTS)}

#: From this size on decoding leaves the event loop, so that heartbeats are not starved.
_DECODE_IN_THREAD_BYTES: Final = 256 * 1024

_BIGINT: Final = 2**63


class Millennium:
    """A `Connector`."""

    def __init__(self, access: Access, http: ErpHttp, sessions: SessionStore | None = None) -> None:
        self._access = access
        self._http = http
        self._host = host_of(access.base_url)
        self._session = session_of(access, http, sessions)

    async def __aenter__(self) -> Millennium:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    def entity(self, name: str) -> Entity:
        """The declaration of an entity. Raises PermanentError(`unknown_entity`)."""
        try:
            return _ENTITIES[name]
        except KeyError:
            known = ", ".join(_ENTITIES)
            raise PermanentError(
                "unknown_entity", f"Millennium has no entity {name!r}; known: {known}"
            ) from None

    async def scopes(self, entity: Entity) -> Sequence[str]:
        """The storefronts named at the tenant, else all that the ERP lists."""
        if entity.scope is Scope.ERP:
            return [""]
        if self._access.vitrines:
            return [str(vitrine) for vitrine in self._access.vitrines]
        records, _ = await self._records("vitrine/listatabelas", {})
        scopes = sorted({row["vitrine"] for row in records if isinstance(row.get("vitrine"), int)})
        if not scopes:
            raise TransientError("erp_no_vitrine", f"{self._host} lists no storefront for this user")
        return [str(scope) for scope in scopes]

    async def page(self, entity: Entity, scope: str, cursor: int, size: int) -> Page:
        """Rows from `cursor` on; the server cuts at `$top` in silence."""
        parameters = dict(entity.parameters) | {"trans_id": str(cursor), "$top": str(size)}
        if entity.scope is not Scope.ERP:
            parameters[entity.scope.value] = scope
        records, size_bytes = await self._records(entity.method, parameters)
        # A number beyond 64 bits is its record's fault (it is quarantined) and must not become the cursor.
        seen = [
            number
            for row in records
            if type(number := row.get("trans_id")) is int and -_BIGINT <= number < _BIGINT
        ]
        if records and not seen:
            raise TransientError("erp_garbage", f"{entity.method}: no row carries a trans_id")
        return Page(records, max(seen, default=None), size_bytes)

    async def _records(self, method: str, parameters: Mapping[str, str]) -> tuple[list[dict[str, Any]], int]:
        answer = await self._session.get(method, parameters)
        if len(answer.body) >= _DECODE_IN_THREAD_BYTES:
            return await asyncio.to_thread(records_of, answer.body), len(answer.body)
        return records_of(answer.body), len(answer.body)
