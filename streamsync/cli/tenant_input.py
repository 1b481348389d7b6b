"""What operators type about tenants, checked: options of `tenants add`, lines of `tenants import`, passwords."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from streamsync.config import Settings
from streamsync.erp.address import AddressRules
from streamsync.errors import ConfigurationError, PermanentError
from streamsync.jobs import TENANT_ID_PATTERN
from streamsync.store.credentials import Credential, CredentialBox, credential_identity
from streamsync.store.tenants import CURSOR_MODES, NewTenant

_REQUIRED: Final = ("tenant_id", "name", "base_url", "username", "password")
_OPTIONAL: Final = ("connector", "vitrines", "branches", "cursor_mode", "active", "auth_mode",
             "app_name", "licence_type")  # fmt: skip
#: How an ERP is told who asks.
AUTH_MODES: Final = ("basic", "session")
_WORDS: Final = {"true": True, "1": True, "yes": True, "": True, "false": False, "0": False, "no": False}
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")


def tenant_id_of(value: str, where: str) -> str:
    """A tenant id. Raises ConfigurationError, as all of these, with `where` the value stood."""
    if not TENANT_ID_PATTERN.fullmatch(value):
        raise ConfigurationError(
            f"{where}: {value!r} is no tenant id; 1 to 64 letters, digits, '.', '_' or '-', not '.' or '-' first"
        )
    return value


def base_url_of(value: str, where: str, rules: AddressRules) -> str:
    """A base URL whose host is allowed, as far as that can be told without asking the DNS."""
    try:
        rules.check_url(value)
    except PermanentError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    return value.rstrip("/")


def name_of(value: str, where: str) -> str:
    """A tenant's name."""
    if not value.strip():
        raise ConfigurationError(f"{where}: the name is empty")
    return value.strip()


def _numbers(value: str, where: str, what: str, *, negative: bool = False) -> tuple[int, ...]:
    words = [word for word in re.split(r"[\s;,]+", value) if word]
    if not all(_WHOLE.fullmatch(word) and (negative or int(word) >= 0) for word in words):
        raise ConfigurationError(f"{where}: {what} are whole numbers separated by spaces, got {value!r}")
    return tuple(int(word) for word in words)


def _cursor_mode_of(value: str, where: str) -> str:
    mode = value.strip() or CURSOR_MODES[0]
    if mode not in CURSOR_MODES:
        raise ConfigurationError(f"{where}: {' or '.join(CURSOR_MODES)}, got {value!r}")
    return mode


def auth_mode_of(value: str, credential: Credential, where: str) -> str:
    """How the ERP is told who asks. A session's login joins user and password by a slash."""
    if value not in AUTH_MODES:
        raise ConfigurationError(f"{where}: {' or '.join(AUTH_MODES)}, got {value!r}")
    if value == "session" and ("/" in credential.username or "/" in credential.password):
        raise ConfigurationError(
            f"{where}: session login cannot carry a user or password with a '/'; use basic"
        )
    return value


def header_of(value: str | None, where: str) -> str | None:
    """A text that is sent as a header."""
    text = (value or "").strip()
    if not text.isascii() or not text.isprintable() or len(text) > 100:
        raise ConfigurationError(f"{where}: up to 100 printable ASCII characters: it is sent as a header")
    return text or None


def read_password(*, from_stdin: bool) -> str:
    """The ERP's password, from the prompt or the first line of standard input; never an argument."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("ERP password", hide_input=True, confirmation_prompt=True)
    if not password:
        raise ConfigurationError(
            "the password is empty: type it at the prompt, or send it with --password-stdin"
        )
    return str(password)


def read_csv(file: Path, settings: Settings, box: CredentialBox) -> Iterator[NewTenant]:
    """The tenants of a CSV file with a header line. Raises ConfigurationError with file and line."""
    rules = AddressRules(settings)
    seen: dict[str, int] = {}
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        _check_header(file, set(reader.fieldnames or ()))
        for row in reader:
            where = f"{file}:{reader.line_num}"
            if None in row or None in row.values():
                raise ConfigurationError(f"{where}: the line has another number of columns than the header")
            tenant_id = tenant_id_of(row["tenant_id"].strip(), f"{where}: tenant_id")
            if tenant_id in seen:
                raise ConfigurationError(
                    f"{where}: tenant_id: {tenant_id} stands in line {seen[tenant_id]} already"
                )
            seen[tenant_id] = reader.line_num
            if not row["username"] or not row["password"]:
                raise ConfigurationError(f"{where}: username and password must not be empty")
            active = row.get("active", "").strip().lower()
            if active not in _WORDS:
                raise ConfigurationError(f"{where}: active: true or false, got {active!r}")
            credential = Credential(row["username"], row["password"])
            url = base_url_of(row["base_url"].strip(), f"{where}: base_url", rules)
            mode = row.get("auth_mode", "").strip().lower() or AUTH_MODES[0]
            yield NewTenant(
                tenant_id,
                name_of(row["name"], f"{where}: name"),
                url,
                box.seal(tenant_id, credential),
                auth_mode=auth_mode_of(mode, credential, f"{where}: auth_mode"),
                app_name=header_of(row.get("app_name"), f"{where}: app_name"),
                licence_type=header_of(row.get("licence_type"), f"{where}: licence_type"),
                credential_id=credential_identity(url, row["username"]),
                connector=row.get("connector", "").strip() or "millennium",
                vitrines=_numbers(row.get("vitrines", ""), f"{where}: vitrines", "storefronts"),
                branches=_numbers(row.get("branches", ""), f"{where}: branches", "branches", negative=True),
                cursor_mode=_cursor_mode_of(row.get("cursor_mode", ""), f"{where}: cursor_mode"),
                active=_WORDS[active],
            )


def _check_header(file: Path, columns: set[str]) -> None:
    missing = [name for name in _REQUIRED if name not in columns]
    strange = sorted(columns - {*_REQUIRED, *_OPTIONAL})
    if missing or strange:
        problem = f"lacks {', '.join(missing)}" if missing else f"has unknown columns {', '.join(strange)}"
        raise ConfigurationError(
            f"{file}: the header {problem}; columns are {', '.join(_REQUIRED)}"
            f" and, if wanted, {', '.join(_OPTIONAL)}"
        )
