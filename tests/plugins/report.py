"""Says at the top of each run what it runs on."""

from __future__ import annotations

import pytest

from tests.plugins.fix_seed import seed_of
from tests.plugins.servers import Choice


def pytest_configure(config: pytest.Config) -> None:
    """Choose the servers now: a wrong setting is one message, not an error per test."""
    Choice.of(config)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Versions of the servers, and the seed that repeats this run's random choices."""
    choice = Choice.of(config)
    return [
        f"servers: {choice.redis.description}, {choice.postgres.description}",
        f"seed: {seed_of(config)} (repeat with STREAMSYNC_TEST_SEED={seed_of(config)})",
    ]
