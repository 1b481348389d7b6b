-- Tenants, the ledger of jobs, ticks, fences, cursors, quarantine.
-- Keys of tenant data begin with tenant_id, so that distribution by tenant stays possible.
-- Ids that streamsync pages by use the C collation: the order is the same on every machine.

CREATE TABLE tenant (
    tenant_id          text COLLATE "C" PRIMARY KEY CHECK (tenant_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    name               text NOT NULL,
    active             boolean NOT NULL DEFAULT true,
    connector          text NOT NULL DEFAULT 'millennium',
    base_url           text NOT NULL,
    auth_mode          text NOT NULL DEFAULT 'basic' CHECK (auth_mode IN ('basic')),
    -- One sealed JSON document {"username", "password"}; the key is never in the database.
    credential         bytea NOT NULL,
    vitrines           bigint[] NOT NULL DEFAULT '{}',
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN tenant.credential IS 'authenticated encryption (Fernet); keys come from STREAMSYNC_CREDENTIAL_KEYS';
COMMENT ON COLUMN tenant.vitrines IS 'storefronts to read; empty: all that the ERP lists';

-- One fence per tenant. A claim raises it; every commit checks it. It is issued by the store that checks it,
-- so it survives Redis losing its memory.
CREATE TABLE tenant_fence (
    tenant_id          text COLLATE "C" PRIMARY KEY REFERENCES tenant ON DELETE CASCADE,
    fence              bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- What a queue was set up with; a process configured otherwise refuses to start.
CREATE TABLE queue_setting (
    queue              text PRIMARY KEY,
    partitions         integer NOT NULL CHECK (partitions > 0)
);

CREATE TABLE schedule (
    kind               text PRIMARY KEY,
    cron               text NOT NULL,
    timezone           text NOT NULL,
    enabled            boolean NOT NULL DEFAULT true,
    updated_at         timestamptz NOT NULL DEFAULT now()
);

-- A tick: "these tenants are to be synced". By cron, or by hand. last_tenant_id is how far the ledger has
-- been written, dispatched_tenant_id how far Redis is known to have been told.
CREATE TABLE schedule_tick (
    tick_id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind               text NOT NULL,
    trigger            text NOT NULL CHECK (trigger IN ('schedule', 'manual')),
    scheduled_for      timestamptz NOT NULL,
    tenant_ids         text[] COLLATE "C",
    urgent             boolean NOT NULL DEFAULT false,
    full_read          boolean NOT NULL DEFAULT false,
    last_tenant_id     text COLLATE "C" NOT NULL DEFAULT '',
    dispatched_tenant_id text COLLATE "C" NOT NULL DEFAULT '',
    tenants            integer NOT NULL DEFAULT 0,
    coalesced          integer NOT NULL DEFAULT 0,
    missed             boolean NOT NULL DEFAULT false,
    created_at         timestamptz NOT NULL DEFAULT now(),
    done_at            timestamptz,
    -- Who is working on it, and until when others keep away: a lease, not a lock.
    lease_owner        text,
    lease_until        timestamptz
);
CREATE UNIQUE INDEX schedule_tick_slot ON schedule_tick (kind, scheduled_for) WHERE trigger = 'schedule';
CREATE INDEX schedule_tick_open ON schedule_tick (tick_id) WHERE done_at IS NULL;

-- The ledger: one row per job, never one per delivery.
CREATE TABLE job_run (
    job_id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id          text COLLATE "C" NOT NULL,
    kind               text NOT NULL,
    trigger            text NOT NULL CHECK (trigger IN ('schedule', 'manual', 'replay')),
    tick_ids           bigint[] NOT NULL DEFAULT '{}',
    scheduled_for      timestamptz NOT NULL,
    due_at             timestamptz NOT NULL,
    urgent             boolean NOT NULL DEFAULT false,
    full_read          boolean NOT NULL DEFAULT false,
    state              text NOT NULL DEFAULT 'scheduled'
                       CHECK (state IN ('scheduled', 'running', 'retrying', 'succeeded', 'failed', 'cancelled')),
    attempt            integer NOT NULL DEFAULT 1,
    deliveries         integer NOT NULL DEFAULT 0,
    started_at         timestamptz,
    finished_at        timestamptz,
    duration_ms        bigint,
    worker             text,
    entry              text,
    fence              bigint,
    commits            integer NOT NULL DEFAULT 0,
    commit_token       text,
    pages              integer NOT NULL DEFAULT 0,
    rows_fetched       bigint NOT NULL DEFAULT 0,
    rows_inserted      bigint NOT NULL DEFAULT 0,
    rows_updated       bigint NOT NULL DEFAULT 0,
    rows_unchanged     bigint NOT NULL DEFAULT 0,
    rows_rejected      bigint NOT NULL DEFAULT 0,
    error_class        text,
    error_status       integer,
    error_message      text,
    cancel_requested_at timestamptz,
    cancel_requested_by text,
    replay_of          bigint,
    coalesced_into     bigint,
    created_at         timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
-- At most one waiting and one running job per tenant and kind.
CREATE UNIQUE INDEX job_run_waiting ON job_run (tenant_id, kind) WHERE state IN ('scheduled', 'retrying');
CREATE UNIQUE INDEX job_run_running ON job_run (tenant_id, kind) WHERE state = 'running';
CREATE INDEX job_run_entry ON job_run (entry) WHERE state = 'running';
CREATE INDEX job_run_tenant ON job_run (tenant_id, job_id DESC);
CREATE INDEX job_run_coalesced ON job_run (coalesced_into) WHERE coalesced_into IS NOT NULL;
CREATE INDEX job_run_finished ON job_run (finished_at) WHERE state IN ('succeeded', 'failed', 'cancelled');
COMMENT ON COLUMN job_run.started_at IS 'first start; the old processedOn';
COMMENT ON COLUMN job_run.deliveries IS 'deliveries since the last handled end; many mean a job that kills its worker';

-- One row per claim of a job. The fence names it, because each claim raises it.
CREATE TABLE job_attempt (
    job_id             bigint NOT NULL REFERENCES job_run ON DELETE CASCADE,
    fence              bigint NOT NULL,
    attempt            integer NOT NULL,
    tenant_id          text COLLATE "C" NOT NULL,
    worker             text NOT NULL,
    entry              text NOT NULL,
    started_at         timestamptz NOT NULL,
    finished_at        timestamptz,
    outcome            text CHECK (outcome IN ('succeeded', 'retrying', 'failed', 'handed_back', 'lost', 'cancelled')),
    pages              integer NOT NULL DEFAULT 0,
    rows_fetched       bigint NOT NULL DEFAULT 0,
    rows_inserted      bigint NOT NULL DEFAULT 0,
    rows_updated       bigint NOT NULL DEFAULT 0,
    rows_unchanged     bigint NOT NULL DEFAULT 0,
    rows_rejected      bigint NOT NULL DEFAULT 0,
    error_class        text,
    error_status       integer,
    error_message      text,
    PRIMARY KEY (job_id, fence)
) WITH (fillfactor = 70);
CREATE INDEX job_attempt_started ON job_attempt (started_at);

-- How far a tenant's entity has been read, per scope ('' where there is none).
CREATE TABLE sync_state (
    tenant_id          text COLLATE "C" NOT NULL REFERENCES tenant ON DELETE CASCADE,
    entity             text NOT NULL,
    scope              text COLLATE "C" NOT NULL DEFAULT '',
    cursor             bigint NOT NULL DEFAULT 0,
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, entity, scope)
);

-- The quarantine. It is a data table: it may hold personal data, and is guarded like one.
CREATE TABLE rejected_record (
    tenant_id          text COLLATE "C" NOT NULL REFERENCES tenant ON DELETE CASCADE,
    entity             text NOT NULL,
    scope              text NOT NULL DEFAULT '',
    fingerprint        bytea NOT NULL,
    field              text NOT NULL,
    reason             text NOT NULL,
    record             text NOT NULL,
    job_id             bigint NOT NULL,
    times_seen         integer NOT NULL DEFAULT 1,
    first_seen_at      timestamptz NOT NULL DEFAULT now(),
    last_seen_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, entity, scope, fingerprint)
);
COMMENT ON COLUMN rejected_record.record IS 'the record as the ERP sent it, JSON text';
COMMENT ON COLUMN rejected_record.fingerprint IS 'sha256 of the record: the same bad record is kept once, and counted';

-- The guard of every commit. Raises, so that the server itself ends the transaction, whatever the client does
-- next; FOR NO KEY UPDATE makes claims and commits of one tenant follow each other. p_commits is how many
-- commits the caller knows of and p_token names this one: a commit whose answer was lost is told apart from one
-- that never happened, and from one that somebody else made.
CREATE FUNCTION guard_commit(
    p_tenant_id text, p_fence bigint, p_job_id bigint, p_commits integer, p_token text
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_commits integer;
    v_token text;
BEGIN
    PERFORM 1 FROM tenant_fence WHERE tenant_id = p_tenant_id AND fence = p_fence FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a newer claim of this tenant exists' USING ERRCODE = 'SS001';
    END IF;
    SELECT commits, commit_token INTO v_commits, v_token FROM job_run
     WHERE job_id = p_job_id AND state = 'running' AND fence = p_fence
       FOR NO KEY UPDATE;  -- so that nobody ends the job between here and COMMIT
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this claim of the job has ended' USING ERRCODE = 'SS001';
    END IF;
    IF v_commits = p_commits + 1 AND v_token = p_token THEN
        RAISE EXCEPTION 'this commit happened already' USING ERRCODE = 'SS002';
    END IF;
    IF v_commits <> p_commits THEN
        RAISE EXCEPTION 'somebody else commits under this claim' USING ERRCODE = 'SS001';
    END IF;
END
$$;
