"""Reading one entity and scope from a cursor to its end: which request comes next, and when it is over.

The ERP cuts an answer at `$top` and says nothing. So a request overlaps the cursor by one step, which brings
records that share its value again (right for servers that include the cursor and for those that exclude it),
and the end is an empty answer or one without progress. A *full* answer without progress means more records of
one value than `$top`: it is asked for again with a larger one.

Some servers cut at a size of their own, below `$top`. An end that looks like such a cut is not believed: what
lies behind it is asked for, and if there is something that the overlapping request still does not show, the
records between cannot be read, which is an error and not silence.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from streamsync.entity import Entity
from streamsync.erp.connector import Connector, CursorKind, Page
from streamsync.errors import TransientError

#: A full answer without progress doubles `$top` up to this; beyond, the ERP's cursor is stuck.
MAX_PAGE_SIZE: Final = 64_000

#: No server is known to cut at fewer rows than this (25 is the smallest default seen).
_SMALLEST_CUT: Final = 20

#: So many answers in a row that are too short to have been cut are the end, though each brought something new: an
#: ERP that changes a record per request would never let a read end.
_TAIL: Final = 5


class _Step(Enum):
    """What the next request is for."""

    READ = "read"
    PROBE = "probe"  #: is there anything behind what looks like the end?
    CONFIRM = "confirm"  #: there was: does the overlapping request show it now?
    OVER = "over"


class Reader:
    """Reads pages until the end. After each `next()` the attributes say where the read stands."""

    def __init__(self, connector: Connector, entity: Entity, scope: str, cursor: int, size: int) -> None:
        self._connector = connector
        self._entity = entity
        self._scope = scope
        self._kind = connector.cursor_kind(entity)
        self._size = size
        self._step = _Step.READ
        #: Sizes of answers that were shorter than asked for and yet not the last.
        self._cuts: set[int] = set()
        self._last_short: int | None = None
        self._tail = 0
        #: Where the next read goes on; grows with each page that makes progress.
        self.cursor = cursor
        #: Whether the last page made progress.
        self.moved = False
        #: Whether the read has ended without any sign that the server kept something back.
        self.complete = False

    async def next(self) -> Page | None:
        """The next page; None at the end. Raises what the connector raises, and TransientError
        (`erp_cursor_stuck`) where larger pages do not help."""
        if self._step is _Step.OVER:
            return None
        if self._kind is CursorKind.LIST:
            self._step, self.complete = _Step.OVER, True
            page = await self._connector.page(self._entity, self._scope, 0, None)
            self.moved = bool(page.records)
            return page if page.records else None
        overlap = self._kind.step if self._step is _Step.PROBE else -self._kind.step
        asked = self._size
        page = await self._connector.page(self._entity, self._scope, max(self.cursor + overlap, 0), asked)
        rows = len(page.records)
        self.moved = page.cursor is not None and page.cursor > self.cursor
        if self._step is _Step.PROBE:
            return self._probed(page)
        if page.cursor is None:
            # Nothing at all is an end only at the beginning. Later the overlap should have come again: either its
            # records went just now, or the server had a bad moment, and nobody can tell the two apart.
            self._step, self.complete = _Step.OVER, self.cursor == 0
            return None
        if self.moved:
            if self._last_short is not None and self._step is _Step.READ:
                self._cuts.add(self._last_short)
            self.cursor = page.cursor
            self._step = _Step.READ
            self._tail = self._tail + 1 if rows < min(_SMALLEST_CUT, asked) else 0
            if self._tail == _TAIL:
                self._step, self.complete = _Step.OVER, True
        elif rows >= asked:
            self._size *= 2
            if self._size > MAX_PAGE_SIZE:
                raise self._stuck("repeats full pages without moving its cursor")
        elif self._step is _Step.CONFIRM:
            raise self._stuck(f"shows {rows} rows at most, and more share one cursor value")
        elif rows >= _SMALLEST_CUT or rows in self._cuts:
            self._step = _Step.PROBE
        else:
            self._step, self.complete = _Step.OVER, True
        self._last_short = rows if rows < asked else None
        return page

    def _probed(self, page: Page) -> Page | None:
        """Nothing behind: that was the end, though the last cursor value's records may have been cut. Something:
        it is not taken from here, for a change may have brought it just now. As much as before, and nothing of
        it new: the server does not heed the cursor."""
        if not self.moved:
            if page.records and len(page.records) == self._last_short:
                raise self._stuck("answers the same whatever the cursor")
            self._step = _Step.OVER
            self.complete = self._last_short not in self._cuts and not page.records
            return None
        self.moved = False
        self._step = _Step.CONFIRM
        return Page((), self.cursor, page.size_bytes)

    def _stuck(self, what: str) -> TransientError:
        return TransientError("erp_cursor_stuck", f"{self._entity.method} {what}")
