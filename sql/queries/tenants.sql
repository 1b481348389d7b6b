-- Tenants.

-- name: put_tenant
-- Add a tenant, or bring one up to date. Its fence row is made with it, so that a claim can lock it.
WITH tenant_row AS (
    INSERT INTO tenant AS t (tenant_id, name, connector, base_url, auth_mode, app_name, licence_type, credential,
                             credential_id, vitrines, branches, cursor_mode, active)
    VALUES (%(tenant_id)s, %(name)s, %(connector)s, %(base_url)s, %(auth_mode)s, %(app_name)s, %(licence_type)s,
            %(credential)s, %(credential_id)s, %(vitrines)s, %(branches)s, %(cursor_mode)s, %(active)s)
    ON CONFLICT (tenant_id) DO UPDATE
       SET name = EXCLUDED.name, connector = EXCLUDED.connector, base_url = EXCLUDED.base_url,
           auth_mode = EXCLUDED.auth_mode, app_name = EXCLUDED.app_name, licence_type = EXCLUDED.licence_type,
           credential = EXCLUDED.credential, credential_id = EXCLUDED.credential_id, vitrines = EXCLUDED.vitrines,
           branches = EXCLUDED.branches, cursor_mode = EXCLUDED.cursor_mode,
           -- The same sealed bytes for the same user of the same host are no new credential.
           credential_set_at = CASE WHEN t.credential = EXCLUDED.credential
                                     AND t.credential_id IS NOT DISTINCT FROM EXCLUDED.credential_id
                                    THEN t.credential_set_at ELSE clock_timestamp() END,
           credential_refused_at = CASE WHEN t.credential = EXCLUDED.credential
                                         AND t.credential_id IS NOT DISTINCT FROM EXCLUDED.credential_id
                                        THEN t.credential_refused_at END,
           active = EXCLUDED.active, updated_at = now()
     WHERE %(replace)s
    RETURNING tenant_id, xmax = 0 AS created
), fence AS (
    INSERT INTO tenant_fence (tenant_id) SELECT tenant_id FROM tenant_row WHERE created
)
SELECT created FROM tenant_row;

-- name: list_tenants
-- A page of tenants by key, with how fresh each kind is.
SELECT t.tenant_id, t.name, t.connector, t.base_url, t.auth_mode, t.app_name, t.licence_type, t.active, t.vitrines, t.branches,
       t.cursor_mode, t.created_at, t.updated_at, t.credential_set_at, t.credential_refused_at,
       (SELECT max(j.finished_at) FROM job_run j WHERE j.tenant_id = t.tenant_id AND j.state = 'succeeded') AS last_success_at
  FROM tenant t
 WHERE t.tenant_id > %(after)s AND (%(active)s::boolean IS NULL OR t.active = %(active)s)
 ORDER BY t.tenant_id
 LIMIT %(limit)s;

-- name: show_tenant
-- One tenant, without its credential.
SELECT t.tenant_id, t.name, t.connector, t.base_url, t.auth_mode, t.app_name, t.licence_type, t.active, t.vitrines, t.branches,
       t.cursor_mode, t.created_at, t.updated_at, t.credential_set_at, t.credential_refused_at,
       (SELECT max(j.finished_at) FROM job_run j WHERE j.tenant_id = t.tenant_id AND j.state = 'succeeded') AS last_success_at
  FROM tenant t
 WHERE t.tenant_id = %(tenant_id)s;

-- name: set_tenant_active
-- Enable or disable tenants; returns those that exist.
UPDATE tenant SET active = %(active)s, updated_at = now()
 WHERE tenant_id = ANY(%(tenant_ids)s::text[])
RETURNING tenant_id;

-- name: sealed_credentials
-- The sealed credentials of these tenants: to tell a new one from one that is merely given again.
SELECT tenant_id, credential FROM tenant WHERE tenant_id = ANY(%(tenant_ids)s::text[]);

