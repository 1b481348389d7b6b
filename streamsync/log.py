"""Log lines: one event name and known keys, as JSON or for a console, in UTC.

Personal data must not reach the logs. No filter recognises a name or a CPF, so nothing is filtered: a line
holds only the keys of `ALLOWED`, with plain values, and everything else is dropped (and counted), or raises
where `strict` is set, as in the tests. Messages of exceptions are not logged either, because PostgreSQL's
quote rows: the exception's class and the places it passed are.

Lines of libraries (uvicorn, httpx, psycopg, redis, asyncio) go through the same renderer, from WARNING up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import traceback
from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Literal, cast

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "console"]

#: The keys that may appear in a line. Add one only if no record of a shop can ever be its value.
ALLOWED: Final[frozenset[str]] = frozenset(
    """
    event level ts logger
    job_id tenant_id kind attempt attempts trigger state outcome due_at scheduled_for tick_id cron timezone
    worker consumer fence partition partitions queue entry_id stream deliveries processes pid signal
    entity scope cursor page pages full
    rows fetched inserted updated unchanged rejected duplicates deleted bytes
    error_class http_status reason code trace
    host port method field setting command version migration file line
    count tenants jobs created claimed busy refused lost promoted recovered cancelled coalesced missed
    reconciled concurrency running waiting delayed limit limiter permits
    duration_ms delay_ms late_ms wait_ms timeout_ms idle_ms retry_after_seconds age_seconds
    dropped
    """.split()  # noqa: SIM905 - eighty quoted words would be harder to read
)

#: Libraries whose INFO lines are noise, or worse: httpx' hold URLs.
_LIBRARIES: Final = (
    "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi",
    "httpx", "httpcore", "psycopg", "psycopg.pool", "redis", "asyncio",
)  # fmt: skip
_LONGEST: Final = 300
_FRAMES: Final = 8
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
#: Where a line's key comes from structlog itself, not from a caller.
_INTERNAL: Final = frozenset({"_record", "_from_structlog"})


class UnknownLogKeyError(TypeError):
    """A line holds a key or a value that may not be logged. Raised in tests only."""


def configure_logging(level: Level, fmt: Format, *, strict: bool | None = None) -> None:
    """Set up structlog and the standard library's logging. May be called again; the last call counts.

    `strict` raises UnknownLogKeyError instead of dropping. By default it is on if STREAMSYNC_TEST_STRICT_LOGS
    is 1, so that processes started by the tests have it too.
    """
    number = cast("int", getattr(logging, level.upper()))
    chain, renderer = _configure_structlog(number, fmt, strict=strict)

    handler = _StderrHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_foreign_event, structlog.stdlib.add_logger_name, *chain],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            use_get_message=False,
            pass_foreign_args=True,
        )
    )
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _StderrHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(number, logging.WARNING))
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(max(number, logging.WARNING))


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger. Lines carry `name` and whatever is bound in structlog's context variables.

    Without `configure_logging` the allow-list holds all the same.
    """
    if not structlog.is_configured():
        _configure_structlog(logging.WARNING, "auto", strict=None)
    return cast("FilteringBoundLogger", structlog.get_logger(logger_name=name))


class _StderrHandler(logging.StreamHandler[Any]):
    """Looks `sys.stderr` up at each line: tests and supervisors replace it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, _: object) -> None:
        raise AttributeError("always the current sys.stderr")


def _configure_structlog(
    number: int, fmt: Format, *, strict: bool | None
) -> tuple[Sequence[Processor], Processor]:
    if strict is None:
        strict = os.environ.get("STREAMSYNC_TEST_STRICT_LOGS") == "1"
    chain: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _logger_key,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        _exception_without_message,
        _AllowList(strict=strict),
    ]
    renderer = _renderer(fmt)
    structlog.configure(
        processors=[*chain, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        # Module-level loggers must follow a later configure_logging.
        cache_logger_on_first_use=False,
    )
    return chain, renderer


def _renderer(fmt: Format) -> Processor:
    if fmt == "console" or (fmt == "auto" and sys.stderr.isatty()):
        return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), timestamp_key="ts")
    return _json_line


def _json_line(logger: WrappedLogger, method: str, line: EventDict) -> str:  # noqa: ARG001
    first = {key: line.pop(key) for key in ("ts", "level", "event") if key in line}
    return orjson.dumps({**first, **line}, option=orjson.OPT_NON_STR_KEYS).decode()


class _AllowList:
    """Lets known keys with plain values through."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict

    def __call__(self, logger: WrappedLogger, method: str, line: EventDict) -> EventDict:  # noqa: ARG002
        kept: EventDict = {}
        dropped = 0
        for key, value in line.items():
            if key in _INTERNAL:
                kept[key] = value
            elif key in ALLOWED and (value is None or isinstance(value, str | int | float | datetime)):
                kept[key] = _plain(value)
            elif self._strict:
                # The key and the type only: the value is what must not be seen.
                raise UnknownLogKeyError(
                    f"{key} ({type(value).__name__}) may not be logged; see streamsync.log.ALLOWED"
                )
            else:
                dropped += 1
        if dropped:
            kept["dropped"] = dropped
        return kept


def _plain(value: str | int | float | datetime | None) -> str | int | float | None:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, int) and value.bit_length() > 63:
        return str(value)  # orjson knows 64 bits
    if isinstance(value, str):
        # A line stays a line, whatever an ERP's host name or answer contains.
        text = _CONTROL.sub(" ", value)
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return value


def _logger_key(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:  # noqa: ARG001
    """structlog's own argument is named `logger`, so the name travels under another key until here."""
    if "logger_name" in line:
        line["logger"] = line.pop("logger_name")
    return line


def _exception_without_message(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:  # noqa: ARG001
    info = line.pop("exc_info", None)
    line.pop("stack_info", None)
    if not info:
        return line
    if isinstance(info, BaseException):
        error: BaseException | None = info
    elif isinstance(info, tuple):
        error = info[1]
    else:
        error = sys.exc_info()[1]
    if error is None:
        return line
    line.setdefault("error_class", _class_name(error))
    # Errors of ours carry no personal data, see streamsync.errors; known by name, since the modules of the
    # base layer import none of each other.
    if any(base.__module__ == "streamsync.errors" for base in type(error).__mro__):
        line.setdefault("reason", str(error))
    line.setdefault("trace", _trace(error.__traceback__))
    return line


def _class_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _trace(tb: TracebackType | None) -> str:
    """The innermost places, the one that raised first."""
    frames = traceback.extract_tb(tb)[-_FRAMES:]
    places = [f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno} {frame.name}" for frame in frames]
    return " < ".join(reversed(places))


def _foreign_event(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:  # noqa: ARG001
    """A library's message, with exceptions among its arguments replaced by their class.

    Only the first line: asyncio appends the repr of tasks and with it messages of exceptions.
    """
    arguments = line.pop("positional_args", None)
    if isinstance(arguments, tuple):
        arguments = tuple(
            _class_name(item) if isinstance(item, BaseException) else item for item in arguments
        )
    text = str(line["event"])
    if arguments:
        # A message that does not fit its arguments is a library's bug; the template alone tells enough.
        with contextlib.suppress(TypeError, ValueError, KeyError):
            text = text % arguments
    line["event"] = text.partition("\n")[0]
    return line
