"""`streamsync tenants`."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
import orjson
from rich.console import Console
from rich.table import Table

from streamsync.cli.context import AppContext, pass_app
from streamsync.cli.runtime import open_database, run
from streamsync.errors import ConfigurationError
from streamsync.jobs import TENANT_ID_PATTERN
from streamsync.store.credentials import Credential, CredentialBox, credential_identity
from streamsync.store.tenants import NewTenant, Tenants

#: Rows of a CSV file written in one transaction.
_IMPORT_BATCH: Final = 500
_REQUIRED: Final = ("tenant_id", "name", "base_url", "username", "password")
_OPTIONAL: Final = ("connector", "vitrines", "active", "auth_mode", "app_name", "licence_type")
_AUTH_MODES: Final = ("basic", "session")
_WORDS: Final = {"true": True, "1": True, "yes": True, "": True, "false": False, "0": False, "no": False}


@click.group()
def tenants() -> None:
    """Add, list, import, enable, disable tenants."""


def _tenant_id(value: str, where: str) -> str:
    if not TENANT_ID_PATTERN.fullmatch(value):
        raise ConfigurationError(
            f"{where}: {value!r} is no tenant id; 1 to 64 letters, digits, '.', '_' or '-', not '.' or '-' first"
        )
    return value


def _base_url(value: str, where: str) -> str:
    try:
        parts = urlsplit(value)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{where}: {value!r} is no http(s) URL, e.g. http://erp.example:6017")
    if parts.username or parts.password:
        raise ConfigurationError(
            f"{where}: leave user and password out of the URL; they have places of their own"
        )
    if parts.query or parts.fragment:
        raise ConfigurationError(f"{where}: the URL must end before '?' and '#'")
    return value.rstrip("/")


def _vitrines(value: str, where: str) -> tuple[int, ...]:
    words = [word for word in re.split(r"[\s;,]+", value) if word]
    if not all(word.isascii() and word.isdigit() for word in words):
        raise ConfigurationError(f"{where}: storefronts are whole numbers separated by spaces, got {value!r}")
    return tuple(int(word) for word in words)


def _name(value: str, where: str) -> str:
    if not value.strip():
        raise ConfigurationError(f"{where}: the name is empty")
    return value.strip()


def _auth_mode(value: str, credential: Credential, where: str) -> str:
    if value not in _AUTH_MODES:
        raise ConfigurationError(f"{where}: {' or '.join(_AUTH_MODES)}, got {value!r}")
    if value == "session" and ("/" in credential.username or "/" in credential.password):
        raise ConfigurationError(
            f"{where}: session login cannot carry a user or password with a '/'; use basic"
        )
    return value


def _header(value: str | None, where: str) -> str | None:
    text = (value or "").strip()
    if not text.isascii() or not text.isprintable() or len(text) > 100:
        raise ConfigurationError(f"{where}: up to 100 printable ASCII characters: it is sent as a header")
    return text or None


@tenants.command()
@click.argument("tenant_id")
@click.option("--name", required=True)
@click.option("--base-url", required=True, help="The ERP's URL, e.g. http://erp.example:6017.")
@click.option("--username", required=True, help="The ERP's user.")
@click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input instead of asking."
)
@click.option("--vitrine", "vitrines", type=int, multiple=True, help="Only this storefront; may be repeated.")
@click.option("--auth-mode", type=click.Choice(_AUTH_MODES), default="basic", show_default=True)
@click.option("--app-name", help="Sent to the ERP as WTS-AppName.")
@click.option("--licence-type", help="Sent to the ERP as WTS-LicenceType.")
@pass_app
def add(
    app: AppContext,
    tenant_id: str,
    name: str,
    base_url: str,
    username: str,
    vitrines: tuple[int, ...],
    auth_mode: str,
    app_name: str | None,
    licence_type: str | None,
    *,
    password_stdin: bool,
) -> None:
    """Add a tenant. The ERP's password is asked for, or read from standard input: never an argument."""
    settings = app.settings
    box = CredentialBox(settings.require_credential_keys())
    _tenant_id(tenant_id, "TENANT_ID")
    url = _base_url(base_url, "--base-url")
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("ERP password", hide_input=True, confirmation_prompt=True)
    if not password:
        raise ConfigurationError(
            "the password is empty: type it at the prompt, or send it with --password-stdin"
        )
    credential = Credential(username, password)
    tenant = NewTenant(
        tenant_id, _name(name, "--name"), url, box.seal(tenant_id, credential),
        auth_mode=_auth_mode(auth_mode, credential, "--auth-mode"),
        app_name=_header(app_name, "--app-name"),
        licence_type=_header(licence_type, "--licence-type"),
        credential_id=credential_identity(url, username),
        vitrines=vitrines,
    )  # fmt: skip

    async def main() -> int:
        async with open_database(settings, application="streamsync tenants") as database:
            created, _ = await Tenants(database).put([tenant], replace=False)
            return created

    if not run(main):
        raise ConfigurationError(
            f"TENANT_ID: {tenant_id} exists already; `streamsync tenants import` updates tenants"
        )
    click.echo(f"added {tenant_id}")


