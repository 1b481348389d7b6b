-- The claim is the gate: three statements, sent together, in one transaction.

-- name: cancel_at_claim
-- Jobs that somebody cancelled, or whose tenant is no longer active, end here, with the reason.
WITH delivered AS (
    SELECT * FROM unnest(%(job_ids)s::bigint[], %(entries)s::text[]) AS d(job_id, entry)
), cancelled AS (
    UPDATE job_run j
       SET state = 'cancelled', finished_at = now(), deliveries = 0,
           duration_ms = (extract(epoch FROM now() - j.started_at) * 1000)::bigint,
           error_class = CASE WHEN j.cancel_requested_at IS NULL THEN 'tenant_inactive' ELSE 'cancel_requested' END,
           error_message = CASE WHEN j.cancel_requested_at IS NULL THEN 'the tenant is disabled or gone'
                                ELSE 'cancelled on request' END
      FROM delivered d
     WHERE j.job_id = d.job_id
       AND (j.state IN ('scheduled', 'retrying') OR (j.state = 'running' AND j.entry = d.entry))
       AND (j.cancel_requested_at IS NOT NULL
            OR NOT EXISTS (SELECT 1 FROM tenant t WHERE t.tenant_id = j.tenant_id AND t.active))
    RETURNING j.job_id, j.fence
), closed AS (
    UPDATE job_attempt a SET finished_at = now(), outcome = 'cancelled'
      FROM cancelled c
     WHERE a.job_id = c.job_id AND a.fence = c.fence AND a.outcome IS NULL
)
SELECT job_id FROM cancelled;

-- name: poison_at_claim
-- Jobs delivered too often without a handled end kill their workers: they are not run again.
WITH delivered AS (
    SELECT * FROM unnest(%(job_ids)s::bigint[], %(attempts)s::int[], %(entries)s::text[]) AS d(job_id, attempt, entry)
), poisoned AS (
    UPDATE job_run j
       SET state = 'failed', finished_at = now(),
           duration_ms = (extract(epoch FROM now() - j.started_at) * 1000)::bigint,
           error_class = 'poison',
           error_message = format('%%s deliveries without an end: it may be killing its workers', j.deliveries)
      FROM delivered d
     WHERE j.job_id = d.job_id AND j.attempt = d.attempt AND j.deliveries >= %(max_deliveries)s
       AND (j.state IN ('scheduled', 'retrying') OR (j.state = 'running' AND j.entry = d.entry))
    RETURNING j.job_id, j.fence
), closed AS (
    UPDATE job_attempt a SET finished_at = now(), outcome = 'lost'
      FROM poisoned p
     WHERE a.job_id = p.job_id AND a.fence = p.fence AND a.outcome IS NULL
)
SELECT job_id FROM poisoned;

-- name: admit
-- Admit what may run, raise the fence of exactly those tenants, open their attempts. A fence row that a
-- commit holds right now is skipped: that tenant is busy. The rows of a claim that died are closed as lost.
WITH delivered AS (
    SELECT * FROM unnest(%(job_ids)s::bigint[], %(attempts)s::int[], %(entries)s::text[]) AS d(job_id, attempt, entry)
), candidate AS (
    SELECT j.job_id, j.tenant_id, j.state AS old_state, j.fence AS old_fence, d.attempt, d.entry
      FROM delivered d
      JOIN job_run j ON j.job_id = d.job_id
     WHERE j.attempt = d.attempt
       AND (j.state IN ('scheduled', 'retrying') OR (j.state = 'running' AND j.entry = d.entry))
       AND NOT EXISTS (SELECT 1 FROM job_run r
                        WHERE r.tenant_id = j.tenant_id AND r.kind = j.kind AND r.state = 'running'
                          AND r.job_id <> j.job_id)
), fenced AS (
    SELECT f.tenant_id, f.fence + 1 AS fence
      FROM tenant_fence f
     WHERE f.tenant_id IN (SELECT tenant_id FROM candidate)
     ORDER BY f.tenant_id
       FOR NO KEY UPDATE SKIP LOCKED
), admitted AS (
    UPDATE job_run j
       SET state = 'running', worker = %(worker)s, entry = c.entry, fence = f.fence,
           deliveries = j.deliveries + 1, started_at = coalesce(j.started_at, clock_timestamp()),
           error_class = NULL, error_status = NULL, error_message = NULL
      FROM candidate c
      JOIN fenced f ON f.tenant_id = c.tenant_id
     WHERE j.job_id = c.job_id AND j.attempt = c.attempt
       AND (j.state IN ('scheduled', 'retrying')
            OR (j.state = 'running' AND j.entry = c.entry AND j.fence = c.old_fence))
    RETURNING j.job_id, j.tenant_id, j.kind, j.attempt, j.entry, j.fence, j.due_at, j.full_read,
              j.accept_deletions, j.commits, j.put_offs,
              c.old_state, c.old_fence
), raised AS (
    UPDATE tenant_fence f SET fence = a.fence FROM admitted a WHERE f.tenant_id = a.tenant_id
), closed AS (
    UPDATE job_attempt p SET finished_at = now(), outcome = 'lost'
      FROM admitted a
     WHERE a.old_state = 'running' AND p.job_id = a.job_id AND p.fence = a.old_fence AND p.outcome IS NULL
), opened AS (
    INSERT INTO job_attempt (job_id, fence, attempt, tenant_id, worker, entry, started_at)
    SELECT job_id, fence, attempt, tenant_id, %(worker)s, entry, clock_timestamp() FROM admitted
)
SELECT a.job_id, a.tenant_id, a.kind, a.attempt, a.entry, a.fence, a.full_read, a.accept_deletions, a.commits,
       extract(epoch FROM clock_timestamp() - a.due_at) AS late_seconds, a.old_state = 'running' AS taken_over,
       t.connector, t.base_url, t.auth_mode, t.credential, t.vitrines, t.branches, t.cursor_mode,
       t.app_name, t.licence_type,
       coalesce(t.credential_id, 'tenant:' || t.tenant_id) AS credential_id,
       t.credential_refused_at IS NOT NULL AS credential_refused,
       a.put_offs
  FROM admitted a
  JOIN tenant t ON t.tenant_id = a.tenant_id;

-- name: look
-- What the ledger says of jobs that were not admitted.
SELECT job_id, tenant_id, kind, state, attempt, entry, fence, due_at
  FROM job_run
 WHERE job_id = ANY(%(job_ids)s::bigint[]);
