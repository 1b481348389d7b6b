"""`streamsync scheduler`."""

from __future__ import annotations

import asyncio
import signal

import click

from streamsync.cli.context import AppContext, pass_app
from streamsync.cli.runtime import open_servers, run
from streamsync.clock import SystemClock
from streamsync.schedule.run import Scheduler
from streamsync.web.health import Health, serve
from streamsync.worker.run import worker_name


@click.command()
@click.option("--http-port", type=int, help="Port of /metrics, /healthz, /readyz (STREAMSYNC_HTTP_PORT).")
@pass_app
def scheduler(app: AppContext, http_port: int | None) -> None:
    """Make the jobs when their time comes. Any number may run; each tick makes one job per tenant."""
    app.override(http_port=http_port)
    settings = app.settings
    app.configure_logging()

    async def main() -> None:
        async with open_servers(settings, application="streamsync scheduler") as servers:
            process = Scheduler(settings, servers.queue, servers.database, SystemClock(), name=worker_name())
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, process.stop)
            pages = Health(servers.queue, servers.database, process.why_not_alive)
            async with asyncio.TaskGroup() as group:
                web = group.create_task(serve(settings, pages.app()), name="web")
                await process.run()
                web.cancel()

    run(main)
