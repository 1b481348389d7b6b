"""`streamsync migrate`."""

from __future__ import annotations

import click

from streamsync.cli.context import AppContext, pass_app
from streamsync.store import migrate as runner


@click.command()
@pass_app
def migrate(app: AppContext) -> None:
    """Bring the database to this code's version. Safe to run several at once, and again."""
    applied = runner.migrate(app.settings.require_database_url())
    for name in applied:
        click.echo(f"applied {name}")
    click.echo("the database is up to date" if not applied else f"{len(applied)} migrations applied")
