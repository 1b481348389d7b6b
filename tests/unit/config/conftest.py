"""An empty world: no TOML file in the current directory, no secrets directory of the machine's."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def empty_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test runs in an empty folder, and the machine's /run/secrets is out of sight."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("streamsync.config.sources.DEFAULT_SECRETS_DIR", str(tmp_path / "no-secrets"))
    return tmp_path
