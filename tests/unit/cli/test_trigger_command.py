"""`streamsync trigger`: what it refuses before it talks to any server."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from streamsync.cli.main import cli


@pytest.mark.parametrize(
    "options", [[], ["--full"], ["--tenant", "shop-1"]], ids=["alone", "for all shops", "without a full read"]
)
def test_deletions_are_accepted_for_named_shops_and_full_reads_only(options: list[str]) -> None:
    """One line says what goes with it; nobody accepts the deletions of all shops by a slip."""
    result = CliRunner().invoke(cli, ["trigger", "customers", "--accept-deletions", *options])
    assert result.exit_code != 0
    assert "--accept-deletions: goes with --full and --tenant ID" in result.output
    assert "Traceback" not in result.output
