"""What settings take, what a message about wrong ones says, and that no secret is ever in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import ValidationError

from streamsync.config import Settings, load_settings
from streamsync.config.example import example_toml
from streamsync.config.registry import SETTINGS
from streamsync.errors import ConfigurationError
from streamsync.jobs import ENTITIES, KINDS

KEY = Fernet.generate_key().decode()
ROOT = Path(__file__).resolve().parents[3]


def message(environ: dict[str, str]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    return str(caught.value)


def test_one_message_tells_every_fault(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/streamsync.toml").write_text("max_retries = 101\nmax_retrys = 1\n")
    (tmp_path / "key").write_text("not-a-key")
    text = message(
        {
            "ERP_SYNC_CONCURRENCY": "0",
            "REDIS_URL": "http://:hunter2@h",
            "DATABASE_URL_FILE": str(tmp_path / "nowhere"),
            "STREAMSYNC_CREDENTIAL_KEYS_FILE": str(tmp_path / "key"),
            "STREAMSYNC_PRODUCTS_CRON": "61 * * * *",
            "ERP_SYNC_DELAY_PRODUCTS_MS_MAX": "500",
            "ERP_SYNC_PAGE_TIMEOUT_SECONDS": "30",
        }
    )
    head, *lines = text.splitlines()
    assert head == "9 settings are wrong; nothing was started:"
    assert [line.split()[0] for line in lines] == [
        "max_retrys",
        "REDIS_URL",
        "DATABASE_URL_FILE",
        "STREAMSYNC_CREDENTIAL_KEYS_FILE",
        "ERP_SYNC_CONCURRENCY",
        "max_retries",
        "ERP_SYNC_DELAY_PRODUCTS_MS_MAX",
        "STREAMSYNC_PRODUCTS_CRON",
        "ERP_SYNC_PAGE_TIMEOUT_SECONDS",
    ]
    assert '  ERP_SYNC_CONCURRENCY (environment): got "0"; takes a whole number from 1 to 4096' in lines
    assert "  max_retries (config/streamsync.toml): got 101; takes a whole number from 0 to 100" in lines
    assert "hunter2" not in text
    assert "not-a-key" not in text


def test_the_error_holds_no_context_with_the_raw_values() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"REDIS_URL": "http://:hunter2@h"})
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ERP_SYNC_CONCURRENCY", "4097"),
        ("ERP_SYNC_CONCURRENCY", "two"),
        ("ERP_SYNC_CONCURRENCY", "9" * 5000),
        ("ERP_SYNC_LOCK_TTL_SECONDS", "0"),
        ("ERP_SYNC_LOCK_TTL_SECONDS", "99999999999"),
        ("ERP_SYNC_MAX_RETRIES", "-1"),
        ("ERP_SYNC_RETRY_FACTOR", "0.5"),
        ("ERP_SYNC_RETRY_FACTOR", "nan"),
        ("ERP_SYNC_RETRY_FACTOR", "inf"),
        ("ERP_SYNC_DELAY_CUSTOMERS_MS_MAX", "-1"),
        ("ERP_SYNC_DELAY_CUSTOMERS_STEP_MS", "0"),
        ("ERP_SYNC_LIMITER_DURATION_MS", "0"),
        ("ERP_SYNC_LIMITER_HOST_MAX", "-1"),
        ("ERP_SYNC_LIMITER_HOST_DURATION_MS", "0"),
        ("STREAMSYNC_ERP_ALLOW_PRIVATE", "perhaps"),
        ("STREAMSYNC_ERP_ALLOWED_HOSTS", "erp.example http://erp.example"),
        ("STREAMSYNC_ERP_ALLOWED_HOSTS", "10.0.0.0/33"),
        ("STREAMSYNC_ERP_ALLOWED_HOSTS", "300.1.1.1"),
        ("STREAMSYNC_ERP_ALLOWED_HOSTS", "*"),
        ("STREAMSYNC_ERP_ALLOWED_HOSTS", "*.*.example"),
        ("STREAMSYNC_ERP_ALLOWED_HOSTS", "erp*.example"),
        ("ERP_SYNC_CONNECT_TIMEOUT_SECONDS", "0"),
        ("ERP_SYNC_RESPONSE_MAX_BYTES", "1023"),
        ("ERP_SYNC_PAGE_SIZE", "100001"),
        ("STREAMSYNC_CLAIM_IDLE_MS", "299"),
        ("STREAMSYNC_MAX_DELIVERIES", "1"),
        ("STREAMSYNC_BUSY_DELAY_MS", "9"),
        ("STREAMSYNC_PARTITIONS", "1025"),
        ("STREAMSYNC_HTTP_PORT", "65536"),
        ("STREAMSYNC_HTTP_HOST", "http://0.0.0.0"),
        ("STREAMSYNC_QUEUE", "Erp_Sync"),
        ("STREAMSYNC_STAGING", "statement"),
        ("STREAMSYNC_RAW_SKIP", "customers, orders"),
        ("STREAMSYNC_DATABASE_POOL_MAX", "201"),
        ("RETENTION_DAYS_JOBRUN", "0"),
        ("LOG_LEVEL", "verbose"),
        ("LOG_FORMAT", "xml"),
        ("STREAMSYNC_CUSTOMERS_CRON", "every night"),
        ("STREAMSYNC_CUSTOMERS_CRON", "0 3 * *"),
        ("STREAMSYNC_CUSTOMERS_CRON", "0 0 31 2 *"),
        ("STREAMSYNC_FULL_READ_DAYS", "weekly"),
        ("STREAMSYNC_FULL_READ_DAYS", "7 stock=-1"),
        ("STREAMSYNC_FULL_READ_DAYS", "7 stock=1 stock=2"),
        ("STREAMSYNC_DELETION_THRESHOLD_PERCENT", "101"),
        ("STREAMSYNC_TIMEZONE", "America"),
        ("STREAMSYNC_TIMEZONE", "Sao Paulo"),
        ("STREAMSYNC_TIMEZONE", "../../etc/passwd"),
    ],
)
def test_a_wrong_value_is_told_with_its_name_what_it_got_and_what_it_takes(name: str, value: str) -> None:
    head, line = message({name: value}).splitlines()
    assert head.startswith("1 setting is wrong")
    assert line.startswith(f'  {name} (environment): got "{value[:70]}')
    assert "; takes " in line
    assert len(line) < 300


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("ERP_SYNC_DELAY_CUSTOMERS_MS_MAX", "0", "delay_customers_ms_max", 0),
        ("ERP_SYNC_DELAY_PRODUCTS_MS_MAX", "60000", "delay_products_ms_max", 60000),
        ("ERP_SYNC_LOCK_TTL_SECONDS", "60", "lock_ttl_seconds", 60),
        ("ERP_SYNC_MAX_RETRIES", "0", "max_retries", 0),
        ("ERP_SYNC_LIMITER_MAX", "10", "limiter_max", 10),
        ("RETENTION_DAYS_JOBRUN", "30", "retention_days_jobrun", 30),
        ("ERP_SYNC_READ_TIMEOUT_SECONDS", "0.5", "erp_read_timeout_seconds", 0.5),
        ("LOG_LEVEL", "WARNING", "log_level", "warning"),
        ("STREAMSYNC_TIMEZONE", "UTC", "timezone", "UTC"),
        ("STREAMSYNC_CUSTOMERS_CRON", "*/5 * * * 1-5", "customers_cron", "*/5 * * * 1-5"),
        ("STREAMSYNC_STAGING", "transaction", "staging", "transaction"),
        ("STREAMSYNC_HTTP_HOST", "::", "http_host", "::"),
    ],
)
def test_right_values_are_taken(name: str, value: str, field: str, expected: object) -> None:
    assert getattr(load_settings({name: value}).settings, field) == expected


def test_raw_fields_are_kept_but_for_the_entities_named() -> None:
    assert Settings().keeps_raw("customers")
    skipping = Settings(raw_skip="customers, stock")
    assert [name for name in ENTITIES if not skipping.keeps_raw(name)] == ["customers", "stock"]


@pytest.mark.parametrize(
    "url", ["redis://h", "rediss://u:p@h:6380/1", "unix:///run/redis.sock?db=2", "redis://[::1]:6379"]
)
def test_urls_of_redis(url: str) -> None:
    assert load_settings({"REDIS_URL": url}).settings.require_redis_url() == url


@pytest.mark.parametrize(
    "url",
    [
        "postgres://h/db",
        "postgresql://u:p%40ss@h:5432/db?sslmode=require",
        "postgresql:///db?host=/run/postgresql",
        "postgresql://h1:5432,h2:5432/db",
    ],
)
def test_urls_of_postgresql(url: str) -> None:
    assert load_settings({"DATABASE_URL": url}).settings.require_database_url() == url


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("REDIS_URL", "hunter2"),
        ("REDIS_URL", "localhost:6379?password=hunter2"),
        ("REDIS_URL", "redis://:hunter2@h:port"),
        ("REDIS_URL", "redis://:hunter2#@[h"),
        ("REDIS_URL", "unix://"),
        ("DATABASE_URL", "host=h password=hunter2"),
        ("DATABASE_URL", "mysql://u:hunter2@h/db"),
        ("DATABASE_URL", "postgresql+psycopg://u:hunter2@h/db"),
        ("DATABASE_URL", "postgresql://u:hunter2%zz@h/db"),
        ("DATABASE_URL", "postgresql://u:hunter2@h/db?nonsense=1"),
    ],
)
def test_a_wrong_url_shows_its_scheme_at_most(name: str, url: str) -> None:
    text = message({name: url})
    assert f"{name} (environment): got " in text
    assert "***" in text
    assert "hunter2" not in text
    assert ("://" in url) == (f"got {url.partition('://')[0]}://***" in text)


@pytest.mark.parametrize("separator", [",", " ", "\n", " , \n"])
def test_credential_keys_come_as_a_list(separator: str) -> None:
    other = Fernet.generate_key().decode()
    settings = load_settings({"STREAMSYNC_CREDENTIAL_KEYS": f"{KEY}{separator}{other}"}).settings
    assert settings.require_credential_keys() == (KEY, other)


@pytest.mark.parametrize("keys", [f"{KEY},short", f"{KEY},{KEY[:-2]}", ",", f"{KEY} schlüssel"])
def test_every_credential_key_is_checked_and_none_is_shown(keys: str) -> None:
    text = message({"STREAMSYNC_CREDENTIAL_KEYS": keys})
    assert "STREAMSYNC_CREDENTIAL_KEYS (environment): got ***" in text
    assert KEY[:10] not in text
    assert "short" not in text
    assert keys == "," or "of 2, not a Fernet key: number 2" in text


def test_a_step_may_not_exceed_its_window_unless_there_is_none() -> None:
    off = {"ERP_SYNC_DELAY_CUSTOMERS_MS_MAX": "0", "ERP_SYNC_DELAY_CUSTOMERS_STEP_MS": "9"}
    assert load_settings(off).settings.delay_window_ms("customers") == 0
    equal = {"ERP_SYNC_DELAY_CUSTOMERS_MS_MAX": "9", "ERP_SYNC_DELAY_CUSTOMERS_MS_STEP": "9"}
    assert load_settings(equal).settings.delay_step_ms("customers") == 9
    text = message({"ERP_SYNC_DELAY_CUSTOMERS_MS_MAX": "999"})
    assert (
        'ERP_SYNC_DELAY_CUSTOMERS_MS_MAX (environment) = "999" and '
        "ERP_SYNC_DELAY_CUSTOMERS_STEP_MS (default) = 1000: the step may not be longer than the window"
    ) in text


def test_a_page_gets_at_least_the_time_of_one_silence() -> None:
    text = message({"ERP_SYNC_READ_TIMEOUT_SECONDS": "301"})
    assert "ERP_SYNC_PAGE_TIMEOUT_SECONDS (default) = 300" in text
    assert 'ERP_SYNC_READ_TIMEOUT_SECONDS (environment) = "301"' in text


def test_a_contradiction_with_a_wrong_value_is_not_made_up() -> None:
    text = message({"ERP_SYNC_DELAY_CUSTOMERS_MS_MAX": "x", "ERP_SYNC_DELAY_CUSTOMERS_STEP_MS": "9000000"})
    assert len(text.splitlines()) == 2


def test_the_class_itself_refuses_contradictions_and_hides_input() -> None:
    with pytest.raises(ValidationError, match="the step may not be longer"):
        Settings(delay_customers_ms_max=1)
    with pytest.raises(ValidationError) as caught:
        Settings(redis_url="http://:hunter2@h")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ValidationError, match="concurency"):
        Settings(concurency=1)  # type: ignore[call-arg]


def test_the_class_does_not_look_at_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCURRENCY", "7")
    monkeypatch.setenv("ERP_SYNC_CONCURRENCY", "7")
    assert Settings().concurrency == 1


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().concurrency = 2  # type: ignore[misc]


def test_secrets_are_masked_wherever_settings_are_printed() -> None:
    loaded = load_settings(
        {
            "REDIS_URL": "redis://:hunter2@h",
            "DATABASE_URL": "postgresql://u:hunter2@h/d",
            "STREAMSYNC_CREDENTIAL_KEYS": KEY,
        }
    )
    for text in (
        repr(loaded),
        str(loaded.settings),
        repr(loaded.settings),
        loaded.settings.model_dump_json(),
    ):
        assert "hunter2" not in text
        assert KEY not in text


@pytest.mark.parametrize(
    ("method", "variable"),
    [
        ("require_redis_url", "REDIS_URL"),
        ("require_database_url", "DATABASE_URL"),
        ("require_credential_keys", "STREAMSYNC_CREDENTIAL_KEYS"),
    ],
)
def test_what_is_required_and_missing_is_named_with_every_way_to_set_it(method: str, variable: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        getattr(Settings(), method)()
    text = str(caught.value)
    assert text.startswith(f"{variable} is not set")
    assert f"{variable}_FILE" in text
    assert variable.lower() in text


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_window_step_and_cron(kind: str) -> None:
    settings = Settings()
    assert settings.delay_window_ms(kind) == 3_600_000
    assert settings.delay_step_ms(kind) == 1000
    assert settings.cron(kind) == {"customers": "0 3 * * *", "products": "0 4 * * *"}[kind]


def test_an_unknown_kind_is_a_bug() -> None:
    with pytest.raises(ValueError, match="no such kind: orders"):
        Settings().cron("orders")


def test_every_setting_describes_itself_and_no_variable_sets_two() -> None:
    variables = [name for info in SETTINGS.values() for name in info.variables]
    assert len(variables) == len(set(variables))
    for info in SETTINGS.values():
        assert info.description, info.field
        assert not info.description.endswith("."), info.field
        assert info.takes, info.field


def test_the_example_file_is_what_the_class_says() -> None:
    assert (ROOT / "config/streamsync.toml").read_text(encoding="utf-8") == example_toml(), (
        "run: python -m streamsync.config.example > config/streamsync.toml"
    )


def test_the_example_file_loads_as_it_is_and_with_every_default_uncommented(tmp_path: Path) -> None:
    path = tmp_path / "example.toml"
    path.write_text(example_toml(), encoding="utf-8")
    assert set(load_settings({}, config_file=path).sources.values()) == {"default"}
    lines = re.findall(r"^# ([a-z_]+ = [^…\n]+)$", example_toml(), re.MULTILINE)
    path.write_text("\n".join(lines), encoding="utf-8")
    loaded = load_settings({}, config_file=path)
    assert loaded.settings == Settings()
    assert [field for field, source in loaded.sources.items() if source == "default"] == [
        "redis_url",
        "database_url",
        "credential_keys",
    ]


def test_days_between_full_reads_by_entity() -> None:
    """One number for all, and exceptions; entities that are not named and have no default never."""
    days = Settings(full_read_days="7 stock=1 prices=0").full_read_days_of
    assert (days("customers"), days("stock"), days("prices")) == (7, 1, 0)
    days = Settings(full_read_days="stock=0.5").full_read_days_of
    assert (days("customers"), days("stock")) == (0, 0.5)
