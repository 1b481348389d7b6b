"""`streamsync worker`."""

from __future__ import annotations

import asyncio

import click

from streamsync.cli.context import AppContext, pass_app
from streamsync.cli.runtime import open_servers, run
from streamsync.clock import SystemClock
from streamsync.store.credentials import CredentialBox
from streamsync.store.tenants import Tenants
from streamsync.web.health import Health, serve
from streamsync.worker.run import Worker


@click.command()
@click.option("--concurrency", type=int, help="Jobs at a time (ERP_SYNC_CONCURRENCY).")
@click.option("--http-port", type=int, help="Port of /metrics, /healthz, /readyz (STREAMSYNC_HTTP_PORT).")
@pass_app
def worker(app: AppContext, concurrency: int | None, http_port: int | None) -> None:
    """Run jobs until SIGTERM: then no new job is claimed, running pages commit, the rest is handed back."""
    app.override(concurrency=concurrency, http_port=http_port)
    settings = app.settings
    box = CredentialBox(settings.require_credential_keys())
    app.configure_logging()

    async def main() -> None:
        async with open_servers(settings, application="streamsync worker") as servers:
            await Tenants(servers.database).check_keys(box)
            process = Worker(settings, servers.queue, servers.database, SystemClock())
            process.stop_on_signals()
            pages = Health(servers.queue, servers.database, process.why_not_alive)
            async with asyncio.TaskGroup() as group:
                web = group.create_task(serve(settings, pages.app()), name="web")
                await process.run()
                web.cancel()

    run(main)
