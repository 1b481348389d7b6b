"""Where settings come from, and which place counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamsync.config import load_settings
from streamsync.errors import ConfigurationError


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def message(environ: dict[str, str]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    return str(caught.value)


def test_without_anything_every_setting_is_its_default() -> None:
    loaded = load_settings({})
    assert loaded.settings.concurrency == 1
    assert loaded.settings.lock_ttl_seconds == 7200
    assert loaded.settings.redis_url is None
    assert set(loaded.sources.values()) == {"default"}
    assert loaded.warnings == ()


def test_each_place_counts_more_than_those_below_it(tmp_path: Path) -> None:
    write(tmp_path / "config/streamsync.toml", "concurrency = 2")
    environ = {"STREAMSYNC_SECRETS_DIR": str(tmp_path / "secrets")}
    (tmp_path / "secrets").mkdir()

    def effective(**overrides: object) -> tuple[int, str]:
        loaded = load_settings(environ, overrides=overrides)
        return loaded.settings.concurrency, loaded.sources["concurrency"]

    assert effective() == (2, "config/streamsync.toml")
    write(tmp_path / "secrets/erp_sync_concurrency", "3")
    assert effective() == (3, "secrets directory")
    environ["ERP_SYNC_CONCURRENCY_FILE"] = str(write(tmp_path / "four", "4\n"))
    assert effective() == (4, "file ERP_SYNC_CONCURRENCY_FILE")
    del environ["ERP_SYNC_CONCURRENCY_FILE"]
    environ["ERP_SYNC_CONCURRENCY"] = "5"
    assert effective() == (5, "environment ERP_SYNC_CONCURRENCY")
    assert effective(concurrency=6) == (6, "command line")
    assert effective(concurrency=None) == (5, "environment ERP_SYNC_CONCURRENCY")


def test_a_wrong_value_that_does_not_count_is_no_fault(tmp_path: Path) -> None:
    write(tmp_path / "config/streamsync.toml", "concurrency = 0")
    assert load_settings({"ERP_SYNC_CONCURRENCY": "5"}).settings.concurrency == 5


def test_an_override_of_an_unknown_setting_is_a_bug() -> None:
    with pytest.raises(TypeError, match="concurency"):
        load_settings({}, overrides={"concurency": 1})


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_an_empty_variable_counts_as_unset(empty: str) -> None:
    loaded = load_settings(
        {"ERP_SYNC_CONCURRENCY": empty, "REDIS_URL_FILE": empty, "STREAMSYNC_CONFIG": empty}
    )
    assert loaded.settings.concurrency == 1
    assert loaded.sources["concurrency"] == "default"


def test_white_space_around_a_value_is_not_part_of_it() -> None:
    assert load_settings({"LOG_LEVEL": " INFO\n"}).settings.log_level == "info"


def test_a_variable_and_its_file_together_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "url", "redis://:hidden@a")
    text = message({"REDIS_URL": "redis://b", "REDIS_URL_FILE": str(path)})
    assert "REDIS_URL and REDIS_URL_FILE" in text
    assert "not both" in text
    assert "hidden" not in text


def test_an_alias_and_the_file_of_another_alias_together_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "step", "5")
    name = "ERP_SYNC_DELAY_CUSTOMERS_STEP_MS_FILE"
    assert name in message({"ERP_SYNC_DELAY_CUSTOMERS_MS_STEP": "5", name: str(path)})


def test_an_empty_variable_does_not_stand_in_the_way_of_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / "url", "redis://a\n")
    loaded = load_settings({"REDIS_URL": "", "REDIS_URL_FILE": str(path)})
    assert loaded.settings.require_redis_url() == "redis://a"


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b"", "is empty"), (b"\xff\xfe", "not UTF-8")]
)
def test_a_file_that_cannot_be_used_is_told_with_its_path(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "url"
    if content is not None:
        path.write_bytes(content)
    text = message({"REDIS_URL_FILE": str(path)})
    assert f"REDIS_URL_FILE (file {path})" in text
    assert reason in text


def test_a_folder_in_place_of_a_file_is_told(tmp_path: Path) -> None:
    assert "REDIS_URL_FILE" in message({"REDIS_URL_FILE": str(tmp_path)})


@pytest.mark.parametrize(
    ("one", "other", "field"),
    [
        ("ERP_SYNC_DELAY_CUSTOMERS_STEP_MS", "ERP_SYNC_DELAY_CUSTOMERS_MS_STEP", "delay_customers_step_ms"),
        ("ERP_SYNC_DELAY_PRODUCTS_STEP_MS", "ERP_SYNC_DELAY_PRODUCTS_MS_STEP", "delay_products_step_ms"),
        ("ERP_SYNC_LIMITER_JOB_STARTS_MAX", "ERP_SYNC_JOB_STARTS_MAX", "job_starts_max"),
        (
            "ERP_SYNC_LIMITER_JOB_STARTS_DURATION_MS",
            "ERP_SYNC_JOB_STARTS_DURATION_MS",
            "job_starts_duration_ms",
        ),
    ],
)
def test_both_names_of_a_setting_work_and_must_agree(one: str, other: str, field: str) -> None:
    for name in (one, other):
        loaded = load_settings({name: "77"})
        assert getattr(loaded.settings, field) == 77
        assert loaded.sources[field] == f"environment {name}"
    assert getattr(load_settings({one: "77", other: " 77"}).settings, field) == 77
    text = message({one: "77", other: "78"})
    assert f"{one} and {other}" in text
    assert '"77" and "78"' in text


@pytest.mark.parametrize("name", ["redis_url", "REDIS_URL"])
def test_files_of_the_secrets_directory_are_named_like_variables(tmp_path: Path, name: str) -> None:
    write(tmp_path / "s" / name, "redis://:pw@a\n")
    loaded = load_settings({"STREAMSYNC_SECRETS_DIR": str(tmp_path / "s")})
    assert loaded.settings.require_redis_url() == "redis://:pw@a"
    assert loaded.sources["redis_url"] == "secrets directory"


def test_the_default_secrets_directory_is_used_where_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsync.config.sources.DEFAULT_SECRETS_DIR", str(tmp_path / "s"))
    write(tmp_path / "s/redis_url", "redis://a")
    assert load_settings({}).sources["redis_url"] == "secrets directory"


def test_the_same_secret_in_both_cases_with_different_values_is_refused_unseen(tmp_path: Path) -> None:
    write(tmp_path / "s/redis_url", "redis://:secret1@a")
    write(tmp_path / "s/REDIS_URL", "redis://:secret2@a")
    text = message({"STREAMSYNC_SECRETS_DIR": str(tmp_path / "s")})
    assert "REDIS_URL and redis_url" in text
    assert "secret1" not in text
    assert "secret2" not in text


def test_an_empty_secret_and_a_misspelt_one_are_warned_of(tmp_path: Path) -> None:
    write(tmp_path / "s/redis_url", "\n")
    write(tmp_path / "s/streamsync_credential_key", "x")
    (tmp_path / "s/kubernetes.io").mkdir()
    loaded = load_settings({"STREAMSYNC_SECRETS_DIR": str(tmp_path / "s")})
    assert loaded.settings.redis_url is None
    misspelt, empty = sorted(loaded.warnings, reverse=True)
    assert "did you mean STREAMSYNC_CREDENTIAL_KEYS?" in misspelt
    assert "redis_url" in empty


def test_a_secrets_directory_that_is_asked_for_must_exist(tmp_path: Path) -> None:
    text = message({"STREAMSYNC_SECRETS_DIR": str(tmp_path / "nowhere")})
    assert "STREAMSYNC_SECRETS_DIR (environment)" in text
    assert "nowhere" in text


def test_the_toml_file_is_named_by_the_command_line_then_the_environment_then_found(tmp_path: Path) -> None:
    write(tmp_path / "config/streamsync.toml", "concurrency = 1")
    by_variable = write(tmp_path / "a.toml", "concurrency = 2")
    by_option = write(tmp_path / "b.toml", "concurrency = 3")
    environ = {"STREAMSYNC_CONFIG": str(by_variable)}
    assert load_settings({}).settings.concurrency == 1
    assert load_settings(environ).sources["concurrency"] == str(by_variable)
    assert load_settings(environ).settings.concurrency == 2
    assert load_settings(environ, config_file=by_option).settings.concurrency == 3


def test_a_toml_file_that_is_asked_for_must_exist(tmp_path: Path) -> None:
    assert "environment STREAMSYNC_CONFIG" in message({"STREAMSYNC_CONFIG": str(tmp_path / "nowhere")})
    with pytest.raises(ConfigurationError, match=r"nowhere \(command line\)"):
        load_settings({}, config_file=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("concurency", "concurrency"),
        ("ERP_SYNC_CONCURRENCY", "concurrency"),
        ("ERP_SYNC_DELAY_CUSTOMERS_MS_STEP", "delay_customers_step_ms"),
        ("redis-url", "redis_url"),
        ("Max_Retries", "max_retries"),
    ],
)
def test_an_unknown_key_of_the_toml_file_is_refused_with_the_nearest_known(
    tmp_path: Path, key: str, meant: str
) -> None:
    write(tmp_path / "config/streamsync.toml", f"{key} = 3")
    text = message({})
    assert f"{key} (config/streamsync.toml): an unknown key; did you mean {meant}?" in text


def test_a_table_in_the_toml_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "config/streamsync.toml", "[worker]\nconcurrency = 3")
    text = message({})
    assert "worker (config/streamsync.toml): an unknown table; settings stand in one flat table" in text


def test_a_broken_toml_file_is_told_by_place_and_not_quoted(tmp_path: Path) -> None:
    write(tmp_path / "config/streamsync.toml", 'log_level = "info"\nredis_url = redis://:hidden@h')
    text = message({})
    assert "is not TOML (at line 2" in text
    assert "hidden" not in text


def test_toml_values_have_toml_types(tmp_path: Path) -> None:
    write(tmp_path / "config/streamsync.toml", 'concurrency = 3\nretry_factor = 1.5\njitter_salt = "é"')
    settings = load_settings({}).settings
    assert (settings.concurrency, settings.retry_factor, settings.jitter_salt) == (3, 1.5, "é")


@pytest.mark.parametrize("value", ["true", "1.5", '"x"', "[1]", "{a = 1}", "2020-01-01"])
def test_a_toml_value_of_the_wrong_type_is_refused(tmp_path: Path, value: str) -> None:
    write(tmp_path / "config/streamsync.toml", f"concurrency = {value}")
    assert "concurrency (config/streamsync.toml): got " in message({})


def test_an_unknown_variable_of_ours_is_a_warning_with_the_nearest_known() -> None:
    loaded = load_settings({"ERP_SYNC_CONCURENCY": "9", "STREAMSYNC_QEUE": "x", "OTHER": "1"})
    assert loaded.settings.concurrency == 1
    first, second = loaded.warnings
    assert "ERP_SYNC_CONCURENCY" in first
    assert "did you mean ERP_SYNC_CONCURRENCY?" in first
    assert "did you mean STREAMSYNC_QUEUE?" in second


def test_a_variable_in_lower_case_is_a_warning() -> None:
    (warning,) = load_settings({"erp_sync_concurrency": "9"}).warnings
    assert "did you mean ERP_SYNC_CONCURRENCY?" in warning


def test_variables_of_tests_and_of_kubernetes_are_not_warned_of() -> None:
    environ = {
        "STREAMSYNC_TEST_STRICT_LOGS": "1",
        "STREAMSYNC_WORKER_SERVICE_HOST": "10.0.0.1",
        "STREAMSYNC_WORKER_SERVICE_PORT_HTTP": "80",
        "STREAMSYNC_WORKER_PORT": "tcp://10.0.0.1:80",
        "STREAMSYNC_WORKER_PORT_80_TCP_ADDR": "10.0.0.1",
        "STREAMSYNC_CONFIG": "",
        "REDIS_URL_FILE": "",
    }
    assert load_settings(environ).warnings == ()


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERP_SYNC_CONCURRENCY", "12")
    assert load_settings().settings.concurrency == 12
