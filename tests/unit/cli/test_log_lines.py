"""Log lines: what gets in, what stays out."""

from __future__ import annotations

import ast
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from streamsync.cli.context import AppContext
from streamsync.errors import StoreUnavailable
from streamsync.log import ALLOWED, UnknownLogKeyError, configure_logging, get_logger

PACKAGE = Path(__file__).resolve().parents[3] / "streamsync"


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging as it was, and lenient unless the test says otherwise."""
    monkeypatch.delenv("STREAMSYNC_TEST_STRICT_LOGS", raising=False)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_a_line_is_json_with_time_level_event_and_logger(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    get_logger("streamsync.worker").info("job_done", job_id=7, tenant_id="loja-1", duration_ms=1.5)
    (line,) = lines(capsys)
    assert list(line)[:3] == ["ts", "level", "event"]
    written = datetime.fromisoformat(line.pop("ts"))
    assert written.utcoffset() == UTC.utcoffset(None)
    assert line == {
        "level": "info",
        "event": "job_done",
        "logger": "streamsync.worker",
        "job_id": 7,
        "tenant_id": "loja-1",
        "duration_ms": 1.5,
    }


def test_unknown_keys_and_values_that_are_not_plain_are_dropped_and_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info", "json")
    get_logger("x").info("job_done", name="Maria da Silva", cpf="529.982.247-25", count={"Maria": 1}, rows=3)
    text = capsys.readouterr().err
    assert "Maria" not in text
    assert "529" not in text
    assert json.loads(text)["dropped"] == 3
    assert json.loads(text)["rows"] == 3


@pytest.mark.parametrize("extra", [{"name": "Maria"}, {"reason": ["Maria"]}])
def test_strict_logging_raises_and_does_not_repeat_the_value(extra: dict[str, Any]) -> None:
    configure_logging("info", "json", strict=True)
    with pytest.raises(UnknownLogKeyError) as caught:
        get_logger("x").info("job_done", **extra)
    assert next(iter(extra)) in str(caught.value)
    assert "Maria" not in str(caught.value)


def test_the_variable_of_the_tests_makes_logging_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMSYNC_TEST_STRICT_LOGS", "1")
    configure_logging("info", "json")
    with pytest.raises(UnknownLogKeyError):
        get_logger("x").info("job_done", name="Maria")


def test_an_exception_leaves_its_class_and_places_and_not_its_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info", "json")
    try:
        raise ValueError("Key (cpf)=(529.982.247-25) already exists")
    except ValueError:
        get_logger("x").exception("commit_failed")
        logging.getLogger("psycopg").exception("it failed")
    text = capsys.readouterr().err
    assert "529" not in text
    ours, theirs = (json.loads(line) for line in text.splitlines())
    assert ours["error_class"] == theirs["error_class"] == "ValueError"
    assert "test_log_lines.py" in ours["trace"]
    assert ours["level"] == "error"


def test_an_error_of_ours_leaves_its_message_as_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    get_logger("x").warning("store_away", exc_info=StoreUnavailable("read-only"))
    (line,) = lines(capsys)
    assert line["reason"] == "read-only"
    assert line["error_class"] == "streamsync.errors.StoreUnavailable"


def test_the_level_holds(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("warning", "json")
    get_logger("x").info("quiet")
    get_logger("x").warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_a_logger_made_before_follows_a_later_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    log = get_logger("x")
    configure_logging("error", "json")
    log.warning("quiet")
    configure_logging("debug", "json")
    log.debug("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_the_allow_list_holds_without_any_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()
    get_logger("x").warning("early", name="Maria")
    assert "Maria" not in capsys.readouterr().err


def test_what_is_bound_to_the_context_is_on_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    with structlog.contextvars.bound_contextvars(job_id=7):
        get_logger("x").info("page_done")
    (line,) = lines(capsys)
    assert line["job_id"] == 7


def test_a_line_stays_one_line_of_bounded_length(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "console")
    get_logger("x").info("erp_answered", host="a\nlevel=error\x1b[2J", reason="x" * 5000, rows=2**80)
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert "\x1b[2J" not in text
    assert len(text) < 800


def test_libraries_go_through_the_same_renderer_from_warning_up(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler())
    logging.getLogger().handlers.clear()  # pytest's own fails on the broken line
    configure_logging("debug", "json")
    for name in ("httpx", "uvicorn.access", "redis", "another.library"):
        logging.getLogger(name).info("GET https://erp.example/?user=maria")
    logging.getLogger("uvicorn").warning("slow %s", "start")
    logging.getLogger("psycopg.pool").warning("error in %r: %s", "pool-1", ValueError("cpf 529"))
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: <Task ... 'Maria'>")
    logging.getLogger("broken").error("%d", "x")
    assert [(line["logger"], line["level"], line["event"]) for line in lines(capsys)] == [
        ("uvicorn", "warning", "slow start"),
        ("psycopg.pool", "warning", "error in 'pool-1': ValueError"),
        ("asyncio", "error", "Task exception was never retrieved"),
        ("broken", "error", "%d"),
    ]


def test_configuring_twice_writes_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    configure_logging("info", "json")
    logging.getLogger("uvicorn").warning("once")
    assert len(lines(capsys)) == 1


def test_auto_means_json_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "auto")
    get_logger("x").info("job_done")
    assert lines(capsys)[0]["event"] == "job_done"


def test_a_command_that_logs_tells_warnings_about_settings_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERP_SYNC_CONCURENCY", "4")
    monkeypatch.setenv("LOG_FORMAT", "json")
    app = AppContext()
    app.configure_logging()
    assert app.settings.concurrency == 1
    (line,) = lines(capsys)
    assert line["event"] == "unknown setting"
    assert "did you mean ERP_SYNC_CONCURRENCY?" in line["reason"]


def test_events_are_written_out_in_the_code_and_keys_are_known() -> None:
    """An event put together at run time could carry anything past the allow-list; a key not on it is lost."""
    methods = {"debug", "info", "warning", "error", "critical", "exception"}
    bad = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            target = node.func.value
            name = target.id if isinstance(target, ast.Name) else getattr(target, "attr", "")
            if node.func.attr not in methods or name.lstrip("_").lower() not in {"log", "logger"}:
                continue
            keys = {keyword.arg for keyword in node.keywords} - ALLOWED - {"exc_info", None}
            first = node.args[0] if node.args else None
            if keys or not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
                bad.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {keys or 'event'}")
    assert bad == []
