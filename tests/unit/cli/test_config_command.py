"""`streamsync config`."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner
from cryptography.fernet import Fernet

from streamsync.cli.main import cli
from streamsync.config.messages import masked_url
from streamsync.config.registry import SETTINGS

KEY = Fernet.generate_key().decode()
SECRETS = {
    "REDIS_URL": "redis://:hunter2@redis.example:6379/0",
    "DATABASE_URL": "postgresql://sync:hunter2@db.example/streamsync?sslpassword=hunter2",
    "STREAMSYNC_CREDENTIAL_KEYS": KEY,
}


def test_the_table_shows_every_setting_with_its_source() -> None:
    result = CliRunner().invoke(cli, ["config"], env={"ERP_SYNC_CONCURRENCY": "7"})
    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.output.splitlines()}
    assert set(rows) == {"Setting", *(info.variable for info in SETTINGS.values())}
    assert rows["ERP_SYNC_CONCURRENCY"].split() == [
        "ERP_SYNC_CONCURRENCY",
        "7",
        "environment",
        "ERP_SYNC_CONCURRENCY",
    ]
    assert rows["ERP_SYNC_MAX_RETRIES"].split() == ["ERP_SYNC_MAX_RETRIES", "3", "default"]
    assert "not set" in rows["REDIS_URL"]


def test_secrets_are_masked_and_hosts_are_not() -> None:
    for arguments in (["config"], ["config", "--json"]):
        result = CliRunner().invoke(cli, arguments, env=SECRETS)
        assert result.exit_code == 0
        assert "hunter2" not in result.output
        assert KEY not in result.output
        assert "redis://:***@redis.example:6379/0" in result.output
        assert "postgresql://sync:***@db.example/streamsync?sslpassword=***" in result.output


def test_json_holds_values_sources_and_warnings() -> None:
    result = CliRunner().invoke(
        cli, ["config", "--json"], env={"ERP_SYNC_CONCURRENCY": "7", "ERP_SYNC_CONCURENCY": "8"}
    )
    shown = json.loads(result.stdout)
    assert list(shown["settings"]) == list(SETTINGS)
    concurrency = shown["settings"]["concurrency"]
    assert concurrency["value"] == 7
    assert concurrency["default"] == 1
    assert concurrency["source"] == "environment ERP_SYNC_CONCURRENCY"
    assert concurrency["variables"] == ["ERP_SYNC_CONCURRENCY"]
    assert shown["settings"]["redis_url"]["value"] is None
    (warning,) = shown["warnings"]
    assert "did you mean ERP_SYNC_CONCURRENCY?" in warning
    assert result.stderr == ""


def test_warnings_stand_below_the_table() -> None:
    result = CliRunner().invoke(cli, ["config"], env={"ERP_SYNC_CONCURENCY": "8"})
    assert result.stdout.splitlines()[-1].startswith("warning: ERP_SYNC_CONCURENCY")


def test_the_file_of_the_option_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("concurrency = 5")
    result = CliRunner().invoke(cli, ["-c", str(path), "config", "--json"])
    assert json.loads(result.stdout)["settings"]["concurrency"]["source"] == str(path)


def test_wrong_settings_are_all_listed_with_status_2() -> None:
    result = CliRunner().invoke(
        cli, ["config"], env={"ERP_SYNC_CONCURRENCY": "0", **SECRETS, "DATABASE_URL": "x"}
    )
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "2 settings are wrong" in result.stderr
    assert "hunter2" not in result.stderr


def test_a_url_hides_too_much_rather_than_a_piece_of_the_password() -> None:
    assert masked_url("redis://h/0") == "redis://h/0"
    assert masked_url("redis://hunter2@h") == "redis://***@h"
    assert masked_url("postgresql://sync@h/db") == "postgresql://sync@h/db"
    assert masked_url("postgresql://u:hun/ter@2?x@h/db") == "postgresql://u:***@h/db"
    assert masked_url("redis://h?password=hunter2&db=1") == "redis://h?password=***&db=1"
    assert masked_url("unix://u:hunter2@/run/redis.sock") == "unix://u:***@/run/redis.sock"
    assert masked_url("hunter2") == "***"
