"""Puts the sources together: one settings object, or one message about everything that is wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from streamsync.config.field import CONTRADICTION
from streamsync.config.messages import all_faults, got, shown
from streamsync.config.registry import SETTINGS
from streamsync.config.settings import Settings
from streamsync.config.sources import Found, Reading, read_all
from streamsync.errors import ConfigurationError

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
_ORDER: Final = {field: number for number, field in enumerate(SETTINGS)}


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, where each came from, and what looks like a slip of the pen."""

    settings: Settings
    #: By field: "environment ERP_SYNC_CONCURRENCY", "file REDIS_URL_FILE", "secrets directory",
    #: "config/streamsync.toml", "command line" or "default".
    sources: dict[str, str]
    warnings: tuple[str, ...]


def load_settings(
    environ: Mapping[str, str] | None = None,
    *,
    config_file: Path | None = None,
    overrides: Mapping[str, object] = _NOTHING,
) -> Loaded:
    """Read and check all settings.

    What counts more comes first: `overrides` (the command line, by field; None = not given), the environment,
    the file named by `NAME_FILE`, the secrets directory, the TOML file, the default.

    Raises ConfigurationError with one message that lists every setting at fault.
    """
    reading = read_all(
        os.environ if environ is None else environ, config_file=config_file, overrides=overrides
    )
    values = {field: found.value for field, found in reading.found.items()}
    settings, errors = _check(values)
    while errors:
        wrong = set()
        for error in errors:
            wrong |= _report(reading, error)
        # Contradictions are looked for only among values that are right by themselves: look again without
        # the wrong ones, so that one message tells everything.
        remaining = {field: value for field, value in values.items() if field not in wrong}
        if len(remaining) == len(values):
            break
        values = remaining
        settings, errors = _check(values)
    if settings is None or reading.faults:
        lines = [line for _, line in sorted(reading.faults, key=lambda fault: _ORDER.get(fault[0], -1))]
        # Raised outside any `except`: pydantic's error holds the raw input and must not hang on as context.
        raise ConfigurationError(all_faults(list(dict.fromkeys(lines))))
    sources = {
        field: reading.found[field].source if field in reading.found else "default" for field in SETTINGS
    }
    return Loaded(settings, sources, tuple(reading.warnings))


def _check(values: Mapping[str, object]) -> tuple[Settings | None, list[ErrorDetails]]:
    try:
        return Settings.model_validate(dict(values)), []
    except ValidationError as error:
        return None, error.errors(include_url=False, include_input=False)


def _report(reading: Reading, error: ErrorDetails) -> set[str]:
    """Put one of pydantic's errors into an operator's words. Returns the fields that are settled by it."""
    if error["type"] != CONTRADICTION:
        field = str(error["loc"][0])
        found, info = reading.found[field], SETTINGS[field]
        reason = f" ({error['ctx']['error']})" if error["type"] == "value_error" else ""
        reading.fault(
            field, f"{found.name} ({found.where}): got {got(info, found.value)}{reason}; takes {info.takes}"
        )
        return {field}
    settled: set[str] = set()
    faulty = {field for field, _ in reading.faults}
    for fields, what in error["ctx"]["found"]:
        settled.update(fields)
        # With one of the two wrong by itself, its default stands in, and the contradiction would be made up.
        if faulty.isdisjoint(fields):
            sides = " and ".join(_side(field, reading.found.get(field)) for field in fields)
            reading.fault(fields[0], f"{sides}: {what}")
    return settled


def _side(field: str, found: Found | None) -> str:
    info = SETTINGS[field]
    if found is None:
        return f"{info.variable} (default) = {shown(info, info.default)}"
    return f"{found.name} ({found.where}) = {got(info, found.value)}"
