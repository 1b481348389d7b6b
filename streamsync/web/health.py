"""`/metrics`, `/healthz`, `/readyz` of a worker or scheduler, in its own event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from streamsync import __version__
from streamsync.config import Settings
from streamsync.errors import ConfigurationError, QueueUnavailable, StoreUnavailable
from streamsync.log import get_logger
from streamsync.metrics import BUILD_INFO, QUEUE_DEAD, QUEUE_DELAYED, QUEUE_PENDING, QUEUE_WAITING
from streamsync.queue.queue import Queue
from streamsync.store.migrate import check_current
from streamsync.store.pool import Database

#: Why the process does not live, None if it does.
Alive = Callable[[], str | None]

_log = get_logger("web")


class Health:
    """What the process says of itself. Depths are counted when asked for, never remembered."""

    def __init__(self, queue: Queue, database: Database, alive: Alive) -> None:
        self._queue = queue
        self._database = database
        self._alive = alive

    def app(self) -> Starlette:
        """The three pages."""
        BUILD_INFO.labels(version=__version__).set(1)
        return Starlette(
            routes=[
                Route("/metrics", self.metrics),
                Route("/healthz", self.healthz),
                Route("/readyz", self.readyz),
            ]
        )

    async def metrics(self, _request: Request) -> Response:
        """Prometheus' text format. Depths that cannot be counted are NaN, never an old value or 0."""
        gauges = (QUEUE_DELAYED, QUEUE_WAITING, QUEUE_PENDING, QUEUE_DEAD)
        try:
            depths = await self._queue.depths()
            values = [float(v) for v in (depths.delayed, depths.waiting, depths.pending, depths.dead)]
        except QueueUnavailable:
            values = [float("nan")] * len(gauges)
        for gauge, value in zip(gauges, values, strict=True):
            gauge.set(value)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def healthz(self, _request: Request) -> Response:
        """Whether the loops turn; servers that are away do not make it unwell."""
        why = self._alive()
        return JSONResponse({"ok": why is None, "why": why}, status_code=200 if why is None else 503)

    async def readyz(self, _request: Request) -> Response:
        """Whether both servers can be used and the migrations are current."""
        problems = [
            why for why in (await _problem(self._queue.ping), await _problem(self._check_database)) if why
        ]
        return JSONResponse({"ok": not problems, "why": problems}, status_code=503 if problems else 200)

    async def _check_database(self) -> None:
        async with self._database.connection(timeout_seconds=5) as connection:
            await check_current(connection)


async def _problem(check: Callable[[], Awaitable[None]]) -> str | None:
    try:
        await check()
    except (QueueUnavailable, StoreUnavailable, ConfigurationError) as error:
        return str(error)
    return None


class _Server(uvicorn.Server):
    """Signals belong to the process that serves, not to its metrics page."""

    def capture_signals(self) -> Any:
        return nullcontext()


async def serve(settings: Settings, app: Starlette) -> None:
    """Serve until cancelled; returns at once where no port is set. Raises ConfigurationError for a taken port."""
    if not settings.http_port:
        _log.info("no metrics page: STREAMSYNC_HTTP_PORT is 0")
        return
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
    with _listen(settings.http_host, settings.http_port) as listening:
        server = _Server(config)
        task = asyncio.ensure_future(server.serve(sockets=[listening]))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            server.should_exit = True
            await task
            raise


def _listen(host: str, port: int) -> socket.socket:
    """Bind here rather than in uvicorn, which ends the process where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"STREAMSYNC_HTTP_HOST, STREAMSYNC_HTTP_PORT: cannot listen on {host}:{port} ({error.strerror}); "
            "each process needs a port of its own"
        ) from error
    return listening
