"""A real Redis-protocol server (Valkey from its wheel, else the machine's) for the demo and the tests."""

from __future__ import annotations

import secrets
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from streamsync.embedded.binaries import Binary, Source, find_redis
from streamsync.embedded.process import DirectoryLock, EmbeddedServerError, SupervisedProcess, free_port

_START_SECONDS: Final = 30.0
_PORT_ATTEMPTS: Final = 5
#: What the server says on a port that another took after we looked: "bind: Address already in use".
_PORT_TAKEN: Final = "already in use"


class RedisServer:
    """A server on a free loopback port with a generated password; it keeps nothing unless told to."""

    def __init__(
        self, data_dir: Path, binary: Binary, *, append_only: bool, args: Sequence[str], password: str
    ) -> None:
        """Use `RedisServer.start`."""
        self.data_dir: Final = data_dir
        self.binary: Final = binary
        self.port = 0
        self._append_only = append_only
        self._args = tuple(args)
        self._password = password
        self._process: SupervisedProcess | None = None

    @classmethod
    def start(
        cls, data_dir: Path, *, source: Source = "auto", append_only: bool = False, args: Sequence[str] = ()
    ) -> RedisServer:
        """Start a server that keeps its files below `data_dir` and wait until it answers.

        `args` are further options as on redis-server's command line (`--maxmemory`, `50mb`).
        Raises ConfigurationError if there is no binary, EmbeddedServerError if the server does not start.
        """
        data_dir = data_dir.resolve()
        (data_dir / "data").mkdir(mode=0o700, parents=True, exist_ok=True)
        server = cls(
            data_dir,
            find_redis(source),
            append_only=append_only,
            args=args,
            password=secrets.token_urlsafe(24),
        )
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            server.port = free_port()
            try:
                server._launch()
                break
            except EmbeddedServerError as error:
                if _PORT_TAKEN not in str(error) or attempt == _PORT_ATTEMPTS:
                    raise
        return server

    @property
    def url(self) -> str:
        """Address with password, database 0."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Process id of the server itself (not of its supervisor)."""
        return self._running().pid

    def stop(self) -> None:
        """Stop the server and wait until it is gone. Does nothing if it is."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """SIGKILL the server; without append_only, all it knew is lost."""
        self._running().kill()
        self._process = None

    def restart(self) -> None:
        """Stop the server if it runs, and start it with the same port, password and directory."""
        self.stop()
        self._launch()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._running().freeze()

    def thaw(self) -> None:
        """SIGCONT after `freeze`."""
        self._running().thaw()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _running(self) -> SupervisedProcess:
        if self._process is None:
            raise EmbeddedServerError("the Redis server does not run")
        return self._process

    def _launch(self) -> None:
        lock = DirectoryLock(self.data_dir)
        try:
            config = self._write_config()
            process = SupervisedProcess(
                [str(self.binary.path), str(config), *self._args],
                log=self.data_dir / "server.log",
                lock=lock,
                fast=signal.SIGTERM,
                immediate=signal.SIGTERM,
            )
        finally:
            lock.release()
        give_up = time.monotonic() + _START_SECONDS
        while not self._answers():
            if process.wait_exit_or(0.01):
                process.stop()
                raise process.failure("did not start")
            if time.monotonic() > give_up:
                process.stop()
                raise process.failure(f"did not answer within {_START_SECONDS:g} s")
        self._process = process

    def _write_config(self) -> Path:
        """The options, in a file of mode 0600: on the command line every user could read the password."""
        path = self.data_dir / "server.conf"
        path.touch(mode=0o600)
        directory = str(self.data_dir / "data").replace("\\", "\\\\").replace('"', '\\"')
        path.write_text(
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self._password}\n"
            f'dir "{directory}"\nmaxmemory-policy noeviction\nsave ""\n'
            f"appendonly {'yes' if self._append_only else 'no'}\ndaemonize no\n"
        )
        return path

    def _answers(self) -> bool:
        """PING, by hand: a client library would retry on its own schedule."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (chunk := connection.recv(256)):
                    answer += chunk
        except (ConnectionError, TimeoutError):
            return False
        return answer == b"+OK\r\n+PONG\r\n"  # while it loads its append-only file: -LOADING …
