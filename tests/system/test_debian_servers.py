"""What operators run: the distribution's servers, found without being told where they are."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
import redis

from streamsync.embedded import PostgresServer, RedisServer, find_postgres, find_redis

pytestmark = pytest.mark.system


def test_debians_servers_start(own_server_dir: Path) -> None:
    with (
        RedisServer.start(own_server_dir / "redis", source="path") as redis_server,
        PostgresServer.start(own_server_dir / "postgres", source="path") as postgres_server,
        redis.Redis.from_url(redis_server.url) as client,
        psycopg.connect(postgres_server.url) as connection,
    ):
        assert client.ping()
        row = connection.execute("SELECT lower('É'), current_setting('server_version_num')::int").fetchone()
    assert row is not None
    assert row[0] == "é"
    assert row[1] // 10_000 == find_postgres("path").version[0] >= 15
    assert find_redis("path").version >= (7, 0)