@tenants.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@pass_app
def import_(app: AppContext, file: Path) -> None:
    """Add or update tenants from a CSV file with a header line.

    Columns: tenant_id, name, base_url, username, password; and, if wanted, connector, vitrines (numbers
    separated by spaces), active (true or false), auth_mode (basic or session), app_name and licence_type (sent
    as WTS-AppName and WTS-LicenceType). The whole file is checked before anything is written. A credential
    that is given again unchanged does not count as a new one: if the ERP refused it, it stays refused.
    """
    settings = app.settings
    box = CredentialBox(settings.require_credential_keys())
    parsed = list(_read_csv(file, box))

    async def main() -> tuple[int, int]:
        created = updated = 0
        async with open_database(settings, application="streamsync tenants") as database:
            store = Tenants(database)
            for start in range(0, len(parsed), _IMPORT_BATCH):
                batch = parsed[start : start + _IMPORT_BATCH]
                known = await store.sealed([tenant.tenant_id for tenant in batch])
                kept = [_unchanged(box, tenant, known.get(tenant.tenant_id)) for tenant in batch]
                new, changed = await store.put(kept, replace=True)
                created, updated = created + new, updated + changed
        return created, updated

    created, updated = run(main)
    click.echo(f"{created} tenants added, {updated} updated")


def _unchanged(box: CredentialBox, tenant: NewTenant, known: bytes | None) -> NewTenant:
    """The tenant with the bytes that it has already, if they hold the same credential."""
    if known is None:
        return tenant
    try:
        same = box.open(tenant.tenant_id, known) == box.open(tenant.tenant_id, tenant.credential)
    except ConfigurationError:
        return tenant  # sealed with a key that is gone: the file's is the one that can be opened
    return replace(tenant, credential=known) if same else tenant


def _read_csv(file: Path, box: CredentialBox) -> Iterator[NewTenant]:
    seen: dict[str, int] = {}
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        columns = set(reader.fieldnames or ())
        missing = [name for name in _REQUIRED if name not in columns]
        strange = sorted(columns - {*_REQUIRED, *_OPTIONAL})
        if missing or strange:
            problem = (
                f"lacks {', '.join(missing)}" if missing else f"has unknown columns {', '.join(strange)}"
            )
            raise ConfigurationError(
                f"{file}: the header {problem}; columns are {', '.join(_REQUIRED)}"
                f" and, if wanted, {', '.join(_OPTIONAL)}"
            )
        for row in reader:
            where = f"{file}:{reader.line_num}"
            if None in row or None in row.values():
                raise ConfigurationError(f"{where}: the line has another number of columns than the header")
            tenant_id = _tenant_id(row["tenant_id"].strip(), f"{where}: tenant_id")
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
            url = _base_url(row["base_url"].strip(), f"{where}: base_url")
            mode = row.get("auth_mode", "").strip().lower() or "basic"
            yield NewTenant(
                tenant_id,
                _name(row["name"], f"{where}: name"),
                url,
                box.seal(tenant_id, credential),
                connector=row.get("connector", "").strip() or "millennium",
                auth_mode=_auth_mode(mode, credential, f"{where}: auth_mode"),
                app_name=_header(row.get("app_name"), f"{where}: app_name"),
                licence_type=_header(row.get("licence_type"), f"{where}: licence_type"),
                credential_id=credential_identity(url, row["username"]),
                vitrines=_vitrines(row.get("vitrines", ""), f"{where}: vitrines"),
                active=_WORDS[active],
            )


