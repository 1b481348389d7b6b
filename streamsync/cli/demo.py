"""`streamsync demo`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click
from rich.console import Console

from streamsync.demo.run import run_demo


@click.command()
@click.option("--tenants", default=200, show_default=True, type=click.IntRange(2, 99_999), help="Shops.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(2, 16), help="Worker processes.")
@click.option(
    "--concurrency", default=16, show_default=True, type=click.IntRange(1, 512), help="Jobs per worker."
)
@click.option(
    "--window-ms", default=8_000, show_default=True, type=click.IntRange(10), help="Window of the jitter."
)
@click.option("--seed", default=2026, show_default=True, help="All data are a function of it.")
@click.option("--keep", is_flag=True, help="Leave everything running at the end, and print the URLs.")
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), default=Path(".streamsync/demo"),
    show_default=True, help="Where servers and logs live; emptied at the start.",
)  # fmt: skip
@click.pass_context
def demo(
    context: click.Context,
    *,
    tenants: int,
    workers: int,
    concurrency: int,
    window_ms: int,
    seed: int,
    keep: bool,
    folder: Path,
) -> None:
    """Show everything at work on real servers and a simulated ERP, and verify the result.

    REDIS_URL and DATABASE_URL, where set, are used instead of embedded servers. Exit status 0 only if every
    row, every job and what is left in Redis are as they must be.
    """
    # SIGTERM ends the demo as Ctrl-C does: in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    good = run_demo(
        # Without a terminal rich assumes 80 columns, too few for the closing tables.
        Console(width=None if sys.stdout.isatty() else 120),
        folder.resolve(),
        tenants=tenants,
        workers=workers,
        concurrency=concurrency,
        window_ms=window_ms,
        seed=seed,
        keep=keep,
        redis_url=os.environ.get("REDIS_URL") or None,
        database_url=os.environ.get("DATABASE_URL") or None,
    )
    context.exit(0 if good else 1)
