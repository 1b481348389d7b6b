"""`streamsync config`: what is in effect, and why."""

from __future__ import annotations

import click
import orjson
from rich.console import Console
from rich.table import Table

from streamsync.cli.context import AppContext, pass_app
from streamsync.config import Loaded
from streamsync.config.messages import shown
from streamsync.config.registry import SETTINGS

_WIDTH_WITHOUT_TERMINAL = 160


@click.command
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@pass_app
def config(app: AppContext, *, as_json: bool) -> None:
    """Show the effective settings and where each came from.

    Secrets are masked; of URLs only the password is. Wrong settings are all listed, with exit status 2.
    """
    loaded = app.loaded
    if as_json:
        click.echo(orjson.dumps(_as_json(loaded), option=orjson.OPT_INDENT_2).decode())
    else:
        _print_table(loaded)


def _as_json(loaded: Loaded) -> dict[str, object]:
    return {
        "settings": {
            field: {
                "variables": list(info.variables),
                "value": shown(info, getattr(loaded.settings, field)),
                "default": shown(info, info.default),
                "source": loaded.sources[field],
                "takes": info.takes,
                "description": info.description,
            }
            for field, info in SETTINGS.items()
        },
        "warnings": list(loaded.warnings),
    }


def _print_table(loaded: Loaded) -> None:
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        # In a pipe, rich assumes 80 columns and would fold names that someone wants to grep.
        console.width = _WIDTH_WITHOUT_TERMINAL
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Setting", no_wrap=True)
    table.add_column("Value", overflow="fold")
    table.add_column("Source", overflow="fold")
    for field, info in SETTINGS.items():
        source = loaded.sources[field]
        value = shown(info, getattr(loaded.settings, field))
        text = "not set" if value is None else '""' if value == "" else str(value)
        table.add_row(info.variable, text, source, style="dim" if source == "default" else None)
    console.print(table)
    for warning in loaded.warnings:
        console.print(f"warning: {warning}", style="yellow", soft_wrap=True)
