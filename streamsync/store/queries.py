"""Loads `sql/queries/*.sql`: blocks that start with `-- name: x`, into typed statements by name."""

from __future__ import annotations

import re
from functools import cache
from typing import LiteralString, cast

from streamsync.resources import sql_dir

_BLOCK = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)


@cache
def load(file: str) -> dict[str, LiteralString]:
    """All named queries of one file. Raises ValueError for a name given twice."""
    text = (sql_dir() / "queries" / f"{file}.sql").read_text(encoding="utf-8")
    found: dict[str, LiteralString] = {}
    for name, body in _BLOCK.findall(text):
        if name in found:
            raise ValueError(f"sql/queries/{file}.sql names {name} twice")
        # The text comes from our own files, not from input: that is what LiteralString promises.
        found[name] = cast("LiteralString", body.strip().removesuffix(";"))
    return found


def query(file: str, name: str) -> LiteralString:
    """One named query, e.g. `query("claim", "admit")`."""
    return load(file)[name]
