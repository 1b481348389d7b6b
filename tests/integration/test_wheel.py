"""The built wheel carries everything: installed into a clean environment it runs what needs lua/ and sql/."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

import streamsync
from streamsync import resources

_ROOT = Path(__file__).resolve().parents[2]

#: Lists what the installed package sees; -I keeps the checkout out of its path.
_LIST = """
from streamsync import resources
for folder in (resources.lua_dir(), resources.sql_dir()):
    assert "site-packages" in str(folder), folder
    print(*sorted(p.relative_to(folder) for p in folder.rglob("*.*") if p.suffix in (".lua", ".sql")))
"""


def _run(*command: str | Path, cwd: Path, **env: str) -> str:
    """Run a command in the environment that a new user has, plus pip's own settings of this machine."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "REDIS_", "ERP_"))
    }
    result = subprocess.run(
        command, cwd=cwd, env={**kept, **env}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def _expected(folder: Path, pattern: str) -> str:
    return " ".join(str(path) for path in sorted(path.relative_to(folder) for path in folder.rglob(pattern)))


@pytest.mark.timeout(300)  # the first time pip downloads; with its cache this takes some 20 s
def test_the_wheel_brings_its_scripts_and_migrations(tmp_path: Path, empty_database_url: str) -> None:
    _run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, _ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    _run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    programs = tmp_path / "venv" / "bin"
    _run(programs / "python", "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)

    seen = _run(programs / "python", "-I", "-c", _LIST, cwd=tmp_path).splitlines()
    assert seen == [_expected(resources.lua_dir(), "*.lua"), _expected(resources.sql_dir(), "*.sql")]
    assert all(seen)

    assert streamsync.__version__ in _run(programs / "streamsync", "--version", cwd=tmp_path)
    _run(programs / "streamsync", "migrate", cwd=tmp_path, DATABASE_URL=empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        row = connection.execute("SELECT max(version) FROM schema_migration").fetchone()
    assert row == (len(list((resources.sql_dir() / "migrations").glob("*.sql"))),)
