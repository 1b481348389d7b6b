-- Full reads: what an ERP no longer lists is marked as deleted, but only after a read that was provably complete.

ALTER TABLE sync_state
    ADD COLUMN cursor_mode        text NOT NULL DEFAULT 'trans_id',
    ADD COLUMN full_read_job_id   bigint,
    ADD COLUMN full_read_cursor   bigint,
    ADD COLUMN full_read_mode     text,
    ADD COLUMN full_read_rows     bigint,
    ADD COLUMN full_read_at       timestamptz,
    ADD COLUMN deletions_withheld bigint NOT NULL DEFAULT 0,
    ADD COLUMN withheld_reason    text CHECK (withheld_reason IN ('threshold', 'incomplete')),
    ADD COLUMN created_at         timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN sync_state.cursor_mode IS 'what the cursor counts; a read in another mode is a full one';
COMMENT ON COLUMN sync_state.full_read_job_id IS 'the job of the last full read';
COMMENT ON COLUMN sync_state.full_read_cursor IS 'how far the full read under way has come; NULL: none is';
COMMENT ON COLUMN sync_state.full_read_mode IS 'what full_read_cursor counts';
COMMENT ON COLUMN sync_state.full_read_rows IS 'rows that lived when the full read began: what the threshold is a share of';
COMMENT ON COLUMN sync_state.deletions_withheld IS 'rows that the last full read did not find and that were kept all the same';

ALTER TABLE schedule_tick ADD COLUMN accept_deletions boolean NOT NULL DEFAULT false;
ALTER TABLE job_run
    ADD COLUMN accept_deletions   boolean NOT NULL DEFAULT false,
    ADD COLUMN rows_deleted       bigint NOT NULL DEFAULT 0,
    ADD COLUMN deletions_withheld bigint NOT NULL DEFAULT 0;
ALTER TABLE job_attempt
    ADD COLUMN rows_deleted       bigint NOT NULL DEFAULT 0,
    ADD COLUMN deletions_withheld bigint NOT NULL DEFAULT 0;

-- The keys a full read has seen so far. Unlogged: a crash of the server empties it, and the read begins anew. Its row
-- with the empty key is written first and tells that this did not happen.
CREATE UNLOGGED TABLE full_read_seen (
    tenant_id          text COLLATE "C" NOT NULL,
    entity             text NOT NULL,
    scope              text COLLATE "C" NOT NULL,
    key                text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, entity, scope, key)
);

-- Raises unless the full read that a job has begun can go on.
CREATE FUNCTION full_read_stands(p_tenant_id text, p_entity text, p_scope text, p_job_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1
       FROM sync_state s
       JOIN full_read_seen f ON f.tenant_id = s.tenant_id AND f.entity = s.entity AND f.scope = s.scope AND f.key = ''
      WHERE s.tenant_id = p_tenant_id AND s.entity = p_entity AND s.scope = p_scope
        AND s.full_read_job_id = p_job_id AND s.full_read_cursor IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the keys seen by this full read are gone' USING ERRCODE = 'SS003';
    END IF;
END
$$;
