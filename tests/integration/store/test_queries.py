"""Every named query is right SQL on the migrated schema, and is used where the store says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import psycopg
import pytest

from streamsync.resources import sql_dir
from streamsync.store.queries import load
from streamsync.store.sqlstate import retry_conflicts

_STORE = Path(retry_conflicts.__code__.co_filename).parent
_QUERIES = [
    (path.stem, name) for path in sorted((sql_dir() / "queries").glob("*.sql")) for name in load(path.stem)
]


@pytest.mark.parametrize(("file", "name"), _QUERIES)
def test_a_query_prepares_on_the_migrated_schema(database_url: str, file: str, name: str) -> None:
    """Tables, columns and types exist; PostgreSQL can tell what each parameter is."""
    numbers: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        return f"${numbers.setdefault(match[1], len(numbers) + 1)}"

    text = re.sub(r"%\((\w+)\)s", number, load(file)[name]).replace("%%", "%")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"PREPARE q AS {text}".encode())


def _used() -> dict[tuple[str, str], set[str]]:
    """The modules that use each (file, name).

    Where the name is no literal, it is one of those that stand as literals elsewhere in the module.
    """
    found: dict[tuple[str, str], set[str]] = {}
    for path in sorted(_STORE.glob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        texts = [node.value for node in nodes if isinstance(node, ast.Constant)]
        for node in nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "query":
                file, name = node.args
                assert isinstance(file, ast.Constant)
                names = [name.value] if isinstance(name, ast.Constant) else texts
                for text in {
                    str(text) for text in names if names is not texts or text in load(str(file.value))
                }:
                    found.setdefault((str(file.value), text), set()).add(path.name)
    return found


def test_every_query_is_used_by_one_module_of_the_store() -> None:
    """No query is dead, none is asked for that does not exist, and each has one owner."""
    used = _used()
    assert sorted(used) == sorted(_QUERIES)
    assert {query: modules for query, modules in used.items() if len(modules) > 1} == {}


def test_queries_are_asked_for_in_the_store_only() -> None:
    """All of PostgreSQL is in one package."""
    for path in _STORE.parent.rglob("*.py"):
        if path.parent != _STORE:
            assert "streamsync.store.queries" not in path.read_text(encoding="utf-8"), path.name


def test_every_query_says_what_it_is_for() -> None:
    """The first line after the name is a comment."""
    for file, name in _QUERIES:
        assert load(file)[name].startswith("-- "), name


def test_no_query_pages_by_offset() -> None:
    """An offset costs what it skips, and skips what changes meanwhile."""
    for file, name in _QUERIES:
        assert not re.search(r"\boffset\b", load(file)[name], re.IGNORECASE), name
