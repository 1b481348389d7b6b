-- Sessions that are open at ERPs.

-- name: stored_session
-- What the last user of a credential left open.
SELECT base_url, session FROM erp_session WHERE credential_id = %(credential_id)s;

-- name: store_session
-- Remember a session before its first use. Only a claim that still stands may: a woken worker's session would hide
-- that of the claim that follows it.
INSERT INTO erp_session AS s (credential_id, tenant_id, base_url, session, job_id, fence)
SELECT %(credential_id)s, j.tenant_id, %(base_url)s, %(session)s, j.job_id, j.fence
  FROM job_run j
  JOIN tenant_fence f ON f.tenant_id = j.tenant_id AND f.fence = j.fence
 WHERE j.job_id = %(job_id)s AND j.fence = %(fence)s AND j.state = 'running'
    ON CONFLICT (credential_id) DO UPDATE
   SET tenant_id = EXCLUDED.tenant_id, base_url = EXCLUDED.base_url, session = EXCLUDED.session,
       job_id = EXCLUDED.job_id, fence = EXCLUDED.fence, opened_at = now()
RETURNING s.credential_id;

-- name: forget_session
-- A session has been closed. Its sealed text names it: a newer one of the credential stays.
DELETE FROM erp_session WHERE credential_id = %(credential_id)s AND session = %(session)s;
