"""The group: lazy commands, and what errors become."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import click
import pytest
from click.testing import CliRunner

from streamsync import __version__
from streamsync.cli.context import AppContext, pass_app
from streamsync.cli.main import COMMANDS, LazyCommand, cli
from streamsync.errors import (
    ConfigurationError,
    PermanentError,
    QueueUnavailable,
    StoreUnavailable,
)


class Probe:
    """A command that does what the test wants."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.options: dict[str, object] = {}
        self.app = AppContext()
        self.concurrency = 0


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Probe:
    """Registers `streamsync probe`."""
    told = Probe()

    @click.command
    @click.option("--concurrency", type=int)
    @pass_app
    def command(app: AppContext, concurrency: int | None) -> None:
        told.app = app
        if told.error is not None:
            raise told.error
        app.override(concurrency=concurrency)
        told.concurrency = app.settings.concurrency

    module = ModuleType("streamsync_probe")
    module.probe = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "streamsync_probe", module)
    table = {**COMMANDS, "probe": LazyCommand("streamsync_probe", "probe", "Probe.")}
    monkeypatch.setattr("streamsync.cli.main.COMMANDS", table)
    return told


def test_version() -> None:
    result = CliRunner().invoke(cli, ["--version"])
    assert (result.exit_code, result.output) == (0, f"streamsync {__version__}\n")


def test_help_lists_every_command_and_the_exit_statuses() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    for name, entry in COMMANDS.items():
        assert f"  {name} " in result.output
        assert entry.short_help in result.output
    for text in ("0 = done", "1 = failed", "2 = wrong", "3 =", "130 = interrupted"):
        assert text in result.output


def test_help_imports_no_command_and_no_settings() -> None:
    code = (
        "import sys\n"
        "from streamsync.cli.main import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "heavy = {'pydantic', 'psycopg', 'redis', 'httpx', 'rich', 'structlog'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_command_the_help_is_shown() -> None:
    assert "Commands" in CliRunner().invoke(cli, []).output


def test_an_unknown_command_gets_a_suggestion() -> None:
    result = CliRunner().invoke(cli, ["worke"])
    assert result.exit_code == 2
    assert "Did you mean 'worker'?" in result.stderr


def test_an_unknown_option_is_wrong_usage() -> None:
    assert CliRunner().invoke(cli, ["--nonsense"]).exit_code == 2


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ConfigurationError("REDIS_URL is not set"), 2, "streamsync: REDIS_URL is not set\n"),
        (StoreUnavailable("away\nfor now"), 3, "streamsync: PostgreSQL is not available: away for now\n"),
        (QueueUnavailable("loading"), 3, "streamsync: Redis is not available: loading\n"),
        (QueueUnavailable(), 3, "streamsync: Redis is not available: QueueUnavailable\n"),
        (PermanentError("erp_auth", "refused"), 1, "streamsync: refused\n"),
        (KeyboardInterrupt(), 130, ""),
        (click.ClickException("no"), 1, "Error: no\n"),
    ],
)
def test_errors_become_one_message_and_a_status(
    probe: Probe, error: BaseException, status: int, text: str
) -> None:
    probe.error = error
    result = CliRunner().invoke(cli, ["probe"])
    assert (result.exit_code, result.stderr, result.stdout) == (status, text, "")


def test_an_error_nobody_meant_is_not_hidden(probe: Probe) -> None:
    probe.error = ZeroDivisionError()
    result = CliRunner().invoke(cli, ["probe"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_a_command_that_cannot_be_imported_does_not_break_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {
        "config": COMMANDS["config"],
        "absent": LazyCommand("streamsync.cli.absent", "absent", "Absent."),
        "extra": LazyCommand("valkey_of_the_moon.process", "extra", "Extra."),
    }
    monkeypatch.setattr("streamsync.cli.main.COMMANDS", table)
    assert "Absent." in CliRunner().invoke(cli, ["--help"]).output
    assert CliRunner().invoke(cli, ["config"]).exit_code == 0
    result = CliRunner().invoke(cli, ["absent"])
    assert (result.exit_code, "has no streamsync.cli.absent" in result.stderr) == (2, True)
    result = CliRunner().invoke(cli, ["extra"])
    assert (result.exit_code, "needs the package valkey_of_the_moon" in result.stderr) == (2, True)


def test_wrong_settings_stop_a_command_with_one_message(probe: Probe) -> None:
    result = CliRunner().invoke(cli, ["probe"], env={"ERP_SYNC_CONCURRENCY": "0", "LOG_LEVEL": "loud"})
    assert result.exit_code == 2
    assert result.stderr.startswith("streamsync: 2 settings are wrong")
    assert probe.concurrency == 0


def test_options_of_a_command_replace_settings(probe: Probe) -> None:
    env = {"ERP_SYNC_CONCURRENCY": "4"}
    assert CliRunner().invoke(cli, ["probe"], env=env).exit_code == 0
    assert probe.concurrency == 4
    assert CliRunner().invoke(cli, ["probe", "--concurrency", "9"], env=env).exit_code == 0
    assert probe.concurrency == 9
    assert probe.app.loaded.sources["concurrency"] == "command line"


def test_warnings_are_told_once_on_stderr(probe: Probe) -> None:
    result = CliRunner().invoke(cli, ["probe"], env={"ERP_SYNC_CONCURENCY": "4"})
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: ERP_SYNC_CONCURENCY")
    assert result.stdout == ""
    assert probe.app.settings.concurrency == 1
    assert result.stderr.count("warning") == 1


def test_a_context_can_be_handed_in(probe: Probe) -> None:
    app = AppContext(overrides={"concurrency": 3})
    assert CliRunner().invoke(cli, ["probe"], obj=app).exit_code == 0
    assert probe.app is app
    assert probe.concurrency == 3


def test_ctrl_c_ends_the_installed_command_with_130() -> None:
    code = (
        "import sys\n"
        "from streamsync.cli import main\n"
        "def interrupted(**_): raise KeyboardInterrupt\n"
        "main.cli = interrupted\n"
        "main.main()\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 130


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_commands_are(name: str) -> None:
    entry = COMMANDS[name]
    assert entry.attribute == name
    assert entry.short_help.endswith(".")
    assert len(entry.short_help) <= 60
