"""`streamsync trigger`."""

from __future__ import annotations

import click

from streamsync.cli.context import AppContext, pass_app
from streamsync.cli.runtime import open_servers, run
from streamsync.errors import ConfigurationError
from streamsync.jobs import KINDS
from streamsync.schedule.producer import Produced, Producer
from streamsync.store.tenants import Tenants
from streamsync.store.ticks import Ticks
from streamsync.worker.run import worker_name


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.option(
    "--tenant", "tenant_ids", multiple=True, metavar="ID", help="Only this tenant; may be repeated."
)
@click.option("--now", is_flag=True, help="Without jitter, before everything that waits.")
@click.option("--full", is_flag=True, help="Read everything, and mark what the ERP no longer has as deleted.")
@click.option(
    "--accept-deletions",
    is_flag=True,
    help="With --full: apply deletions however many they are; a tenant must be named.",
)
@pass_app
def trigger(
    app: AppContext,
    kind: str,
    tenant_ids: tuple[str, ...],
    *,
    now: bool,
    full: bool,
    accept_deletions: bool,
) -> None:
    """Make a job for every active tenant, or for those named. Where one waits, the tick is noted on it."""
    settings = app.settings
    if accept_deletions and not (full and tenant_ids):
        raise ConfigurationError(
            "--accept-deletions: goes with --full and --tenant ID: look at each shop before you accept its deletions"
        )

    async def main() -> Produced | None:
        async with open_servers(settings, application="streamsync trigger") as servers:
            if tenant_ids:
                unknown = set(tenant_ids) - await Tenants(servers.database).existing(tenant_ids)
                if unknown:
                    raise ConfigurationError(
                        f"--tenant: no such tenant: {', '.join(sorted(unknown))}; see `streamsync tenants list`"
                    )
            ticks = Ticks(servers.database, worker_name())
            tick_id = await ticks.add_manual_tick(
                kind,
                tenant_ids=tenant_ids or None,
                urgent=now,
                full_read=full,
                accept_deletions=accept_deletions,
            )
            return await Producer(ticks, servers.queue, settings).run(tick_id)

    produced = run(main)
    if produced is None:
        click.echo("the scheduler carries this tick out")
        return
    click.echo(
        f"{kind}: {produced.tenants} tenants, {produced.created} jobs made, "
        f"{produced.coalesced} were waiting already"
    )
