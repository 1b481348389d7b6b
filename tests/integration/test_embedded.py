"""The embedded servers work, come back, and never outlive the process that started them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from streamsync.embedded import (
    EmbeddedServerError,
    PostgresServer,
    RedisServer,
    Source,
    as_root,
    find_postgres,
)
from streamsync.embedded.binaries import find_redis
from streamsync.embedded.process import DirectoryLock
from streamsync.errors import ConfigurationError
from tests.plugins.servers import Choice
from tests.support import wait_until

_ROOT = Path(__file__).resolve().parents[2]
_NOBODY = 65534
_IS_ROOT = os.geteuid() == 0

#: Starts both servers, says where they are, and then does what its second argument says.
_PARENT = """
import ctypes, json, os, signal, sys, time
from pathlib import Path
user = sys.argv[4]
if user == "nobody":
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
elif user == "mapped":
    assert ctypes.CDLL(None).unshare(0x10000000) == 0, "user namespaces are forbidden"
    for name, text in (("setgroups", "deny"), ("uid_map", "1000 0 1"), ("gid_map", "1000 0 1")):
        Path("/proc/self", name).write_text(text)
from streamsync.embedded import PostgresServer, RedisServer
# A shell that starts the tests in its background has them ignore SIGINT, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
directory, then, source = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
with RedisServer.start(directory / "redis", source=source) as r:
    with PostgresServer.start(directory / "postgres", source=source, settings={"fsync": "off"}) as p:
        if then == "fork" and os.fork() == 0:
            time.sleep(60)  # holds our end of the pipes open after our death
            os._exit(0)
        print(json.dumps([r.pid, p.pid, r.url, p.url]), flush=True)
        if then == "leave":
            sys.exit(0)
        while True:
            time.sleep(60)
