"""Our side of a supervised server: locks its directory, starts it, tells it to stop."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from streamsync.embedded import supervisor
from streamsync.errors import ConfigurationError, StreamsyncError

#: How the server runs when we are root: as we are, in a user namespace of its own, or as uid 65534.
Isolation = Literal["none", "userns", "nobody"]

_SUPERVISOR: Final = [sys.executable, "-I", "-S", str(Path(supervisor.__file__).resolve())]
_GRACE_SECONDS: Final = 10.0
_LOCK_SECONDS: Final = 15.0
_LOG_LINES: Final = 8


class EmbeddedServerError(StreamsyncError):
    """A server was found but did not start, or did not stop. The message ends with its last log lines."""


def free_port() -> int:
    """A free loopback port outside the range from which the kernel takes ports for outgoing connections.

    Inside that range a client that keeps trying a stopped server's port may one day get that very port as
    its own, connect to itself and so keep the server from coming back.
    """
    numbers = random.SystemRandom()
    for _ in range(200):
        port = numbers.randrange(15_000, 32_000)  # Linux' range starts at 32768, others' at 49152
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise EmbeddedServerError("found no free port between 15000 and 32000 on 127.0.0.1")


def user_namespaces_allowed() -> bool:
    """Whether a process may enter a user namespace of its own here (containers often forbid it)."""
    probe = subprocess.run([*_SUPERVISOR, "--probe"], check=False)  # noqa: S603 - our own script
    return probe.returncode == 0


class DirectoryLock:
    """Says that a directory is in use. The server inherits it, so it lasts exactly as long as the server."""

    def __init__(self, directory: Path) -> None:
        path = directory / "lock"
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        give_up = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                # A server whose parent was killed needs a moment to stop: worth waiting for.
                if time.monotonic() > give_up:
                    self.release()
                    raise ConfigurationError(f"{directory} is in use by another running server") from None
                time.sleep(0.02)

    def release(self) -> None:
        """Let go of our copy; the server's, if it runs, stays."""
        os.close(self.fd)


class SupervisedProcess:
    """A server (or initdb) below a supervisor. Ends with this process at the latest, however it ends."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        lock: DirectoryLock,
        fast: signal.Signals,
        immediate: signal.Signals,
        isolation: Isolation = "none",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        self._name = Path(argv[0]).name
        self._owner = os.getpid()
        spec = {
            "argv": list(argv),
            # Nothing of ours: no PG* variables, no secrets, no locale that the server might not know.
            "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **(env or {})},
            "log": str(log),
            "isolation": isolation,
            "stop_signals": {"f": int(fast), "i": int(immediate)},
            "parent": self._owner,
            "grace_seconds": _GRACE_SECONDS,
        }
        with log.open("ab") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - our own script
                [*_SUPERVISOR, json.dumps(spec)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C in the terminal is for us, not for the server
                pass_fds=(lock.fd,),
                cwd="/",
                bufsize=0,
            )
        atexit.register(self._stop_at_exit)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.strip().isdigit():
            self.wait(_GRACE_SECONDS)
            raise self.failure("did not start")
        #: The server's own process id.
        self.pid: Final = int(line)

    @property
    def running(self) -> bool:
        """Whether the supervisor, and so the server, is still there."""
        return self._process.poll() is None

    def wait(self, timeout_seconds: float) -> int:
        """Wait until server and supervisor have ended; the server's exit status (128 + n for signal n)."""
        try:
            status = self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise self.failure(f"did not end within {timeout_seconds:g} s") from None
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        atexit.unregister(self._stop_at_exit)
        return status

    def wait_exit_or(self, seconds: float) -> bool:
        """Sleep for `seconds` at most, less if the server ends: then true."""
        assert self._process.stdout is not None
        # The supervisor holds the other end and writes nothing more: readable means that it ended.
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def stop(self, *, immediate: bool = False) -> None:
        """Stop the server and wait until all its processes are gone. Does nothing if they are."""
        if self.running:
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # then it has just ended by itself
                self._process.stdin.write(b"i" if immediate else b"f")
        self.wait(2 * _GRACE_SECONDS)

    def kill(self) -> None:
        """SIGKILL the server and its children, as a crash or the kernel's out-of-memory killer would."""
        if self.running:
            supervisor.kill_tree(self.pid)
        self.wait(_GRACE_SECONDS)

    def freeze(self) -> None:
        """SIGSTOP the server and its children."""
        supervisor.send(self.pid, signal.SIGSTOP)  # first, so that it starts no more children
        for process in supervisor.descendants_of(self.pid):
            supervisor.send(process, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT all of them."""
        for process in (*supervisor.descendants_of(self.pid), self.pid):
            supervisor.send(process, signal.SIGCONT)

    def failure(self, what: str) -> EmbeddedServerError:
        """An error that shows the end of the server's log."""
        lines = self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return EmbeddedServerError(
            "\n  ".join([f"{self._name} {what}; its log ({self._log}) ends with", *lines])
        )

    def _stop_at_exit(self) -> None:
        if os.getpid() == self._owner:  # a forked child inherits this handler, but not the server
            self.stop()
