"""Connections to Redis, every setting explicit, and the translation of Redis' errors into ours.

redis-py's defaults are wrong for a queue: a silent retry repeats a command whose reply was lost (two
entries from one XADD) and a BLOCK longer than the socket timeout is tried eleven times before it fails.
So nothing is retried here; callers are loops that know what may be repeated.

Its socket timeout is off: for it redis-py sends by way of `asyncio.wait_for`, which in Python 3.11 loses a
cancellation that comes as it ends, and a loop that was told to stop goes on for ever. `run` sets the limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from streamsync.errors import ConfigurationError, QueueUnavailable

#: Longest wait for a reply of a command that does not block.
COMMAND_TIMEOUT_SECONDS: Final = 5.0

#: Answers of a server that will be well again: restarting, failing over, out of memory or disk. Where
#: redis-py has a class for an answer it cuts the code off the text; all others are known by their text.
_PASSING_CLASSES = (ReadOnlyError, OutOfMemoryError, MasterDownError, ClusterDownError, TryAgainError)
_PASSING_CODES = ("UNBLOCKED", "MISCONF", "NOREPLICAS", "BUSY ")

T = TypeVar("T")


class GroupMissing(QueueUnavailable):
    """The consumer group is gone: Redis forgot. It must be created again from the stream's beginning."""


def connect(url: str, *, max_connections: int = 256) -> Redis:
    """A client whose every command goes through `run`. It connects at first use; close it with `aclose()`."""
    return Redis.from_url(
        url,
        protocol=2,
        decode_responses=False,
        socket_timeout=None,
        socket_connect_timeout=COMMAND_TIMEOUT_SECONDS,
        socket_keepalive=True,
        health_check_interval=0,
        max_connections=max_connections,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
    )


async def run(reply: Awaitable[T], *, timeout_seconds: float = COMMAND_TIMEOUT_SECONDS + 1) -> T:
    """Await a reply within a time limit, with Redis' errors translated.

    Raises GroupMissing, QueueUnavailable (wait and go on) or ConfigurationError (wrong password or rights).
    Other answers of the server are mistakes of ours and pass through.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            return await reply
    except (AuthenticationError, AuthorizationError) as error:
        raise ConfigurationError(
            f"REDIS_URL: the server refuses the user or the password ({error})"
        ) from error
    except NoPermissionError as error:
        raise ConfigurationError(f"REDIS_URL: the server's user lacks a right ({error})") from error
    except (RedisConnectionError, RedisTimeoutError, TimeoutError, OSError) as error:
        if any(word in str(error) for word in ("NOAUTH", "WRONGPASS")):
            raise ConfigurationError(
                f"REDIS_URL: the server refuses the user or the password ({error})"
            ) from error
        raise QueueUnavailable(f"Redis is away: {type(error).__name__}") from error
    except NoScriptError:
        raise
    except ResponseError as error:
        text = str(error)
        if "NOGROUP" in text or "no such key" in text:
            raise GroupMissing("the consumer group is missing") from error
        if isinstance(error, _PASSING_CLASSES):
            raise QueueUnavailable(f"Redis cannot serve now: {type(error).__name__}") from error
        if any(code in text for code in _PASSING_CODES):
            raise QueueUnavailable(f"Redis cannot serve now: {text.split(' ', 1)[0]}") from error
        raise
    except RedisError as error:
        raise QueueUnavailable(f"Redis is away: {type(error).__name__}") from error


def command(client: Redis, *arguments: Any) -> Awaitable[Any]:
    """A plain command, to be awaited through `run`. (redis-py does not type `execute_command`.)"""
    reply: Awaitable[Any] = client.execute_command(*arguments)  # type: ignore[no-untyped-call]
    return reply


async def call(client: Redis, *arguments: Any) -> Any:
    """One plain command within the usual time limit, errors translated."""
    return await run(command(client, *arguments))
