"""A migrated database, opened."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from streamsync.store.pool import Database


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The test's own database, as the ordinary role."""
    async with Database(database_url) as opened:
        yield opened
