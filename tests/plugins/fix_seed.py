"""One seed for all of a run's random choices, shown in the report header."""

from __future__ import annotations

import os
import random

import pytest

_SEED = pytest.StashKey[int]()


def seed_of(config: pytest.Config) -> int:
    """The run's seed: STREAMSYNC_TEST_SEED, else a random one."""
    if _SEED not in config.stash:
        given = os.environ.get("STREAMSYNC_TEST_SEED")
        config.stash[_SEED] = int(given) if given else random.SystemRandom().randrange(2**32)
    return config.stash[_SEED]


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """The run's seed."""
    return seed_of(pytestconfig)


@pytest.fixture
def rng(seed: int, request: pytest.FixtureRequest) -> random.Random:
    """Randomness for one test: the same for the same seed, whichever other tests run."""
    return random.Random(f"{seed} {request.node.nodeid}")
