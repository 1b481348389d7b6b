"""What a connector is: pages of raw records of an entity and scope since a cursor.

A third party registers a connector through the entry-point group `streamsync.connectors`; the value is a
callable like `Millennium` in `erp/millennium/connector.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import entry_points
from types import TracebackType
from typing import Any, Final, Protocol, Self

from streamsync.entity import Entity
from streamsync.erp.http import ErpHttp
from streamsync.errors import PermanentError

#: Entry-point group of third parties' connectors.
GROUP: Final = "streamsync.connectors"


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one tenant's ERP. The password never shows in a repr."""

    tenant_id: str
    base_url: str
    auth_mode: str
    username: str
    password: str = field(repr=False)
    vitrines: tuple[int, ...] = ()
    branches: tuple[int, ...] = ()
    cursor_mode: str = "trans_id"
    app_name: str | None = None
    licence_type: str | None = None


class CursorKind(StrEnum):
    """What an entity's cursor counts. Values are kept in `sync_state.cursor_mode`."""

    TRANS_ID = "trans_id"  #: the ERP's counter of changes
    DATE = "date"  #: ms since 1970 of the last change; the ERP compares whole seconds
    LIST = "list"  #: there is none: the whole list is read each time

    @property
    def step(self) -> int:
        """How far a request overlaps the cursor."""
        return 1000 if self is CursorKind.DATE else 1


@dataclass(frozen=True, slots=True)
class Page:
    """A page of raw records; `cursor` is the highest one among them, None for an empty page or a list."""

    records: Sequence[Mapping[str, Any]]
    cursor: int | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Scopes:
    """What an entity is read per. `all_there_are`: the ERP lists no others; what was read before has vanished."""

    names: Sequence[str]
    all_there_are: bool = False


class SessionStore(Protocol):
    """Keeps the id of the session that one sync opens, so that another can close it should this one die."""

    async def stored(self) -> tuple[str, str] | None:
        """(base URL, session id) that the credential's last user left open. Raises StoreUnavailable."""
        ...

    async def store(self, session: str) -> None:
        """Remember a session before its first use. Raises LostLock, StoreUnavailable: then do not use it."""
        ...

    async def forget(self) -> None:
        """What was stored, or found, last is closed. Raises StoreUnavailable."""
        ...


class Connector(Protocol):
    """One tenant's ERP during one sync, used as `async with connector:`; whatever it opened ends with that."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def entity(self, name: str) -> Entity:
        """The declaration of an entity. Raises PermanentError(`unknown_entity`)."""
        ...

    async def scopes(self, entity: Entity) -> Scopes:
        """What the entity is read per: ids of storefronts or branches, or one empty name."""
        ...

    def cursor_kind(self, entity: Entity) -> CursorKind:
        """By what this tenant's ERP is asked for changes of the entity."""
        ...

    async def page(self, entity: Entity, scope: str, cursor: int, size: int | None) -> Page:
        """Records changed at or after `cursor`, at most `size` (None: all there are), in the ERP's order."""
        ...


class ConnectorFactory(Protocol):
    """Makes a connector for one sync."""

    def __call__(self, access: Access, http: ErpHttp, sessions: SessionStore) -> Connector: ...


def find_connector(name: str) -> ConnectorFactory:
    """The connector of that name. Raises PermanentError(`unknown_connector`)."""
    if name == "millennium":
        from streamsync.erp.millennium.connector import Millennium

        return Millennium
    for entry in entry_points(group=GROUP, name=name):
        factory: ConnectorFactory = entry.load()
        return factory
    raise PermanentError(
        "unknown_connector", f"no connector is called {name!r}; registered ones are in group {GROUP}"
    )
