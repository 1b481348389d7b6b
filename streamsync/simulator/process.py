"""The simulated ERP's command line."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click
import orjson

from streamsync.simulator.data import IMPORT_COLUMNS, Population
from streamsync.simulator.faults import KINDS, Fault, fault_of
from streamsync.simulator.server import Simulator, build_app, run
from streamsync.simulator.setup import setup_of, switch_of
from streamsync.simulator.switches import help_text, switches_of


def _faults(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[Fault, ...]:
    try:
        return tuple(fault_of(orjson.loads(value)) for value in values)
    except (TypeError, ValueError) as error:
        raise click.BadParameter(str(error)) from error


def _switches(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, object], ...]:
    try:
        return tuple(map(switch_of, values))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


#: Paragraphs that click must not wrap begin so.
_LISTS: Final = "\b\nSwitches (--switch NAME=VALUE):\n{}\n\n\b\nFaults (--fault JSON):\n{}"


@click.command(
    "simulator",
    epilog=_LISTS.format(help_text(), "\n".join(f"{kind}: {meaning}" for kind, meaning in KINDS.items())),
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--seed", default=1, show_default=True, help="All data are a function of it.")
@click.option("--customers", default=300, show_default=True, help="Customers per tenant, on average.")
@click.option("--products", default=200, show_default=True, help="Products per tenant, on average.")
@click.option("--fixed-sizes", is_flag=True, help="Every tenant has exactly these numbers.")
@click.option("--vitrines", default=1, show_default=True, help="Storefronts per tenant.")
@click.option("--branches", default=2, show_default=True, help="Branches per tenant.")
@click.option("--bad-rate", default=0.0, show_default=True, help="Share of records that cannot be accepted.")
@click.option("--shared-rate", default=0.0, show_default=True, help="Share of records sharing a trans_id.")
@click.option("--shared-max", default=8, show_default=True, help="Most records that share one trans_id.")
@click.option(
    "--templates", default=0, show_default=True, help="Sets of data shared by all tenants; 0: each its own."
)
@click.option(
    "--shared-users",
    default=0,
    show_default=True,
    help="Neighbouring tenants that share one user of the ERP.",
)
@click.option("--cache-mb", default=64, show_default=True, help="Rendered pages kept in memory.")
@click.option(
    "--fault", "faults", multiple=True, callback=_faults, help='A fault, as JSON: {"kind":"500","rate":0.05}.'
)
@click.option(
    "--switch",
    "switches",
    multiple=True,
    callback=_switches,
    help="A behaviour of the list below: exclusive=true.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A TOML or JSON file: switches, tenants (switches of single ones), faults.",
)
@click.option(
    "--port-file", type=click.Path(path_type=Path), help="File to write the URL to, once listening."
)
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path), help="File to write tenants to, for import."
)
@click.option("--tenants", default=0, show_default=True, help="How many tenants to write to --csv.")
@click.option("--exit-with-parent", is_flag=True, help="End when the process that started this one ends.")
def simulator(
    *,
    host: str,
    port: int,
    seed: int,
    customers: int,
    products: int,
    fixed_sizes: bool,
    vitrines: int,
    branches: int,
    bad_rate: float,
    shared_rate: float,
    shared_max: int,
    templates: int,
    shared_users: int,
    cache_mb: int,
    faults: tuple[Fault, ...],
    switches: tuple[tuple[str, object], ...],
    config: Path | None,
    port_file: Path | None,
    csv_file: Path | None,
    tenants: int,
    exit_with_parent: bool,
) -> None:
    """Serve a simulated Millennium ERP for any number of tenants.

    The user of a tenant is its id, unless users are shared; its password and its data follow from the seed.
    `/_admin` sets faults and behaviour and changes the data at run time, and tells what was asked and what is
    the truth now.
    """
    keep_on = _parent_watch() if exit_with_parent else None
    try:
        population = Population(
            seed=seed,
            customers_per_tenant=customers,
            products_per_tenant=products,
            fixed_sizes=fixed_sizes,
            vitrines=vitrines,
            branches=branches,
            bad_rate=bad_rate,
            shared_trans_id_rate=shared_rate,
            shared_trans_id_max=shared_max,
            templates=templates,
            shared_users=shared_users,
        )
        setup = setup_of(config, switches, faults)
    except ValueError as error:
        raise click.UsageError(str(error)) from error

    def tell(running: Simulator) -> None:
        if csv_file is not None:
            write_tenants(csv_file, population, running.url, tenants)
        if port_file is not None:
            # Whoever waits for the file must never read half of it.
            draft = port_file.with_name(f".{port_file.name}.{os.getpid()}")
            draft.write_text(f"{running.url}\n")
            draft.replace(port_file)
        click.echo(f"simulated ERP at {running.url} (seed {seed})")

    app = build_app(
        population,
        faults=setup.faults,
        switches=switches_of(setup.switches),
        tenants=setup.tenants,
        cache_bytes=cache_mb << 20,
    )
    try:
        run(app, host, port, on_listen=tell, keep_on=keep_on)
    except OSError as error:
        raise click.ClickException(f"cannot serve on {host}:{port}: {error.strerror or error}") from error


def write_tenants(path: Path, population: Population, url: str, count: int) -> None:
    """Write a file for `streamsync tenants import`, readable by its owner only: it has passwords in it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(IMPORT_COLUMNS)
        writer.writerows(population.import_rows(url, count))


def _parent_watch() -> Callable[[], bool]:
    parent = os.getppid()
    return lambda: os.getppid() == parent
