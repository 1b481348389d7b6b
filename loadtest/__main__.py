"""`python -m loadtest run SCENARIO [options]`: runs a scenario on embedded servers and writes a JSON result."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from loadtest import nights
from loadtest.machine import describe
from loadtest.result import Result
from loadtest.scenarios import dispatch
from streamsync.embedded import PostgresServer, RedisServer
from streamsync.store.migrate import migrate

#: A scenario: (Redis URL, PostgreSQL URL, jobs, rounds, concurrency) to its figures.
SCENARIOS: dict[str, Callable[[str, str, int, int, int], Result]] = {"dispatch": dispatch.run}


@click.group()
def cli() -> None:
    """Measure streamsync."""


@cli.command("run")
@click.argument("scenario", type=click.Choice(list(SCENARIOS)))
@click.option("--jobs", default=10_000, show_default=True, type=click.IntRange(1), help="Jobs per round.")
@click.option(
    "--rounds", default=5, show_default=True, type=click.IntRange(1), help="Rounds; medians are shown."
)
@click.option("--concurrency", default=64, show_default=True, type=click.IntRange(1), help="Jobs in flight.")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Where to write the JSON result."
)
def run(scenario: str, jobs: int, rounds: int, concurrency: int, output: Path | None) -> None:
    """Run a scenario and print its medians."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamsync-loadtest-")))
        redis = stack.enter_context(RedisServer.start(folder / "redis"))
        postgres = stack.enter_context(PostgresServer.start(folder / "postgres"))
        migrate(postgres.url)
        result = SCENARIOS[scenario](redis.url, postgres.url, jobs, rounds, concurrency)
        machine = describe(redis, postgres)
    document = {"scenario": scenario, "machine": machine, **result.as_dict()}
    if output is not None:
        output.write_text(json.dumps(document, indent=2) + "\n")
    table = Table(title=f"{scenario}: {jobs:,} jobs, {rounds} rounds, {concurrency} in flight")
    for name in ("figure", "median", "min", "max"):
        table.add_column(name, justify="left" if name == "figure" else "right")
    for name, figures in result.figures.items():
        low, middle, high = figures.summary()
        table.add_row(name, f"{middle:,.2f}", f"{low:,.2f}", f"{high:,.2f}")
    Console(width=100).print(table)


@cli.command("nights")
@click.option("--tenants", default=100, show_default=True, type=click.IntRange(1), help="Shops.")
def run_nights(tenants: int) -> None:
    """Sync whole shops night after night; exit status 0 only if every row is right after each."""
    console = Console(width=190)
    table = Table(
        title=f"{tenants} shops, 5 entities; ins, upd, del: row versions written in the data tables"
    )
    figures = ("jobs", "failed", "fetched", "inserted", "updated", "unchanged", "deleted", "withheld")
    counted = ("inserted", "updated", "deleted", "wal")
    for name in ("night", "s", *figures, "ins", "upd", "del", "WAL bytes", "rows", "different"):
        table.add_column(name, justify="left" if name == "night" else "right")

    def tell(night: nights.Night) -> None:
        console.print(f"{night.name}: {night.seconds:.1f} s, {len(night.different)} tables differ")

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamsync-loadtest-")))
        redis = stack.enter_context(RedisServer.start(folder / "redis"))
        postgres = stack.enter_context(PostgresServer.start(folder / "postgres"))
        migrate(postgres.url)
        found = nights.run(redis.url, postgres.url, tenants, tell)
    for night in found:
        table.add_row(
            night.name, f"{night.seconds:.1f}",
            *(f"{night.ledger[name]:,}" for name in figures),
            *(f"{night.written[name]:,}" for name in counted),
            f"{night.compared:,}", f"{len(night.different)}",
        )  # fmt: skip
    console.print(table)
    wrong = any(night.different or night.ledger["failed"] for night in found)
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    cli()