@tenants.command("list")
@click.option("--active/--inactive", "active", default=None, help="Only those.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@pass_app
def list_(app: AppContext, active: bool | None, *, as_json: bool) -> None:
    """List tenants with their last successful sync."""
    settings = app.settings

    async def main() -> list[dict[str, Any]]:
        async with open_database(settings, application="streamsync tenants") as database:
            return [row async for row in Tenants(database).scan(active=active)]

    rows = run(main)
    if as_json:
        for row in rows:
            click.echo(orjson.dumps(row).decode())
        return
    table = Table("tenant", "name", "active", "ERP", "last success")
    for row in rows:
        last = row["last_success_at"]
        table.add_row(
            row["tenant_id"], row["name"], "yes" if row["active"] else "no",
            urlsplit(row["base_url"]).netloc, f"{last:%Y-%m-%d %H:%M:%S %Z}" if last else "never",
        )  # fmt: skip
    Console().print(table)
    click.echo(f"{len(rows)} tenants")


@tenants.command()
@click.argument("tenant_id")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@pass_app
def show(app: AppContext, tenant_id: str, *, as_json: bool) -> None:
    """Show one tenant; its credential stays sealed."""
    settings = app.settings

    async def main() -> dict[str, Any] | None:
        async with open_database(settings, application="streamsync tenants") as database:
            return await Tenants(database).show(tenant_id)

    row = run(main)
    if row is None:
        raise ConfigurationError(f"TENANT_ID: no such tenant: {tenant_id}; see `streamsync tenants list`")
    if as_json:
        click.echo(orjson.dumps(row, option=orjson.OPT_INDENT_2).decode())
        return
    table = Table(show_header=False)
    for name, value in row.items():
        table.add_row(name.replace("_", " "), "" if value is None else str(value))
    Console().print(table)


def _switch(app: AppContext, tenant_ids: tuple[str, ...], *, active: bool) -> None:
    settings = app.settings

    async def main() -> set[str]:
        async with open_database(settings, application="streamsync tenants") as database:
            return await Tenants(database).set_active(tenant_ids, active=active)

    done = run(main)
    unknown = sorted(set(tenant_ids) - done)
    click.echo(f"{'enabled' if active else 'disabled'}: {', '.join(sorted(done)) or 'none'}")
    if unknown:
        raise ConfigurationError(f"no such tenant: {', '.join(unknown)}; see `streamsync tenants list`")


@tenants.command()
@click.argument("tenant_ids", nargs=-1, required=True)
@pass_app
def enable(app: AppContext, tenant_ids: tuple[str, ...]) -> None:
    """Let tenants be scheduled again."""
    _switch(app, tenant_ids, active=True)


@tenants.command()
@click.argument("tenant_ids", nargs=-1, required=True)
@pass_app
def disable(app: AppContext, tenant_ids: tuple[str, ...]) -> None:
    """Stop scheduling tenants; jobs that wait are cancelled at their claim, with the reason."""
    _switch(app, tenant_ids, active=False)


@tenants.command("clear-refusal")
@click.argument("tenant_ids", nargs=-1, required=True)
@pass_app
def clear_refusal(app: AppContext, tenant_ids: tuple[str, ...]) -> None:
    """Let jobs ask an ERP again that refused the user or password, now that it is put right there."""
    settings = app.settings

    async def main() -> set[str]:
        async with open_database(settings, application="streamsync tenants") as database:
            return await Tenants(database).clear_refusals(tenant_ids)

    done = run(main)
    unknown = sorted(set(tenant_ids) - done)
    click.echo(f"may ask again: {', '.join(sorted(done)) or 'none'}")
    if unknown:
        raise ConfigurationError(f"no such tenant: {', '.join(unknown)}; see `streamsync tenants list`")
