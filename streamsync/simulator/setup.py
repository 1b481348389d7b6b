"""How a simulator is to behave from its start: switches, tenants that differ, faults; from options and a file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from streamsync.simulator.faults import Fault, fault_of
from streamsync.simulator.switches import check, switches_of, takes_text

_PARTS: Final = ("switches", "tenants", "faults")


@dataclass(frozen=True, slots=True)
class Setup:
    """`switches` for all tenants, `tenants`: what single ones have otherwise, `faults` in force."""

    switches: Mapping[str, object] = field(default_factory=dict)
    tenants: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


def switch_of(text: str) -> tuple[str, object]:
    """A switch from `name=value`; a name alone is true. Raises ValueError for what is no switch."""
    name, _, value = text.partition("=")
    # JSON covers true, 3 and 0.5; texts are themselves.
    read: object = value if takes_text(name) else _json(value or "true", f"switch {name}")
    check(name, read)
    return name, read


def read_setup(path: Path) -> Setup:
    """Read a TOML or JSON file: a table `switches`, a table `tenants` of such, a list `faults`.

    Raises ValueError for what it cannot mean, OSError for a file that cannot be read.
    """
    body = path.read_bytes()
    content = tomllib.loads(body.decode()) if path.suffix == ".toml" else _json(body, path.name)
    if not isinstance(content, dict) or set(content) - set(_PARTS):
        raise ValueError(f"{path.name}: it takes {', '.join(_PARTS)}")
    switches, tenants, faults = (
        content.get(part, kind()) for part, kind in zip(_PARTS, (dict, dict, list), strict=True)
    )
    if not (isinstance(switches, dict) and isinstance(tenants, dict) and isinstance(faults, list)):
        raise ValueError(f"{path.name}: switches and tenants are tables, faults a list")
    if not all(isinstance(changes, dict) for changes in tenants.values()):
        raise ValueError(f"{path.name}: each tenant has a table of switches")
    for changes in (switches, *tenants.values()):
        switches_of(changes)
    return Setup(switches, tenants, tuple(map(fault_of, faults)))


def setup_of(path: Path | None, switches: Iterable[tuple[str, object]], faults: Iterable[Fault]) -> Setup:
    """The file's setup, if there is one, and what the options say besides or instead."""
    base = Setup() if path is None else read_setup(path)
    return Setup({**base.switches, **dict(switches)}, base.tenants, (*base.faults, *faults))


def _json(text: str | bytes, what: str) -> object:
    try:
        read: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{what}: {error}") from error
    return read
