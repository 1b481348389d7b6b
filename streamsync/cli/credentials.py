"""`streamsync credentials`."""

from __future__ import annotations

import click

from streamsync.store.credentials import generate_key


@click.group()
def credentials() -> None:
    """Manage the keys of the tenants' ERP credentials."""


@credentials.command("generate-key")
def generate() -> None:
    """Print a new key. Keep it in a file and name that in STREAMSYNC_CREDENTIAL_KEYS_FILE."""
    click.echo(generate_key())
