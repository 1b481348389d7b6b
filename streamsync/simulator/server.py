"""The simulated ERP on a port: in a test's own event loop, or as a process that does nothing else."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from streamsync.simulator.admin import Admin
from streamsync.simulator.app import SimulatorApp
from streamsync.simulator.connections import TrackedProtocol
from streamsync.simulator.data import Population
from streamsync.simulator.faults import Fault
from streamsync.simulator.switches import Switches


def build_app(
    population: Population,
    *,
    faults: tuple[Fault, ...] = (),
    switches: Switches | None = None,
    tenants: Mapping[str, Mapping[str, object]] | None = None,
    log_size: int = 200_000,
    cache_bytes: int = 64 << 20,
) -> SimulatorApp:
    """The ASGI application. `tenants`: switches by which single tenants differ; `cache_bytes`: how much of
    rendered pages is kept (0 renders each time).
    """
    return SimulatorApp(
        population,
        faults=faults,
        switches=switches,
        tenants=tenants,
        log_size=log_size,
        cache_bytes=cache_bytes,
    )


class Simulator:
    """A running simulator: where it is, what it serves, and its controls."""

    def __init__(self, app: SimulatorApp, host: str, port: int) -> None:
        self.app = app
        self.port = port
        self.url = f"http://{host}:{port}"

    @property
    def population(self) -> Population:
        """What it serves at first; also the truth about that (`admin.truth` tells the one of now)."""
        return self.app.population

    @property
    def admin(self) -> Admin:
        """Faults, holds, switches and the request log, without HTTP."""
        return self.app.admin

    def base_url(self, tenant_id: str) -> str:
        """The address to register for a tenant."""
        return f"{self.url}/erp/{tenant_id}"


class _Server(uvicorn.Server):
    """uvicorn's server that says when it listens, and that nothing held can keep from stopping."""

    def __init__(self, app: SimulatorApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=TrackedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=2,
            )
        )
        self._app = app
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.close()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to whoever runs the loop: a test, or `run`."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    # The socket exists before the server does, so that port 0 has a number to tell.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


@asynccontextmanager
async def serve(app: SimulatorApp, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Simulator]:
    """Serve in the running event loop; gives the running simulator once it listens."""
    with _listen(host, port) as listener:
        server = _Server(app)
        running = asyncio.create_task(server.serve(sockets=[listener]), name="simulator")
        listening = asyncio.create_task(server.listening.wait())
        try:
            await asyncio.wait({running, listening}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                await running
                raise RuntimeError("the simulator ended before it listened")
            yield Simulator(app, host, listener.getsockname()[1])
        finally:
            listening.cancel()
            server.should_exit = True
            await running


def run(
    app: SimulatorApp,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    on_listen: Callable[[Simulator], None] | None = None,
    keep_on: Callable[[], bool] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until `keep_on`, asked twice a second, says no."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(app, host, port, on_listen, keep_on))


async def _run(
    app: SimulatorApp,
    host: str,
    port: int,
    on_listen: Callable[[Simulator], None] | None,
    keep_on: Callable[[], bool] | None,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serve(app, host, port) as simulator:
        if on_listen is not None:
            on_listen(simulator)
        while not stop.is_set() and (keep_on is None or keep_on()):
            try:
                async with asyncio.timeout(None if keep_on is None else 0.5):
                    await stop.wait()
            except TimeoutError:
                continue


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not on every platform; asyncio's own loop does
        return None
    return uvloop.new_event_loop
