"""`streamsync tenants`."""

from __future__ import annotations

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
from streamsync.cli.tenant_input import (
    AUTH_MODES,
    auth_mode_of,
    base_url_of,
    header_of,
    name_of,
    read_csv,
    read_password,
    tenant_id_of,
)
from streamsync.erp.address import AddressRules
from streamsync.errors import ConfigurationError
from streamsync.store.credentials import Credential, CredentialBox, credential_identity
from streamsync.store.tenant_credentials import Credentials
from streamsync.store.tenants import CURSOR_MODES, NewTenant, Tenants

#: Rows of a CSV file written in one transaction.
_IMPORT_BATCH: Final = 500


_password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input instead of asking."
)


@click.group()
def tenants() -> None:
    """Add, list, import, enable, disable tenants."""


@tenants.command()
@click.argument("tenant_id")
@click.option("--name", required=True)
@click.option("--base-url", required=True, help="The ERP's URL, e.g. http://erp.example:6017.")
@click.option("--username", required=True, help="The ERP's user.")
@_password_stdin
@click.option("--vitrine", "vitrines", type=int, multiple=True, help="Only this storefront; may be repeated.")
@click.option(
    "--branch", "branches", type=int, multiple=True, help="Only this branch's stock; may be repeated."
)
@click.option(
    "--cursor-mode",
    type=click.Choice(CURSOR_MODES),
    default=CURSOR_MODES[0],
    show_default=True,
    help="By what changed records are asked for; date for servers without trans_id.",
)
@click.option("--auth-mode", type=click.Choice(AUTH_MODES), default="basic", show_default=True)
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
    branches: tuple[int, ...],
    cursor_mode: str,
    auth_mode: str,
    app_name: str | None,
    licence_type: str | None,
    *,
    password_stdin: bool,
) -> None:
    """Add a tenant. The ERP's password is asked for, or read from standard input: never an argument."""
    settings = app.settings
    box = CredentialBox(settings.require_credential_keys())
    tenant_id_of(tenant_id, "TENANT_ID")
    url = base_url_of(base_url, "--base-url", AddressRules(settings))
    credential = Credential(username, read_password(from_stdin=password_stdin))
    tenant = NewTenant(
        tenant_id, name_of(name, "--name"), url, box.seal(tenant_id, credential),
        auth_mode=auth_mode_of(auth_mode, credential, "--auth-mode"),
        app_name=header_of(app_name, "--app-name"),
        licence_type=header_of(licence_type, "--licence-type"),
        credential_id=credential_identity(url, username),
        vitrines=vitrines, branches=branches, cursor_mode=cursor_mode,
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

    Columns: tenant_id, name, base_url, username, password; and, if wanted, connector, vitrines and branches
    (numbers separated by spaces), cursor_mode (trans_id or date), active (true or false), auth_mode (basic or
    session), app_name and licence_type (sent as WTS-AppName and WTS-LicenceType). What is left out is set to its
    default. The whole file is checked before anything is written. A credential that is given again unchanged
    does not count as a new one: if the ERP refused it, it stays refused.
    """
    settings = app.settings
    box = CredentialBox(settings.require_credential_keys())
    parsed = list(read_csv(file, settings, box))

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


@tenants.command("set-credential")
@click.argument("tenant_id")
@click.option("--username", help="The ERP's user; as before if not given.")
@_password_stdin
@pass_app
def set_credential(app: AppContext, tenant_id: str, username: str | None, *, password_stdin: bool) -> None:
    """Give a tenant another password, and user if wanted, for its ERP: at a prompt or by standard input."""
    settings = app.settings
    box = CredentialBox(settings.require_credential_keys())
    if username == "":
        raise ConfigurationError(
            "--username: the user is empty; leave the option out to keep the present one"
        )
    password = read_password(from_stdin=password_stdin)

    async def main() -> bool:
        async with open_database(settings, application="streamsync tenants") as database:
            return await Credentials(database, box).set(tenant_id, username, password)

    if not run(main):
        raise _no_such_tenant(tenant_id)
    click.echo(f"credential of {tenant_id} set")


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
        raise _no_such_tenant(tenant_id)
    if as_json:
        click.echo(orjson.dumps(row, option=orjson.OPT_INDENT_2).decode())
        return
    table = Table(show_header=False)
    for name, value in row.items():
        table.add_row(name.replace("_", " "), "" if value is None else str(value))
    Console().print(table)


def _no_such_tenant(tenant_id: str) -> ConfigurationError:
    return ConfigurationError(f"TENANT_ID: no such tenant: {tenant_id}; see `streamsync tenants list`")


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
