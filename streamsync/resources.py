"""Finds `lua/` and `sql/`: in the checkout first (edits count at once), else inside the installed package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent
_ROOT = (
    _CHECKOUT if (_CHECKOUT / "lua").is_dir() and (_CHECKOUT / "sql").is_dir() else _PACKAGE / "_resources"
)


def lua_dir() -> Path:
    """The folder of the Lua scripts."""
    return _ROOT / "lua"


def sql_dir() -> Path:
    """The folder that holds `migrations/`, `queries/` and `audit/`."""
    return _ROOT / "sql"