-- name: credentials_alike
-- The sealed credentials of the tenants that share a user of an ERP and may still ask it.
SELECT tenant_id, credential
  FROM tenant
 WHERE (tenant_id = %(tenant_id)s OR credential_id = %(credential_id)s) AND credential_refused_at IS NULL;

-- name: mark_refused
-- The ERP refused these credentials. The bytes name them: one that was set meanwhile is another.
UPDATE tenant t SET credential_refused_at = now()
  FROM unnest(%(tenant_ids)s::text[], %(sealed)s::bytea[]) AS d(tenant_id, sealed)
 WHERE t.tenant_id = d.tenant_id AND t.credential = d.sealed
RETURNING t.tenant_id;

-- name: clear_refusals
-- The ERP's user is right again: these tenants' jobs may ask once more. Returns those that exist.
UPDATE tenant SET credential_refused_at = NULL
 WHERE tenant_id = ANY(%(tenant_ids)s::text[])
RETURNING tenant_id;

-- name: existing_tenants
-- Which of these tenants exist.
SELECT tenant_id FROM tenant WHERE tenant_id = ANY(%(tenant_ids)s::text[]);

-- name: newest_credential
-- The credential sealed last: whoever cannot open it has the wrong keys.
SELECT tenant_id, credential FROM tenant ORDER BY updated_at DESC LIMIT 1;

-- name: sealed_credential
-- One tenant's credential, to keep its user when only the password changes, and where it is used.
SELECT credential, base_url FROM tenant WHERE tenant_id = %(tenant_id)s;

-- name: set_credential
-- Give a tenant a new credential, unless another one was set meanwhile than the one that was read (NULL: whichever).
UPDATE tenant
   SET credential = %(sealed)s, credential_id = %(credential_id)s, credential_set_at = clock_timestamp(),
       credential_refused_at = NULL, updated_at = now()
 WHERE tenant_id = %(tenant_id)s AND base_url = %(base_url)s
   AND (%(before)s::bytea IS NULL OR credential = %(before)s)
RETURNING tenant_id;

-- name: credentials_by_tenant
-- A page of sealed credentials by tenant.
SELECT tenant_id, credential FROM tenant WHERE tenant_id > %(after)s ORDER BY tenant_id LIMIT %(limit)s;

-- name: reseal_credential
-- Put the same credential, sealed with another key, in the place of the one that was read, and of no other.
UPDATE tenant SET credential = %(sealed)s, updated_at = now()
 WHERE tenant_id = %(tenant_id)s AND credential = %(before)s
RETURNING tenant_id;

-- name: sync_states
-- How far an entity of a tenant has been read, per scope.
SELECT scope, cursor, cursor_mode, full_read_job_id, full_read_cursor, full_read_mode, full_read_at, created_at
  FROM sync_state
 WHERE tenant_id = %(tenant_id)s AND entity = %(entity)s;

-- name: claim_stands
-- Whether a claim is still the newest of its tenant and its job still runs, and whether a cancel was asked for.
SELECT j.cancel_requested_at IS NOT NULL AS cancel_requested
  FROM job_run j
  JOIN tenant_fence f ON f.tenant_id = j.tenant_id AND f.fence = j.fence
 WHERE j.job_id = %(job_id)s AND j.fence = %(fence)s AND j.state = 'running';

-- name: jobs_by_state
-- Jobs of the ledger by state and kind.
SELECT kind, state, count(*) AS jobs FROM job_run GROUP BY kind, state ORDER BY kind, state;

-- name: put_queue_setting
-- Remember what a queue was set up with; the first to start decides.
INSERT INTO queue_setting (queue, partitions) VALUES (%(queue)s, %(partitions)s) ON CONFLICT (queue) DO NOTHING;

-- name: queue_partitions
-- What the queue was set up with.
SELECT partitions FROM queue_setting WHERE queue = %(queue)s;