"""


@dataclass
class Parent:
    """A process of ours with both servers below it."""

    process: subprocess.Popen[bytes]
    server_pids: list[int]
    urls: list[str]


def _start_parent(directory: Path, then: str, source: Source, user: str = "same") -> Parent:
    process = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(directory), then, source, user],
        stdout=subprocess.PIPE,
        cwd=_ROOT,
        start_new_session=True,
    )
    assert process.stdout is not None
    *pids, redis_url, postgres_url = json.loads(process.stdout.readline())
    return Parent(process, pids, [redis_url, postgres_url])


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def _assert_both_end(parent: Parent) -> None:
    for pid in parent.server_pids:
        await wait_until(partial(_gone, pid), 15, f"server {pid} to be gone")


@pytest.fixture
def source(pytestconfig: pytest.Config) -> Source:
    return Choice.of(pytestconfig).source


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_no_server_outlives_its_parent(
    number: signal.Signals, own_server_dir: Path, source: Source
) -> None:
    parent = _start_parent(own_server_dir, "wait", source)
    with redis.Redis.from_url(parent.urls[0]) as client:
        assert client.ping()
    parent.process.send_signal(number)
    parent.process.communicate()
    await _assert_both_end(parent)
    # A clean stop, not merely an end: PostgreSQL removes its pid file only then.
    assert not os.path.exists(own_server_dir / "postgres/cluster/postmaster.pid")  # noqa: ASYNC240


async def test_a_forked_child_that_holds_the_pipe_open_does_not_keep_the_servers(
    own_server_dir: Path, source: Source
) -> None:
    parent = _start_parent(own_server_dir, "fork", source)
    parent.process.kill()
    parent.process.wait()
    await _assert_both_end(parent)
    os.killpg(parent.process.pid, signal.SIGKILL)  # the forked child
    parent.process.communicate()


async def test_frozen_servers_end_as_well(own_server_dir: Path, source: Source) -> None:
    parent = _start_parent(own_server_dir, "wait", source)
    for pid in parent.server_pids:
        os.kill(pid, signal.SIGSTOP)
    parent.process.kill()
    parent.process.communicate()
    await _assert_both_end(parent)


async def test_leaving_stops_them_before_we_are_gone(own_server_dir: Path, source: Source) -> None:
    parent = _start_parent(own_server_dir, "leave", source)
    parent.process.communicate()
    assert parent.process.returncode == 0
    assert all(map(_gone, parent.server_pids))


async def test_a_start_that_was_killed_half_way_is_begun_anew(own_server_dir: Path, source: Source) -> None:
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", _PARENT, str(own_server_dir), "wait", source, "same"],
        stdout=subprocess.DEVNULL,
        cwd=_ROOT,
    )
    half = own_server_dir / "postgres" / "cluster.new" / "PG_VERSION"
    await wait_until(half.exists, 30, "initdb to begin")
    process.kill()
    process.wait()
    with PostgresServer.start(own_server_dir / "postgres", source=source) as server:
        assert not half.exists()
        psycopg.connect(server.url).close()


async def test_a_killed_supervisor_takes_its_server_along(redis_server: RedisServer) -> None:
    pid = redis_server.pid
    parent = int(Path(f"/proc/{pid}/stat").read_text().split()[3])  # noqa: ASYNC240
    os.kill(parent, signal.SIGKILL)
    await wait_until(partial(_gone, pid), 15, "the server to be gone")


def _ordinary_user() -> str:
    """How root becomes one: uid 65534; or uid 1000 of a namespace, if only root can reach this Python."""
    if not _IS_ROOT:
        return "same"
    reachable = all(
        as_root._others_can_reach(Path(path).resolve())
        for path in (sys.executable, os.__file__, psycopg.__file__, __file__)
    )
    return "nobody" if reachable else "mapped"


async def test_as_an_ordinary_user(own_server_dir: Path, source: Source) -> None:
    place = own_server_dir / "theirs"
    place.mkdir()
    user = _ordinary_user()
    if user == "nobody":
        os.chown(place, _NOBODY, _NOBODY)
    parent = _start_parent(place, "wait", source, user)
    with psycopg.connect(parent.urls[1]) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("streamsync",)
    parent.process.kill()
    parent.process.communicate()
    await _assert_both_end(parent)


if _IS_ROOT:  # an ordinary user has no such case

    @pytest.mark.parametrize("closed", [False, True])
    def test_root_where_user_namespaces_are_forbidden(
        closed: bool, own_server_dir: Path, source: Source, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(as_root, "user_namespaces_allowed", lambda: False)
        monkeypatch.setattr(as_root, "_temporary_dir", lambda: own_server_dir)
        directory = own_server_dir / "open"
        if closed:  # as in a checkout below /root: neither the data nor the wheel's files can be reached
            (own_server_dir / "closed").mkdir(mode=0o700)
            directory = own_server_dir / "closed" / "postgres"
            wheel, real = Path(sys.prefix), as_root._others_can_reach
            monkeypatch.setattr(
                as_root, "_others_can_reach", lambda path: real(path) and not path.is_relative_to(wheel)
            )
        for _ in range(2):  # the second start finds the same data again
            with PostgresServer.start(directory, source=source) as server:
                assert Path(f"/proc/{server.pid}").stat().st_uid == _NOBODY
                with psycopg.connect(server.url) as connection:
                    connection.execute("CREATE TABLE IF NOT EXISTS kept ()")
                    connection.execute("INSERT INTO kept DEFAULT VALUES")
                    row = connection.execute("SELECT count(*) FROM kept").fetchone()
        assert row == (2,)


def test_redis_forgets_and_keeps_as_told(
    redis_server: RedisServer, durable_redis_server: RedisServer
) -> None:
    for server, kept in ((redis_server, None), (durable_redis_server, b"1")):
        for again in (server.restart, _after_kill(server)):
            with redis.Redis.from_url(server.url) as client:
                client.set("a", 1)
            port = server.port
            again()
            assert server.port == port
            with redis.Redis.from_url(server.url) as client:
                assert client.get("a") == kept
                assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def _after_kill(server: RedisServer) -> Callable[[], None]:
    def again() -> None:
        server.kill()
        server.restart()

    return again


def test_redis_wants_the_password(redis_server: RedisServer) -> None:
    with (
        redis.Redis(port=redis_server.port, retry=Retry(NoBackoff(), 0)) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_postgres_keeps_what_was_committed(postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.url) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS n")
    url = postgres_server.url
    postgres_server.restart()
    postgres_server.restart(immediate=True)
    postgres_server.kill()
    with pytest.raises(EmbeddedServerError):
        _ = postgres_server.pid
    postgres_server.restart()
    assert postgres_server.url == url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT n FROM t").fetchone() == (1,)


def test_postgres_wants_the_password_and_copies_databases(postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.create_database("a")) as connection:
        connection.execute("CREATE TABLE t ()")
    with psycopg.connect(postgres_server.create_database("b", template="a")) as connection:
        connection.execute("INSERT INTO t DEFAULT VALUES")
    postgres_server.drop_database("b")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host="127.0.0.1", port=postgres_server.port, user="streamsync", dbname="a")


def test_frozen_postgres_answers_again(postgres_server: PostgresServer) -> None:
    postgres_server.freeze()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres_server.url, connect_timeout=2)
    postgres_server.thaw()
    with psycopg.connect(postgres_server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_postgres_on_a_private_socket(own_server_dir: Path, source: Source) -> None:
    sockets = own_server_dir / "s"
    with PostgresServer.start(own_server_dir / "p", source=source, socket_dir=sockets) as server:
        assert sockets.stat().st_mode & 0o777 == 0o700
        with psycopg.connect(server.url, host=str(sockets)) as connection:
            assert connection.execute("SELECT inet_server_addr()").fetchone() == (None,)


def test_a_directory_in_use_is_refused(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsync.embedded.process._LOCK_SECONDS", 0.1)
    with pytest.raises(ConfigurationError, match="in use"):
        DirectoryLock(redis_server.data_dir)


def test_a_failure_shows_the_log(own_server_dir: Path, source: Source) -> None:
    with pytest.raises(EmbeddedServerError, match="no-such-option"):
        RedisServer.start(own_server_dir / "r", source=source, args=("--no-such-option", "1"))
    with pytest.raises(EmbeddedServerError, match="no_such_setting"):
        PostgresServer.start(own_server_dir / "p", source=source, settings={"no_such_setting": "1"})


@pytest.fixture
def _nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("streamsync.embedded.binaries._DEBIAN_POSTGRES", tmp_path)


@pytest.mark.usefixtures("_nothing_installed")
def test_without_binaries_one_line_says_what_to_install() -> None:
    with pytest.raises(ConfigurationError, match=r"embedded.*apt install redis-server") as redis_error:
        find_redis()
    with pytest.raises(ConfigurationError, match=r"apt install postgresql") as postgres_error:
        find_postgres("path")
    assert "\n" not in str(redis_error.value) + str(postgres_error.value)
