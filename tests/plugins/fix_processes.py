"""Real streamsync processes, to start, stop, kill, freeze and thaw; and the world that they work in."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import orjson
import pytest
import pytest_asyncio

from streamsync.config.registry import SETTINGS
from streamsync.simulator.server import Simulator
from tests.faults.world import World
from tests.support import ERP_IS_HERE, wait_until

#: How the commands are run: what the installed script does, without looking for it on PATH.
_STREAMSYNC: Final = (sys.executable, "-m", "streamsync.cli.main")

#: A loaded machine takes its time to import Python's packages.
START_SECONDS: Final = 30.0


class Process:
    """One running `streamsync …`, its log in a file."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen = popen
        self.log = log

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, None while it runs."""
        return self._popen.poll()

    def terminate(self) -> None:
        """SIGTERM."""
        self._popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._popen.kill()
        self._popen.wait()

    def freeze(self) -> None:
        """SIGSTOP, and wait until every thread has stopped."""
        self._popen.send_signal(signal.SIGSTOP)
        give_up = time.monotonic() + 10
        while not self._stopped():
            assert time.monotonic() < give_up, "the process did not stop"
            os.sched_yield()

    def thaw(self) -> None:
        """SIGCONT."""
        self._popen.send_signal(signal.SIGCONT)

    def _stopped(self) -> bool:
        tasks = Path(f"/proc/{self.pid}/task")
        states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()]
        return all(state == "T" for state in states)

    async def exited(self, timeout_seconds: float = 20.0) -> int:
        """Wait for its end; the exit status."""
        await wait_until(
            lambda: self._popen.poll() is not None, timeout_seconds, f"the end of {self.log.stem}"
        )
        assert self._popen.returncode is not None
        return self._popen.returncode

    def output(self) -> str:
        """All it has written."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Its log lines, or those of one event."""
        found = []
        for line in self.output().splitlines():
            if line.startswith("{"):
                entry = orjson.loads(line)
                if event in (None, entry.get("event")):
                    found.append(entry)
        return found

    async def logged(self, event: str, timeout_seconds: float = START_SECONDS) -> dict[str, Any]:
        """Wait for a log line of that event; the first one."""

        def look() -> list[dict[str, Any]]:
            found = self.lines(event)
            assert found or self.returncode is None, f"ended without {event!r}:\n{self.output()}"
            return found

        return (await wait_until(look, timeout_seconds, f"{event!r} in {self.log.stem}"))[0]


class Processes:
    """Starts processes with exactly the environment that a test gives them, and leaves none behind."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._running: list[Process] = []
        self._numbers = itertools.count(1)

    def environment(self, settings: Mapping[str, object] | None = None, **variables: str) -> dict[str, str]:
        """The environment of a process: `settings` by field, `variables` as they are, nothing inherited.

        The simulated ERP of the tests is on this machine, so that private addresses are allowed.
        """
        return {
            **{name: os.environ[name] for name in ("PATH", "LANG", "HOME", "TMPDIR") if name in os.environ},
            "STREAMSYNC_TEST_STRICT_LOGS": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",
            "LOG_FORMAT": "json",
            **{
                SETTINGS[field].variable: str(value)
                for field, value in {**ERP_IS_HERE, **(settings or {})}.items()
            },
            **variables,
        }

    def start(self, *arguments: str, environment: Mapping[str, str]) -> Process:
        """Start `streamsync ARGUMENTS`; stdout and stderr go to one file."""
        log = self.directory / f"{next(self._numbers):02d}-{arguments[0]}.log"
        with log.open("wb") as file:
            popen = subprocess.Popen(
                [*_STREAMSYNC, *arguments],
                env=dict(environment),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        process = Process(popen, log)
        self._running.append(process)
        return process

    async def run(self, *arguments: str, environment: Mapping[str, str], timeout_seconds: float = 60) -> str:
        """Run a short command to its end; its output. Fails unless the exit status is 0."""
        process = self.start(*arguments, environment=environment)
        status = await process.exited(timeout_seconds)
        assert status == 0, f"streamsync {' '.join(arguments)} ended with {status}:\n{process.output()}"
        return process.output()

    def stop(self) -> None:
        """SIGKILL whatever runs, frozen or not."""
        for process in self._running:
            if process.returncode is None:
                process.kill()

    def check_logs(self) -> None:
        """No process wrote a traceback or a log line that may not be written."""
        for process in self._running:
            output = process.output()
            assert "Traceback" not in output, f"{process.log.name}:\n{output}"
            assert "UnknownLogKeyError" not in output, f"{process.log.name}:\n{output}"
            assert "unforeseen error" not in output, f"{process.log.name}:\n{output}"


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Processes of one test; killed at its end, and their logs looked through."""
    running = Processes(tmp_path)
    try:
        yield running
    finally:
        running.stop()
    running.check_logs()


class MakeWorld(Protocol):
    """Makes a world; see `World`. Without addresses it is on the shared servers."""

    def __call__(
        self, *, redis_url: str | None = None, database_url: str | None = None, **settings: object
    ) -> Awaitable[World]: ...


@pytest_asyncio.fixture
async def make_world(
    request: pytest.FixtureRequest, processes: Processes, simulator: Simulator
) -> AsyncIterator[MakeWorld]:
    """`await make_world(claim_idle_ms=1500, …)`: worlds whose workers are stopped at the test's end."""
    worlds: list[World] = []

    async def make(
        *, redis_url: str | None = None, database_url: str | None = None, **settings: object
    ) -> World:
        world = World(
            redis_url or request.getfixturevalue("redis_url"),
            database_url or request.getfixturevalue("database_url"),
            simulator,
            settings,
            start=lambda command, fields: processes.start(
                *command, environment=processes.environment(fields)
            ),
        )
        worlds.append(world)
        await world.open()
        return world

    yield make
    simulator.admin.reset()
    # Frozen ones among them would keep a test's own PostgreSQL from stopping in time.
    processes.stop()
    for world in worlds:
        await world.close()


@pytest_asyncio.fixture
async def world(make_world: MakeWorld) -> World:
    """A world on the shared servers with the settings that suit most tests."""
    return await make_world()
