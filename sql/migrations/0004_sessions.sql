-- ERP sessions: how a tenant logs in, which tenants share a user of the ERP, whose credential the ERP refused, which
-- session is open; and jobs that wait without spending an attempt.

ALTER TABLE tenant
    DROP CONSTRAINT tenant_auth_mode_check,
    ADD CONSTRAINT tenant_auth_mode_check CHECK (auth_mode IN ('basic', 'session')),
    ADD COLUMN app_name               text,
    ADD COLUMN licence_type           text,
    ADD COLUMN credential_id          text COLLATE "C",
    ADD COLUMN credential_set_at      timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN credential_refused_at  timestamptz;
UPDATE tenant SET credential_set_at = updated_at;
CREATE INDEX tenant_credential ON tenant (credential_id) WHERE credential_id IS NOT NULL;
COMMENT ON COLUMN tenant.app_name IS 'header WTS-AppName; with licence_type it chooses the licence pool';
COMMENT ON COLUMN tenant.licence_type IS 'header WTS-LicenceType';
COMMENT ON COLUMN tenant.credential_id IS
    'hash of host and user: tenants that share an ERP user share it; NULL: the tenant has its user to itself';
COMMENT ON COLUMN tenant.credential_refused_at IS
    'since when the ERP refuses user or password: nobody asks it again before an operator says so';

ALTER TABLE job_run
    ADD COLUMN deferred_since timestamptz,
    ADD COLUMN deferrals      integer NOT NULL DEFAULT 0,
    ADD COLUMN put_offs       integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN job_run.deferred_since IS 'since when the job has been deferred without progress; error_class says why';
COMMENT ON COLUMN job_run.deferrals IS 'deferrals since then; each was asked of the ERP and is an attempt row';
COMMENT ON COLUMN job_run.put_offs IS 'times in a row that the job found its credential in use; not one is an attempt row';

ALTER TABLE job_attempt
    DROP CONSTRAINT job_attempt_outcome_check,
    ADD CONSTRAINT job_attempt_outcome_check CHECK (outcome IN (
        'succeeded', 'retrying', 'failed', 'handed_back', 'deferred', 'lost', 'cancelled'));

-- Sessions that are open at ERPs, one per credential: whoever uses the credential next closes what a dead worker left.
CREATE TABLE erp_session (
    credential_id      text COLLATE "C" PRIMARY KEY,
    tenant_id          text COLLATE "C" NOT NULL REFERENCES tenant ON DELETE CASCADE,
    base_url           text NOT NULL,
    session            bytea NOT NULL,
    job_id             bigint NOT NULL,
    fence              bigint NOT NULL,
    opened_at          timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN erp_session.session IS 'sealed like a credential: whoever has the session id is the user';
