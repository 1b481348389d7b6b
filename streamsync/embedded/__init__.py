"""Real servers for the demo and the tests, surely ended when we end. Production brings its own."""

from streamsync.embedded.binaries import Binary, Source, find_postgres, find_redis
from streamsync.embedded.postgres_server import PostgresServer
from streamsync.embedded.process import EmbeddedServerError
from streamsync.embedded.redis_server import RedisServer

__all__ = [
    "Binary",
    "EmbeddedServerError",
    "PostgresServer",
    "RedisServer",
    "Source",
    "find_postgres",
    "find_redis",
]
