"""What passes cleaning PostgreSQL never refuses: whole pages of any content, committed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsync.entity import Entity
from streamsync.erp.millennium.decode import records_of
from streamsync.store.commit import Claim, commit
from streamsync.store.pool import Database
from streamsync.sync.clean import Cleaner
from tests.integration.store.helpers import add_job, add_shops, admit, claim_of
from tests.pages import ENTITIES, Page, pages


class Committer:
    """Commits pages to a database of its own, from tests that are not async."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._database = Database(url, max_size=1)
        self._claim: Claim | None = None

    async def _open(self) -> Claim:
        await self._database.__aenter__()
        await add_shops(self._database, "a")
        return claim_of(await admit(self._database, await add_job(self._database, "a")))

    async def _commit(self, page: Page) -> None:
        cleaner = Cleaner(page.entity, "901" if page.entity.scope_column else "")
        unit = cleaner.new_unit(1)
        cleaner.add(unit, records_of(page.body))
        claim = self._claim or await self._open()
        await commit(self._database, claim, unit)
        self._claim = replace(claim, commits=claim.commits + 1)

    def commit(self, page: Page) -> None:
        """Raises whatever the commit raises."""
        self._runner.run(self._commit(page))

    def close(self) -> None:
        """Close connections and loop."""
        self._runner.run(self._database.__aexit__(None, None, None))
        self._runner.close()


@pytest.fixture(scope="module")
def committer(databases: Any, migrated_template: str) -> Iterator[Committer]:
    """One for the module: that pages change each other's rows is as it should be."""
    name = databases.create(migrated_template)
    opened = Committer(databases.url(name))
    yield opened
    opened.close()
    databases.drop(name)


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_passes_cleaning_postgresql_takes(
    committer: Committer, entity: Entity, data: st.DataObject
) -> None:
    """NUL, surrogates, numbers of any size, dates of any year, keys of any length, depth: no page fails there."""
    committer.commit(data.draw(pages(entity)))
