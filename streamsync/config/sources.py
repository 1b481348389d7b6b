"""The places that settings are read from. Each gives what it found and what is wrong with it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from streamsync.config.messages import got
from streamsync.config.registry import (
    CONFIG_VARIABLE,
    FIELD_OF,
    SECRETS_DIR_VARIABLE,
    SETTINGS,
    nearest_field,
    unknown_names,
)

DEFAULT_CONFIG: Final = "config/streamsync.toml"
DEFAULT_SECRETS_DIR: Final = "/run/secrets"


@dataclass(frozen=True, slots=True)
class Found:
    """A value as it was written, and where."""

    field: str
    value: object
    name: str
    where: str
    #: For `Loaded.sources`.
    source: str


@dataclass(slots=True)
class Reading:
    """Everything found so far. Of two values of a field, the one that is added later counts."""

    found: dict[str, Found] = field(default_factory=dict)
    #: By field, or by name where there is none: faults are told in the order of the class.
    faults: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, candidates: list[Found]) -> None:
        """Add one place's values. Two names of one field must agree."""
        here: dict[str, Found] = {}
        for candidate in candidates:
            other = here.setdefault(candidate.field, candidate)
            if other.value != candidate.value:
                info = SETTINGS[candidate.field]
                self.fault(
                    candidate.field,
                    f"{other.name} and {candidate.name} ({candidate.where}): one setting with "
                    f"different values, {got(info, other.value)} and {got(info, candidate.value)}; set one",
                )
        self.found.update(here)

    def fault(self, key: str, line: str) -> None:
        """Remember that something is wrong."""
        self.faults.append((key, line))


def read_all(
    environ: Mapping[str, str], *, config_file: Path | None, overrides: Mapping[str, object]
) -> Reading:
    """Read every place, the one that counts least first."""
    # Empty counts as unset: compose files and shells cannot easily leave a variable out.
    present = {name: text for name, raw in environ.items() if (text := raw.strip())}
    reading = Reading()
    reading.warnings += unknown_names(environ, where="environment")
    _read_toml(reading, present, config_file)
    _read_secrets_dir(reading, present)
    _read_files(reading, present)
    reading.add(
        [
            Found(FIELD_OF[name], present[name], name, "environment", f"environment {name}")
            for name in FIELD_OF
            if name in present
        ]
    )
    for name in overrides:
        if name not in SETTINGS:
            raise TypeError(f"override of an unknown setting: {name}")
    reading.add(
        [
            Found(name, value, name, "command line", "command line")
            for name, value in overrides.items()
            if value is not None
        ]
    )
    return reading


def _read_toml(reading: Reading, environ: Mapping[str, str], config_file: Path | None) -> None:
    if config_file is not None:
        shown, asked_by = str(config_file), "command line"
    elif CONFIG_VARIABLE in environ:
        shown, asked_by = environ[CONFIG_VARIABLE], f"environment {CONFIG_VARIABLE}"
    elif Path(DEFAULT_CONFIG).is_file():
        shown, asked_by = DEFAULT_CONFIG, "default"
    else:
        return
    try:
        table = tomllib.loads(Path(shown).read_bytes().decode("utf-8-sig"))
    except OSError as error:
        reading.fault("", f"{shown} ({asked_by}): cannot be read: {error.strerror}; takes a TOML file")
        return
    except UnicodeDecodeError:
        reading.fault("", f"{shown} ({asked_by}): is not UTF-8; takes a TOML file")
        return
    except tomllib.TOMLDecodeError as error:
        # Only the place: tomllib's message may quote a character, and the line may hold a password.
        reading.fault("", f"{shown} ({asked_by}): is not TOML{_place(error)}")
        return
    for key, value in table.items():
        if key in SETTINGS:
            reading.add([Found(key, value, key, shown, shown)])
            continue
        match = nearest_field(key)
        hint = f"; did you mean {match}?" if match else ""
        what = (
            "an unknown table; settings stand in one flat table"
            if isinstance(value, dict)
            else "an unknown key"
        )
        reading.fault("", f"{key} ({shown}): {what}{hint}")


def _place(error: tomllib.TOMLDecodeError) -> str:
    _, at, place = str(error).rpartition("(at ")
    return f" (at {place}" if at else ""


def _read_secrets_dir(reading: Reading, environ: Mapping[str, str]) -> None:
    asked = environ.get(SECRETS_DIR_VARIABLE)
    folder = Path(asked or DEFAULT_SECRETS_DIR)
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        if asked is not None:
            reading.fault(
                "",
                f"{SECRETS_DIR_VARIABLE} (environment): got {asked!r}, which cannot be read: "
                f"{error.strerror}; takes the path of a folder",
            )
        return
    where = f"secrets directory {folder}"
    reading.warnings += unknown_names(names, where=where)
    candidates = []
    for name in names:
        if name not in (name.lower(), name.upper()) or name.upper() not in FIELD_OF:
            continue
        setting = FIELD_OF[name.upper()]
        text = _read_text(reading, folder / name, setting, f"{name} ({where})")
        if text == "":
            reading.warnings.append(f"{name} ({where}) is empty and is not used")
        elif text is not None:
            candidates.append(Found(setting, text, name, where, "secrets directory"))
    reading.add(candidates)


def _read_files(reading: Reading, environ: Mapping[str, str]) -> None:
    candidates = []
    for name, setting in FIELD_OF.items():
        variable = f"{name}_FILE"
        path = environ.get(variable)
        if path is None:
            continue
        plain = [other for other in SETTINGS[setting].variables if other in environ]
        if plain:
            reading.fault(setting, f"{' and '.join(plain)} and {variable} (environment): set one, not both")
            continue
        text = _read_text(reading, Path(path), setting, f"{variable} (file {path})")
        if text == "":
            reading.fault(setting, f"{variable} (file {path}): is empty; takes {SETTINGS[setting].takes}")
        elif text is not None:
            candidates.append(Found(setting, text, variable, f"file {path}", f"file {variable}"))
    reading.add(candidates)


def _read_text(reading: Reading, path: Path, setting: str, label: str) -> str | None:
    """The text of a file without white space around it; None, and a fault, if it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8").strip()
    except OSError as error:
        reason = error.strerror or "no such file"
    except (UnicodeDecodeError, ValueError):
        reason = "not UTF-8 text"
    reading.fault(setting, f"{label}: cannot be read: {reason}; takes {SETTINGS[setting].takes}")
    return None
