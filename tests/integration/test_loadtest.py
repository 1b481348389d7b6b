"""The load harness runs with tiny numbers, so that it cannot rot. Nothing is said of its speed here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_the_dispatch_scenario_writes_a_complete_result(tmp_path: Path) -> None:
    """A tiny run ends with a JSON result that says what was measured, on what, and how often."""
    output = tmp_path / "dispatch.json"
    subprocess.run(
        [
            sys.executable, "-m", "loadtest", "run", "dispatch",
            "--jobs", "40", "--rounds", "2", "--concurrency", "8", "--output", str(output),
        ],
        check=True,
        capture_output=True,
        timeout=90,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    result = json.loads(output.read_text())
    assert result["scenario"] == "dispatch"
    assert result["parameters"] == {"jobs": 40, "rounds": 2, "concurrency": 8}
    assert result["machine"]["postgresql"]
    assert set(result["figures"]) == {"enqueue/s", "process/s", "client CPU s per 10,000 jobs"}
    assert all(len(figure["rounds"]) == 2 for figure in result["figures"].values())


def test_nights_of_a_few_shops_leave_every_row_right() -> None:
    """First everything, then changes, then deletions: the command compares all rows and says so by its status."""
    subprocess.run(
        [sys.executable, "-m", "loadtest", "nights", "--tenants", "2"],
        check=True,
        capture_output=True,
        timeout=110,
        cwd=Path(__file__).parents[2],
    )
