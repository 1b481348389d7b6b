"""The simulated ERP in the test's own event loop.

A test (or a module) that needs another population overrides `simulator_population`; one that needs another
behaviour sets it at run time with `simulator.admin.switch(...)`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from streamsync.simulator.data import Population
from streamsync.simulator.server import Simulator, build_app, serve


@pytest.fixture
def simulator_population() -> Population:
    """Small shops of equal size."""
    return Population(seed=7, customers_per_tenant=60, products_per_tenant=40, fixed_sizes=True)


@pytest_asyncio.fixture
async def simulator(simulator_population: Population) -> AsyncIterator[Simulator]:
    """A simulator on a free port, stopped at the test's end whatever it still holds."""
    async with serve(build_app(simulator_population)) as running:
        yield running
