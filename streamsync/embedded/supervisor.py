"""Runs one server and sees to its end: the process between us and the server.

Started as `python -I -S supervisor.py SPEC` (standard library only, so that it starts in some 20 ms).
It ends the server when its standard input gives a byte or ends, when the process that asked for the server
is gone, or when it is told to by a signal; when it is itself killed, the kernel tells the server.

Why so much: an end of file alone is not enough (a forked child of the parent may hold the pipe open), and
`PR_SET_PDEATHSIG` set from the parent directly would fire when the *thread* that started the server ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_CLONE_NEWUSER: Final = 0x10000000
_NOBODY: Final = 65534
_ON_LINUX: Final = sys.platform.startswith("linux")
#: Only where the kernel cannot report the parent's death (no pidfd): how often to look.
_PARENT_CHECK_SECONDS: Final = 0.5


def children_of(pid: int) -> list[int]:
    """The direct children of a process, by /proc; empty where there is none."""
    children = []
    for entry in os.listdir("/proc") if _ON_LINUX else ():
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as stat:
                    # The command name may hold spaces and brackets: the fields start after its last bracket.
                    parent = int(stat.read().rpartition(b")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
            if parent == pid:
                children.append(int(entry))
    return children


def descendants_of(pid: int) -> list[int]:
    """All processes below `pid`, parents first."""
    found: list[int] = []
    todo = [pid]
    while todo:
        new = children_of(todo.pop())
        found += new
        todo += new
    return found


def send(pid: int, number: int) -> bool:
    """Send a signal; false if the process is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def kill_tree(pid: int) -> None:
    """SIGKILL a server and everything below it, so that none of its processes finishes what it began."""
    if send(pid, signal.SIGSTOP):  # stopped first: it must not start new children while we list them
        for process in (*descendants_of(pid), pid):
            send(process, signal.SIGKILL)


def unshare_user_namespace() -> None:
    """Enter a new user namespace without mappings: root looks like uid 65534 there and keeps its files."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _become_server(spec: dict[str, Any], supervisor: int) -> None:
    """In the forked child: logs, identity, death signal, exec. Returns only by an exception."""
    log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)  # also lets go of the pipes to the parent
    os.dup2(log, 1)
    os.dup2(log, 2)
    if spec["isolation"] == "userns":
        unshare_user_namespace()
    elif spec["isolation"] == "nobody":
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    if _ON_LINUX:
        # After the change of identity, which clears it.
        _prctl(_PR_SET_PDEATHSIG, spec["stop_signals"]["f"])
        if os.getppid() != supervisor:
            os._exit(1)  # the supervisor died before the line above
    for number in (signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.execve(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606


def _start(spec: dict[str, Any]) -> int:
    supervisor = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            _become_server(spec, supervisor)
        except BaseException as error:  # noqa: BLE001 - nothing may run on in the forked copy
            os.write(2, f"cannot run {spec['argv'][0]}: {error}\n".encode())
        os._exit(127)
    return pid


class _Watch:
    """What can happen: the server ends, the parent goes or speaks, a signal comes."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._signalled = False
        self._wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note_signal)
        self._poll = select.poll()
        self._poll.register(self._wake_read, select.POLLIN)
        self._poll.register(0, select.POLLIN)
        self._parent_fd = -1
        if hasattr(os, "pidfd_open"):
            try:
                self._parent_fd = os.pidfd_open(parent)
                self._poll.register(self._parent_fd, select.POLLIN)
            except OSError:
                self._parent_fd = -1  # gone already, or the kernel forbids it: getppid decides, see below

    def _note_signal(self, *_: object) -> None:
        self._signalled = True

    def wait(self, timeout_seconds: float | None) -> str:
        """Sleep until something happens. The order: '' (only woken), 'f' (stop fast), 'i' (immediately)."""
        if self._parent_fd < 0 and timeout_seconds is None:
            timeout_seconds = _PARENT_CHECK_SECONDS
        order = ""
        for fd, _ in self._poll.poll(None if timeout_seconds is None else timeout_seconds * 1000):
            if fd == self._wake_read:
                os.read(fd, 4096)
            elif fd == 0:
                order = os.read(0, 1).decode() or "f"
                self._poll.unregister(0)
            else:
                order = order or "f"
                self._poll.unregister(fd)
        if self._signalled or os.getppid() != self._parent:
            order = order or "f"
        return order


def _reap(server: int) -> int | None:
    """Collect what has ended; the server's exit status if it was among them."""
    status = None
    while True:
        try:
            pid, raw = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == server:
            status = os.waitstatus_to_exitcode(raw)


def _supervise(spec: dict[str, Any]) -> int:
    watch = _Watch(spec["parent"])
    if _ON_LINUX:
        # A killed server's children become ours, so that we can wait for the last of them.
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    server = _start(spec)
    with contextlib.suppress(BrokenPipeError):  # then the parent is gone, and `watch` says so at once
        os.write(1, f"{server}\n".encode())
    deadline: float | None = None
    while (status := _reap(server)) is None:
        order = watch.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        if order and deadline is None:
            for process in (*descendants_of(server), server):
                send(process, signal.SIGCONT)  # a frozen server could not obey
            send(server, spec["stop_signals"][order])
            deadline = time.monotonic() + spec["grace_seconds"]
        elif deadline is not None and time.monotonic() >= deadline:
            kill_tree(server)
            deadline = time.monotonic() + 1
    me = os.getpid()
    while left := children_of(me):
        for process in left:
            send(process, signal.SIGKILL)
        time.sleep(0.005)
        _reap(server)
    return status if status >= 0 else 128 - status


def main() -> int:
    """Entry point: `--probe` says whether user namespaces are allowed, otherwise the argument is the spec."""
    if sys.argv[1] == "--probe":
        try:
            unshare_user_namespace()
        except (OSError, AttributeError):  # forbidden, or a system without them
            return 1
        return 0
    return _supervise(json.loads(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
