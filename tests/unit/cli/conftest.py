"""Commands run in an empty folder, without a setting in the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamsync.config.registry import KNOWN_VARIABLES


@pytest.fixture(autouse=True)
def empty_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No TOML file, no secrets directory, and none of our variables but those that steer the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("streamsync.config.sources.DEFAULT_SECRETS_DIR", str(tmp_path / "no-secrets"))
    for name in list(os.environ):
        ours = name.startswith(("ERP_SYNC_", "STREAMSYNC_")) and not name.startswith("STREAMSYNC_TEST_")
        if ours or name in KNOWN_VARIABLES:
            monkeypatch.delenv(name)
    return tmp_path
