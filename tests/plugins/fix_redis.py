"""Redis: one server for all tests, an empty database for each; and one of its own to break."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from streamsync.embedded import RedisServer
from tests.plugins.servers import REDIS_IMAGE, Choice


@pytest.fixture(scope="session")
def redis_session_url(pytestconfig: pytest.Config, server_dir: Path) -> Iterator[str]:
    """Address of the server that all tests share."""
    choice = Choice.of(pytestconfig)
    if choice.redis.kind == "url":
        with redis.Redis.from_url(choice.redis.url) as client:
            if keys := client.dbsize():
                # Ours to empty only if there is nothing of anyone's in it.
                pytest.exit(
                    f"REDIS_URL's database {client.get_connection_kwargs().get('db', 0)} holds {keys} keys; "
                    "tests use only an empty one: give another number (…/15)",
                    returncode=4,
                )
        yield choice.redis.url
    elif choice.redis.kind == "docker":
        from testcontainers.community.redis import RedisContainer

        with RedisContainer(REDIS_IMAGE) as container:
            yield f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}/0"
    else:
        with RedisServer.start(server_dir / "redis", source=choice.source) as server:
            yield server.url


@pytest.fixture
def redis_url(redis_session_url: str) -> Iterator[str]:
    """Address of an empty Redis database; emptied again after the test."""
    with redis.Redis.from_url(redis_session_url) as client:
        client.flushdb()
        yield redis_session_url
        client.flushdb()


@pytest.fixture
def redis_server(pytestconfig: pytest.Config, own_server_dir: Path) -> Iterator[RedisServer]:
    """A server of the test's own, to kill, freeze and restart. It forgets everything when it stops."""
    with RedisServer.start(own_server_dir / "redis", source=Choice.of(pytestconfig).source) as server:
        yield server


@pytest.fixture
def durable_redis_server(pytestconfig: pytest.Config, own_server_dir: Path) -> Iterator[RedisServer]:
    """The same with an append-only file, synced at every write: it remembers everything."""
    with RedisServer.start(
        own_server_dir / "durable-redis",
        source=Choice.of(pytestconfig).source,
        append_only=True,
        args=("--appendfsync", "always"),
    ) as server:
        yield server
