"""Checks of single values. A check's message may reach the operator's screen, so none repeats the value."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, SecretStr

from streamsync.config.hosts import parse_hosts
from streamsync.jobs import ENTITIES

_QUEUE_NAME: Final = re.compile(r"[a-z0-9-]+")


def _not_a_boolean(value: object) -> object:
    """Pydantic reads `true` as 1; in a TOML file that is a mistake, not a number."""
    if isinstance(value, bool):
        raise ValueError("a boolean is not a number")
    return value


def _lower(value: object) -> object:
    """`LOG_LEVEL=INFO` is what most people type."""
    return value.lower() if isinstance(value, str) else value


def _redis_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("the scheme is not one of these")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # `from None` is not enough: the original error quotes a piece of the URL and would stay as context.
        port = -1
    if port == -1:
        raise ValueError("host or port cannot be read; percent-encode special characters in the password")
    if parts.scheme == "unix" and not parts.path.strip("/"):
        raise ValueError("the path of the socket is missing")
    return value


def _database_url(value: SecretStr) -> SecretStr:
    # Imported here: libpq takes a while to load, and `streamsync config` without a database needs none of it.
    from psycopg import Error
    from psycopg.conninfo import conninfo_to_dict

    url = value.get_secret_value()
    if not url.startswith(("postgres://", "postgresql://")):
        raise ValueError("the scheme is not one of these")
    readable = True
    try:
        conninfo_to_dict(url)
    except Error:
        readable = False
    if not readable:
        raise ValueError(
            "PostgreSQL's library cannot read it; percent-encode special characters in the password"
        )
    return value


def split_words(text: str) -> tuple[str, ...]:
    """The words (keys, names, hosts) in a list separated by commas or white space."""
    return tuple(word for word in re.split(r"[\s,]+", text) if word)


def _credential_keys(value: SecretStr) -> SecretStr:
    from cryptography.fernet import Fernet

    keys = split_words(value.get_secret_value())
    if not keys:
        raise ValueError("there is no key in it")
    bad = []
    for number, key in enumerate(keys, start=1):
        try:
            Fernet(key)
        except ValueError:
            bad.append(str(number))
    if bad:
        raise ValueError(f"of {len(keys)}, not a Fernet key: number {', '.join(bad)}")
    return value


def _entity_names(value: str) -> str:
    if not set(split_words(value)) <= set(ENTITIES):
        raise ValueError("it names something else")
    return value


def _host_list(value: str) -> str:
    parse_hosts(split_words(value))
    return value


def _queue_name(value: str) -> str:
    if not _QUEUE_NAME.fullmatch(value):
        raise ValueError("it has other characters, or none")
    return value


def _host(value: str) -> str:
    if not value or any(character.isspace() or character in "/@" for character in value):
        raise ValueError("not the name or address of a host")
    return value


def _cron(value: str) -> str:
    from cronsim import CronSim, CronSimError

    try:
        fires = next(CronSim(value, datetime.now(UTC)), None)
    except CronSimError as error:
        raise ValueError(str(error).lower()) from None
    if fires is None:
        raise ValueError("such a moment never comes")
    return value


_DAYS: Final = re.compile(r"(?:([a-z_]+)=)?(\d{1,4}(?:\.\d{1,3})?)")


def split_days(text: str) -> dict[str, float]:
    """Days per name in a list such as `7 stock=1`; what holds for all others is under the empty name."""
    return {match[1] or "": float(match[2]) for word in text.split() if (match := _DAYS.fullmatch(word))}


def _days(value: str) -> str:
    words = value.split()
    if not words or len(split_days(value)) != len(words):
        raise ValueError("a word in it is no number of days, or a name stands twice")
    return value


def _timezone(value: str) -> str:
    # ZoneInfo reads a file of that name: a folder ("America"), a path or an absurd name fail in other ways.
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError("no such time zone") from None
    return value


Whole = Annotated[int, BeforeValidator(_not_a_boolean)]
Number = Annotated[float, BeforeValidator(_not_a_boolean)]
#: To be put around a `Literal`, as in `Annotated[Literal["a", "b"], AnyCase]`.
AnyCase: Final[Any] = BeforeValidator(_lower)
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
CredentialKeys = Annotated[SecretStr, AfterValidator(_credential_keys)]
EntityNames = Annotated[str, AfterValidator(_entity_names)]
QueueName = Annotated[str, AfterValidator(_queue_name)]
Host = Annotated[str, AfterValidator(_host)]
HostNames = Annotated[str, AfterValidator(_host_list)]
Cron = Annotated[str, AfterValidator(_cron)]
Days = Annotated[str, AfterValidator(_days)]
TimeZone = Annotated[str, AfterValidator(_timezone)]
