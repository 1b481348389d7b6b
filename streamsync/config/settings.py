"""Every setting of streamsync: its field, its variables, its default, what it takes and what it is for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from streamsync.config.checks import (
    AnyCase,
    CredentialKeys,
    Cron,
    DatabaseUrl,
    Days,
    EntityNames,
    Host,
    HostNames,
    Number,
    QueueName,
    RedisUrl,
    TimeZone,
    Whole,
    split_days,
    split_words,
)
from streamsync.config.field import CONTRADICTION, YEAR_SECONDS, ArgumentsOnly, require, setting
from streamsync.config.hosts import HostList, parse_hosts
from streamsync.jobs import ENTITIES, KINDS


class Settings(ArgumentsOnly):
    """The settings, checked, frozen. `load_settings` reads them from where operators put them.

    `Settings(field=value, …)` uses the arguments and the defaults only, never the environment: tests and
    the demo can build one without looking over their shoulder.
    """

    # --- servers and secrets
    redis_url: RedisUrl | None = setting(
        None,
        "REDIS_URL",
        "Redis or Valkey, the dispatcher",
        takes="redis://…, rediss://… or unix:///path/of/socket",
    )
    database_url: DatabaseUrl | None = setting(
        None, "DATABASE_URL", "PostgreSQL, the truth", takes="postgresql://user:password@host:port/database"
    )
    credential_keys: CredentialKeys | None = setting(
        None,
        "STREAMSYNC_CREDENTIAL_KEYS",
        "Keys that encrypt ERP credentials at rest; the first encrypts, all decrypt",
        takes="one or more Fernet keys (44 characters of URL-safe base64), separated by commas or spaces",
    )

    # --- process
    log_level: Annotated[Literal["debug", "info", "warning", "error"], AnyCase] = setting(
        "info", "LOG_LEVEL", "The least important log lines to write"
    )
    log_format: Annotated[Literal["auto", "json", "console"], AnyCase] = setting(
        "auto", "LOG_FORMAT", "Log lines for machines or for people; auto = console on a terminal, else json"
    )
    http_host: Host = setting(
        "127.0.0.1",
        "STREAMSYNC_HTTP_HOST",
        "Address that /metrics, /healthz and /readyz listen on",
        takes="the name or address of an interface, such as 127.0.0.1 or 0.0.0.0",
    )
    http_port: Whole = setting(
        0,
        "STREAMSYNC_HTTP_PORT",
        "Port of /metrics, /healthz and /readyz; 0 = no such server",
        ge=0,
        le=65535,
    )

    # --- queue
    queue_name: QueueName = setting(
        "erp-sync",
        "STREAMSYNC_QUEUE",
        "Name of the queue, part of every Redis key",
        takes="lower-case letters, digits and hyphens",
    )
    partitions: Whole = setting(
        1, "STREAMSYNC_PARTITIONS", "Partitions of the queue; more than 1 on Redis Cluster", ge=1, le=1024
    )

    # --- worker
    concurrency: Whole = setting(
        1, "ERP_SYNC_CONCURRENCY", "Jobs that one worker process runs at once", ge=1, le=4096
    )
    lock_ttl_seconds: Whole = setting(
        7200,
        "ERP_SYNC_LOCK_TTL_SECONDS",
        "The longest a sync may go without committing a page before it is stopped and retried",
        ge=1,
    )
    claim_idle_ms: Whole = setting(
        10_000, "STREAMSYNC_CLAIM_IDLE_MS", "Silence of a worker after which others take its jobs", ge=300
    )
    shutdown_grace_seconds: Number = setting(
        25.0,
        "STREAMSYNC_SHUTDOWN_GRACE_SECONDS",
        "Time that running pages get to commit when the worker is told to stop",
        ge=0,
        le=YEAR_SECONDS,
    )
    max_deliveries: Whole = setting(
        5,
        "STREAMSYNC_MAX_DELIVERIES",
        "Deliveries after which a job that kills its workers is given up",
        ge=2,
    )
    busy_delay_ms: Whole = setting(
        2000, "STREAMSYNC_BUSY_DELAY_MS", "Wait of a job whose tenant is being synced already", ge=10
    )

    # --- retries
    max_retries: Whole = setting(
        3, "ERP_SYNC_MAX_RETRIES", "Retries after the first run, before the dead letter", ge=0, le=100
    )
    retry_base_ms: Whole = setting(60_000, "ERP_SYNC_RETRY_BASE_MS", "Wait before the first retry", ge=1)
    retry_factor: Number = setting(
        2.0, "ERP_SYNC_RETRY_FACTOR", "Each further wait is this many times the one before", ge=1, le=100
    )
    retry_after_max_seconds: Number = setting(
        900.0,
        "ERP_SYNC_RETRY_AFTER_MAX_SECONDS",
        "Cap on the Retry-After that an ERP may ask for",
        ge=0,
        le=YEAR_SECONDS,
    )

    # --- deferrals: the ERP has no session or licence free
    defer_base_ms: Whole = setting(
        60_000,
        "ERP_SYNC_DEFER_BASE_MS",
        "Wait of a job whose ERP has no session or licence free; doubled each time",
        ge=1,
    )
    defer_max_ms: Whole = setting(900_000, "ERP_SYNC_DEFER_MAX_MS", "The longest such wait", ge=1)
    session_wait_max_seconds: Number = setting(
        21_600.0,
        "ERP_SYNC_SESSION_WAIT_MAX_SECONDS",
        "How long in all a job waits for a session or licence of its ERP before it fails",
        ge=0,
        le=YEAR_SECONDS,
    )

    # --- jitter
    delay_customers_ms_max: Whole = setting(
        3_600_000,
        "ERP_SYNC_DELAY_CUSTOMERS_MS_MAX",
        "Window over which customers jobs are spread; 0 = no jitter",
        ge=0,
    )
    delay_products_ms_max: Whole = setting(
        3_600_000,
        "ERP_SYNC_DELAY_PRODUCTS_MS_MAX",
        "Window over which products jobs are spread; 0 = no jitter",
        ge=0,
    )
    delay_customers_step_ms: Whole = setting(
        1000,
        "ERP_SYNC_DELAY_CUSTOMERS_STEP_MS ERP_SYNC_DELAY_CUSTOMERS_MS_STEP",
        "Offsets of customers jobs are multiples of this",
        ge=1,
    )
    delay_products_step_ms: Whole = setting(
        1000,
        "ERP_SYNC_DELAY_PRODUCTS_STEP_MS ERP_SYNC_DELAY_PRODUCTS_MS_STEP",
        "Offsets of products jobs are multiples of this",
        ge=1,
    )
    jitter_salt: str = setting(
        "", "ERP_SYNC_JITTER_SALT", "Changes every tenant's offset when changed", takes="any text"
    )

    # --- limits
    limiter_max: Whole = setting(
        0, "ERP_SYNC_LIMITER_MAX", "ERP requests per window, over all workers; 0 = no limit", ge=0
    )
    limiter_duration_ms: Whole = setting(
        1000, "ERP_SYNC_LIMITER_DURATION_MS", "Window of the limit on ERP requests", ge=1
    )
    limiter_host_max: Whole = setting(
        0,
        "ERP_SYNC_LIMITER_HOST_MAX",
        "Requests to one ERP host per window, over all workers; 0 = no limit",
        ge=0,
    )
    limiter_host_duration_ms: Whole = setting(
        1000,
        "ERP_SYNC_LIMITER_HOST_DURATION_MS",
        "Window of the limit on requests to one ERP host",
        ge=1,
    )
    job_starts_max: Whole = setting(
        0,
        "ERP_SYNC_LIMITER_JOB_STARTS_MAX ERP_SYNC_JOB_STARTS_MAX",
        "Job starts per window, over all workers; 0 = no limit",
        ge=0,
    )
    job_starts_duration_ms: Whole = setting(
        1000,
        "ERP_SYNC_LIMITER_JOB_STARTS_DURATION_MS ERP_SYNC_JOB_STARTS_DURATION_MS",
        "Window of the limit on job starts",
        ge=1,
    )

    # --- schedule
    customers_cron: Cron = setting(
        "0 3 * * *",
        "STREAMSYNC_CUSTOMERS_CRON",
        "When customers are synced",
        takes="a cron expression of five fields",
    )
    products_cron: Cron = setting(
        "0 4 * * *",
        "STREAMSYNC_PRODUCTS_CRON",
        "When products are synced",
        takes="a cron expression of five fields",
    )
    timezone: TimeZone = setting(
        "America/Sao_Paulo",
        "STREAMSYNC_TIMEZONE",
        "Time zone of the cron expressions",
        takes="a name from the time zone database, such as America/Sao_Paulo or UTC",
    )
    catch_up_hours: Number = setting(
        12.0,
        "STREAMSYNC_CATCH_UP_HOURS",
        "A missed tick is run at start if it is younger than this",
        ge=0,
        le=8760,
    )
    full_read_days: Days = setting(
        "7",
        "STREAMSYNC_FULL_READ_DAYS",
        "How often everything is read, to see what has vanished; each shop on a day of its own",
        takes="days, and exceptions by entity, such as 7 stock=1; 0 = never by itself",
    )
    deletion_threshold_percent: Number = setting(
        30.0,
        "STREAMSYNC_DELETION_THRESHOLD_PERCENT",
        "If a full read misses more of the stored rows than this, they are kept and reported",
        ge=0,
        le=100,
    )

    # --- ERP
    erp_connect_timeout_seconds: Number = setting(
        10.0, "ERP_SYNC_CONNECT_TIMEOUT_SECONDS", "Wait for a connection to the ERP", gt=0, le=YEAR_SECONDS
    )
    erp_read_timeout_seconds: Number = setting(
        60.0,
        "ERP_SYNC_READ_TIMEOUT_SECONDS",
        "Longest silence of the ERP in an answer",
        gt=0,
        le=YEAR_SECONDS,
    )
    erp_page_timeout_seconds: Number = setting(
        300.0, "ERP_SYNC_PAGE_TIMEOUT_SECONDS", "Time for one whole page", gt=0, le=YEAR_SECONDS
    )
    erp_response_max_bytes: Whole = setting(
        67_108_864, "ERP_SYNC_RESPONSE_MAX_BYTES", "Largest answer accepted from an ERP, in bytes", ge=1024
    )
    erp_page_size: Whole = setting(1000, "ERP_SYNC_PAGE_SIZE", "Records asked for per page", ge=1, le=100_000)

    erp_allowed_hosts: HostNames = setting(
        "",
        "STREAMSYNC_ERP_ALLOWED_HOSTS",
        "The only hosts that ERPs may be reached at; empty = any",
        takes="names, *.example.com, addresses and networks such as 203.0.113.0/24, separated by commas or spaces",
    )
    erp_allow_private: bool = setting(
        False,
        "STREAMSYNC_ERP_ALLOW_PRIVATE",
        "Whether ERPs may be at private, loopback and carrier-grade NAT addresses, as behind a VPN; proxies that"
        " HTTP_PROXY and the like name are never used, so that this is asked of the ERP's own address",
        takes="true or false",
    )

    # --- store
    commit_max_rows: Whole = setting(
        5000, "STREAMSYNC_COMMIT_MAX_ROWS", "Pages are committed together up to this many rows", ge=1
    )
    commit_max_seconds: Number = setting(
        5.0,
        "STREAMSYNC_COMMIT_MAX_SECONDS",
        "Pages are committed together for at most this long",
        ge=0,
        le=YEAR_SECONDS,
    )
    raw_skip: EntityNames = setting(
        "",
        "STREAMSYNC_RAW_SKIP",
        "Entities whose unknown ERP fields are not kept in the raw columns",
        takes=f"names of entities, separated by commas or spaces: {', '.join(ENTITIES)}",
    )
    staging: Annotated[Literal["session", "transaction"], AnyCase] = setting(
        "session",
        "STREAMSYNC_STAGING",
        "Life of the staging tables; transaction = behind a pooler such as PgBouncer",
    )
    database_pool_max: Whole = setting(
        8, "STREAMSYNC_DATABASE_POOL_MAX", "Most connections to PostgreSQL of one process", ge=1, le=200
    )
    retention_days_jobrun: Whole = setting(
        90, "RETENTION_DAYS_JOBRUN", "Days that finished jobs stay in the ledger", ge=1, le=36_500
    )

    @model_validator(mode="after")
    def _no_contradictions(self) -> Settings:
        found: list[tuple[tuple[str, str], str]] = []
        for kind in ("customers", "products"):
            window, step = f"delay_{kind}_ms_max", f"delay_{kind}_step_ms"
            if 0 < getattr(self, window) < getattr(self, step):
                found.append(((window, step), "the step may not be longer than the window"))
        if self.erp_page_timeout_seconds < self.erp_read_timeout_seconds:
            pair = ("erp_page_timeout_seconds", "erp_read_timeout_seconds")
            found.append((pair, "a whole page may not get less time than one silence in it"))
        if found:
            text = "; ".join(f"{' and '.join(fields)}: {what}" for fields, what in found)
            raise PydanticCustomError(CONTRADICTION, "{text}", {"text": text, "found": found})
        return self

    def delay_window_ms(self, kind: str) -> int:
        """The window over which a kind's jobs are spread, in milliseconds; 0 = no jitter."""
        window: int = self._of_kind("delay_{}_ms_max", kind)
        return window

    def delay_step_ms(self, kind: str) -> int:
        """The step that a kind's offsets are multiples of, in milliseconds."""
        step: int = self._of_kind("delay_{}_step_ms", kind)
        return step

    def full_read_days_of(self, entity: str) -> float:
        """Days between two full reads of an entity; 0 = none by itself."""
        days = split_days(self.full_read_days)
        return days.get(entity, days.get("", 0.0))

    def cron(self, kind: str) -> str:
        """The cron expression of a kind, in the zone of `timezone`."""
        expression: str = self._of_kind("{}_cron", kind)
        return expression

    def keeps_raw(self, entity: str) -> bool:
        """Whether an entity's unknown ERP fields are kept."""
        return entity not in split_words(self.raw_skip)

    def require_redis_url(self) -> str:
        """The URL of Redis. Raises ConfigurationError, saying what to do, where none is set."""
        return require("REDIS_URL", self.redis_url, "for example redis://127.0.0.1:6379/0")

    def require_database_url(self) -> str:
        """The URL of PostgreSQL. Raises ConfigurationError, saying what to do, where none is set."""
        return require(
            "DATABASE_URL", self.database_url, "for example postgresql://streamsync@127.0.0.1:5432/streamsync"
        )

    def require_credential_keys(self) -> tuple[str, ...]:
        """The Fernet keys, the one that encrypts first. Raises ConfigurationError where none is set."""
        how = "make a key with: streamsync credentials generate-key"
        return split_words(require("STREAMSYNC_CREDENTIAL_KEYS", self.credential_keys, how))

    def allowed_hosts(self) -> HostList:
        """The hosts that ERPs may be reached at; an empty list allows any."""
        return parse_hosts(split_words(self.erp_allowed_hosts))

    def _of_kind(self, pattern: str, kind: str) -> Any:
        if kind not in KINDS:
            raise ValueError(f"no such kind: {kind}")
        return getattr(self, pattern.format(kind))
