"""What a result was measured on: figures without it mean nothing."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

from streamsync.embedded import PostgresServer, RedisServer


def describe(redis: RedisServer, postgres: PostgresServer) -> dict[str, object]:
    """Cores, versions, servers. No host name, no path."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "redis_server": ".".join(map(str, redis.binary.version)),
        "postgresql": ".".join(map(str, postgres.binary.version)),
        "packages": {
            name: version(name) for name in ("streamsync", "redis", "hiredis", "psycopg", "uvloop", "orjson")
        },
    }
