"""Each script says in its header what it is given, what it answers and why it is a script; and says the truth."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from streamsync.queue import scripts
from streamsync.resources import lua_dir

SCRIPTS = sorted(lua_dir().glob("*.lua"))

#: `KEYS[3]  name` or `KEYS[3…] name`.
_DECLARATION = re.compile(r"(KEYS|ARGV)\[(\d+)(…?)\]\s+\S")
_FIELD = re.compile(r"([A-Z][A-Za-z ]*?)(?::|\s{2}|\[)")
_USE = re.compile(r"\b(KEYS|ARGV)\[([^\]]+)\]")
#: A loop over all arguments from the n-th on.
_LOOP = re.compile(r"for (\w+) = (\d+), #ARGV, (\d+) do")


@dataclass(frozen=True)
class Script:
    """A script, taken apart."""

    name: str
    header: list[str]
    body: str

    @classmethod
    def read(cls, path: Path) -> Script:
        """Header: the comment lines at the top, without their dashes."""
        lines = path.read_text(encoding="utf-8").splitlines()
        length = next(n for n, line in enumerate(lines) if not line.startswith("--"))
        code = "\n".join(line for line in lines[length:] if not line.lstrip().startswith("--"))
        return cls(path.stem, [line.removeprefix("--").strip() for line in lines[:length]], code)

    def declared(self, table: str) -> dict[int, bool]:
        """Number → whether it means "from here on"."""
        found = {}
        for line in self.header:
            match = _DECLARATION.match(line)
            if match and match[1] == table:
                found[int(match[2])] = bool(match[3])
        return found

    def used(self, table: str) -> set[str]:
        """What stands between the brackets in the body."""
        return {index for name, index in _USE.findall(self.body) if name == table}


def read_all() -> list[Script]:
    """All scripts."""
    return [Script.read(path) for path in SCRIPTS]


pytestmark = pytest.mark.parametrize("script", read_all(), ids=lambda script: script.name)


def test_the_header_begins_with_the_file_name(script: Script) -> None:
    """The first word is the file's name, and a sentence follows."""
    name, _, sentence = script.header[0].partition(": ")
    assert name == f"{script.name}.lua"
    assert sentence.endswith(".")


@pytest.mark.parametrize("field", ["KEYS", "ARGV", "Returns", "Atomic because", "Bounded by"])
def test_required_fields(script: Script, field: str) -> None:
    """What it is given, what it answers, why it is atomic and what bounds it."""
    fields = [match[1] for line in script.header[1:] if (match := _FIELD.match(line))]
    assert field in fields


@pytest.mark.parametrize("table", ["KEYS", "ARGV"])
def test_declarations_are_numbered_without_gap(script: Script, table: str) -> None:
    """Numbers run from 1, and only the last may mean "from here on"."""
    declared = script.declared(table)
    assert list(declared) == list(range(1, len(declared) + 1))
    assert not any(list(declared.values())[:-1])


@pytest.mark.parametrize("table", ["KEYS", "ARGV"])
def test_what_is_used_is_declared(script: Script, table: str) -> None:
    """Each numbered use is declared as one; each computed use belongs to a "from here on"."""
    declared = script.declared(table)
    for index in script.used(table):
        if index.isdigit():
            assert int(index) in declared
        else:
            assert any(declared.values()), f"{table}[{index}] without a declaration that ends in …"


@pytest.mark.parametrize("table", ["KEYS", "ARGV"])
def test_what_is_declared_is_used(script: Script, table: str) -> None:
    """Each single one is used by its number; each "from here on" is reached by a loop that begins there."""
    used = script.used(table)
    loops = {name: int(start) for name, start, _ in _LOOP.findall(script.body)}
    for number, open_ended in script.declared(table).items():
        if not open_ended:
            assert str(number) in used
        elif table == "ARGV":
            starts = {start for name, start in loops.items() if any(re.match(rf"{name}\b", i) for i in used)}
            # or counted: `ARGV[3 + i]` for i from 1
            starts |= {int(m[1]) + 1 for i in used if (m := re.fullmatch(r"(\d+) \+ \w+", i))}
            assert number in starts
        else:
            first = {int(m[1]) for i in used if (m := re.match(r"(\d+) \+ \(", i))}
            assert number in first


def test_groups_of_arguments_are_as_long_as_said(script: Script) -> None:
    """A header that speaks of pairs or quadruples has a loop of that step."""
    said = " ".join(script.header)
    steps = {int(step) for _, _, step in _LOOP.findall(script.body)}
    for word, step in (("pairs of:", 2), ("quadruples of:", 4)):
        assert (word in said) == (step in steps)


def test_nothing_unbounded_is_called(script: Script) -> None:
    """No script walks over all keys, and none blocks the server on purpose."""
    commands = set(re.findall(r"redis\.p?call\('(\w+)'", script.body))
    assert commands
    assert not commands & {"KEYS", "SCAN", "FLUSHDB", "FLUSHALL", "SORT", "EVAL"}


def test_keys_come_only_from_keys(script: Script) -> None:
    """No key is spelled in a script: on a cluster it would be in the wrong place."""
    assert "streamsync:" not in script.body
    assert "{" not in re.sub(r"(?:local \w+ =|return) \{[^}]*\}", "", script.body)


def test_a_typed_caller_exists(script: Script) -> None:
    """streamsync/queue/scripts.py calls the script by its name, from one function with a return type."""
    tree = ast.parse(Path(scripts.__file__).read_text(encoding="utf-8"))
    callers = [
        function
        for function in ast.walk(tree)
        if isinstance(function, ast.AsyncFunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "_eval"
        and isinstance(call.args[1], ast.Constant)
        and call.args[1].value == script.name
    ]
    assert len(callers) == 1
    assert callers[0].returns is not None


def test_the_answer_codes_are_told(script: Script) -> None:
    """Every code that the script can answer with stands in its header."""
    codes = set(re.findall(r"\b(?:code = (?:held and )?|return )(-?\d+)\b", script.body))
    said = " ".join(script.header)
    for code in codes:
        assert re.search(rf"(?<![\w-]){re.escape(code)} ", said), code
