"""How PostgreSQL, which refuses uid 0, runs when we are root.

First choice: a user namespace of its own, in which root looks like uid 65534: no user is created, no
permission changes, the files stay root's. Where containers forbid that: uid 65534 itself, which must then
be able to read the binaries and to reach the data.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import Final

from streamsync.embedded.process import Isolation, user_namespaces_allowed
from streamsync.errors import ConfigurationError

_NOBODY: Final = 65534


def choose_isolation() -> Isolation:
    """How a server that refuses root is to run here."""
    if os.geteuid() != 0:
        return "none"
    if user_namespaces_allowed():
        return "userns"
    if not sys.platform.startswith("linux"):
        raise ConfigurationError("PostgreSQL does not run as root on this system: run as an ordinary user")
    return "nobody"


def reachable_binary(postgres: Path, version: str) -> Path:
    """`postgres` itself if uid 65534 can reach it, else the one in a copy of the wheel's files."""
    if _others_can_reach(postgres):
        return postgres
    package = postgres.parents[2]  # <package>/pginstall/bin/postgres
    copy = _temporary_dir() / f"streamsync-postgres-{version}"
    if not _is_roots_own(copy):
        # Made under another name and renamed: a copy under the final name is always whole.
        workshop = Path(tempfile.mkdtemp(dir=_temporary_dir()))
        libraries = package.with_name(f"{package.name}.libs")  # found by the binaries as ../../../….libs
        for source in (package, libraries):
            if source.is_dir():
                unneeded = shutil.ignore_patterns("include", "__pycache__")
                shutil.copytree(source, workshop / source.name, symlinks=True, ignore=unneeded)
        for path in (workshop, *workshop.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        try:
            workshop.rename(copy)
        except OSError:
            if not _is_roots_own(copy):  # not one that a process beside us made: not to be trusted
                shutil.rmtree(workshop)
                raise
            shutil.rmtree(workshop)
    return copy / package.name / postgres.relative_to(package)


def reachable_directory(directory: Path) -> Path:
    """A directory that belongs to uid 65534: `directory`, or one elsewhere if its parents are closed.

    Where it is then, is noted in `directory`, so that a later start finds the data again.
    """
    note = directory.with_name(f"{directory.name}.elsewhere")
    if _others_can_reach(directory.parent):
        place = directory
        place.mkdir(mode=0o700, exist_ok=True)
    elif note.exists() and Path(note.read_text()).is_dir():
        place = Path(note.read_text())
    else:
        outer = Path(tempfile.mkdtemp(prefix="streamsync-data-", dir=_temporary_dir()))
        outer.chmod(0o711)
        place = outer / directory.name
        place.mkdir(mode=0o700)
        note.write_text(str(place))
    os.chown(place, _NOBODY, _NOBODY)
    return place


def give_to_nobody(path: Path) -> None:
    """Let uid 65534 have a file or directory of ours."""
    os.chown(path, _NOBODY, _NOBODY)


def _temporary_dir() -> Path:
    return Path(tempfile.gettempdir())


def _others_can_reach(path: Path) -> bool:
    """Whether every directory on the way is open to other users, and a file readable for them."""
    modes = [place.stat().st_mode for place in (path, *path.parents)]
    last = stat.S_IXOTH if stat.S_ISDIR(modes[0]) else stat.S_IXOTH | stat.S_IROTH
    return modes[0] & last == last and all(mode & stat.S_IXOTH for mode in modes[1:])


def _is_roots_own(directory: Path) -> bool:
    """Whether a directory exists and nobody but root can have made or changed it."""
    try:
        status = directory.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == 0 and not status.st_mode & 0o022
