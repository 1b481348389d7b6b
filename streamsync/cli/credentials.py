"""`streamsync credentials`."""

from __future__ import annotations

import click

from streamsync.cli.context import AppContext, pass_app
from streamsync.cli.runtime import open_database, run
from streamsync.errors import ConfigurationError, StreamsyncError
from streamsync.store.credentials import CredentialBox, generate_key
from streamsync.store.tenant_credentials import Credentials, Rotation


@click.group()
def credentials() -> None:
    """Manage the keys of the tenants' ERP credentials."""


@credentials.command("generate-key")
def generate() -> None:
    """Print a new key. Keep it in a file and name that in STREAMSYNC_CREDENTIAL_KEYS_FILE."""
    click.echo(generate_key())


@credentials.command()
@click.option("--check", is_flag=True, help="Change nothing; exit status 1 if older keys are still needed.")
@pass_app
def rotate(app: AppContext, *, check: bool) -> None:
    """Seal every tenant's credential with the first of the keys.

    Put a new key in front of the old ones, restart the workers, rotate; when --check finds nothing left, take
    the old keys away. Workers may run meanwhile; a rotation that was interrupted is simply run again.
    """
    settings = app.settings
    box = CredentialBox(settings.require_credential_keys())

    async def main() -> Rotation:
        async with open_database(settings, application="streamsync credentials") as database:
            return await Credentials(database, box).rotate(only_check=check)

    done = run(main)
    if not check:
        click.echo(f"sealed anew with the first key: {done.resealed}")
    click.echo(f"sealed with the first key before: {done.current}")
    click.echo(f"still sealed with older keys: {done.outdated}")
    if done.unreadable:
        raise ConfigurationError(
            f"credentials that open with none of the keys: {done.unreadable} ({', '.join(done.examples)}"
            f"{' …' if done.unreadable > len(done.examples) else ''}). STREAMSYNC_CREDENTIAL_KEYS lacks the keys"
            " they were sealed with: add those, or give the tenants new passwords with"
            " `streamsync tenants set-credential`"
        )
    if done.outdated:
        raise StreamsyncError(
            "run `streamsync credentials rotate`"
            + ("" if check else " again: others set credentials meanwhile")
        )
