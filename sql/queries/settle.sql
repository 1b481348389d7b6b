-- Ends of attempts, in batches. Each one carries its claim's fence; what does not match is left alone.

-- name: lock_fences
-- First of the three statements of a settlement: the fences that still stand are held to its end, so that no claim
-- can come between the two that follow, whose snapshots are newer than the wait.
SELECT f.tenant_id
  FROM unnest(%(job_ids)s::bigint[], %(fences)s::bigint[]) AS o(job_id, fence)
  JOIN job_run j ON j.job_id = o.job_id
  JOIN tenant_fence f ON f.tenant_id = j.tenant_id AND f.fence = o.fence
 ORDER BY f.tenant_id
   FOR NO KEY UPDATE OF f;

-- name: coalesce_waiting
-- A running job goes back to waiting while another waits: the other is cancelled, its ticks go to the first.
UPDATE job_run w
   SET state = 'cancelled', finished_at = now(), error_class = 'coalesced', coalesced_into = j.job_id,
       error_message = format('job %%s of the same tenant and kind waits again', j.job_id)
  FROM unnest(%(job_ids)s::bigint[], %(fences)s::bigint[], %(states)s::text[]) AS o(job_id, fence, state)
  JOIN job_run j ON j.job_id = o.job_id AND j.fence = o.fence AND j.state = 'running'
  JOIN tenant_fence f ON f.tenant_id = j.tenant_id AND f.fence = o.fence
 WHERE o.state IN ('scheduled', 'retrying')
   AND w.tenant_id = j.tenant_id AND w.kind = j.kind AND w.state IN ('scheduled', 'retrying');

-- name: read_again
-- The one that waits again takes the other's wish for a full read over: what it has read in full it reads again.
UPDATE sync_state s SET full_read_job_id = NULL
  FROM job_run c
 WHERE c.coalesced_into = ANY(%(job_ids)s::bigint[]) AND c.finished_at = now() AND c.full_read
   AND s.tenant_id = c.tenant_id AND s.full_read_job_id = c.coalesced_into AND s.full_read_cursor IS NULL;

-- name: settle
-- Record how attempts ended. Returns those recorded, now or before; the others were lost to a newer claim.
-- Outcome `deferred` counts what asked the ERP and was sent away; `put_off` is a claim that asked it nothing: its
-- attempt and its delivery never were, or every poll of shops that share an ERP user would leave a row.
WITH outcome AS (
    SELECT *
      FROM unnest(%(job_ids)s::bigint[], %(fences)s::bigint[], %(states)s::text[], %(outcomes)s::text[],
                  %(delays_ms)s::bigint[], %(error_classes)s::text[], %(error_statuses)s::int[],
                  %(error_messages)s::text[])
        AS o(job_id, fence, state, outcome, delay_ms, error_class, error_status, error_message)
), fenced AS (
    SELECT f.tenant_id, f.fence, o.job_id
      FROM outcome o
      JOIN job_run j ON j.job_id = o.job_id
      JOIN tenant_fence f ON f.tenant_id = j.tenant_id AND f.fence = o.fence
), settled AS (
    UPDATE job_run j
       SET state = o.state,
           attempt = j.attempt + CASE WHEN o.state = 'retrying' THEN 1 ELSE 0 END,
           deliveries = CASE WHEN o.outcome = 'put_off' THEN greatest(j.deliveries - 1, 0) ELSE 0 END,
           put_offs = CASE WHEN o.outcome = 'put_off' THEN j.put_offs + 1 ELSE 0 END,
           deferrals = CASE WHEN o.outcome = 'deferred' THEN j.deferrals + 1
                            WHEN o.outcome IN ('succeeded', 'retrying') THEN 0 ELSE j.deferrals END,
           deferred_since = CASE WHEN o.outcome = 'deferred' THEN coalesce(j.deferred_since, clock_timestamp())
                                 WHEN o.outcome IN ('succeeded', 'retrying') THEN NULL ELSE j.deferred_since END,
           started_at = CASE WHEN o.outcome <> 'put_off' OR EXISTS (
                                  SELECT 1 FROM job_attempt b WHERE b.job_id = j.job_id AND b.fence < j.fence)
                             THEN j.started_at END,
           entry = CASE WHEN o.state IN ('scheduled', 'retrying') THEN NULL ELSE j.entry END,
           due_at = CASE WHEN o.state IN ('scheduled', 'retrying')
                         THEN now() + o.delay_ms * interval '1 millisecond' ELSE j.due_at END,
           finished_at = CASE WHEN o.state IN ('scheduled', 'retrying') THEN NULL ELSE clock_timestamp() END,
           duration_ms = CASE WHEN o.state IN ('scheduled', 'retrying') THEN NULL
                              ELSE (extract(epoch FROM clock_timestamp() - j.started_at) * 1000)::bigint END,
           error_class = o.error_class, error_status = o.error_status, error_message = o.error_message,
           tick_ids = j.tick_ids || coalesce(w.tick_ids, '{}'),
           full_read = j.full_read OR coalesce(w.full_read, false),
           accept_deletions = j.accept_deletions OR coalesce(w.accept_deletions, false)
      FROM outcome o
      JOIN fenced f ON f.job_id = o.job_id
      LEFT JOIN LATERAL (
           SELECT array_agg(tick.id) FILTER (WHERE tick.id IS NOT NULL) AS tick_ids, bool_or(c.full_read) AS full_read,
                  bool_or(c.accept_deletions) AS accept_deletions
             FROM job_run c LEFT JOIN LATERAL unnest(c.tick_ids) AS tick(id) ON true
            WHERE c.coalesced_into = o.job_id AND c.finished_at = now()
      ) w ON true
     WHERE j.job_id = o.job_id AND j.state = 'running' AND j.fence = o.fence
    RETURNING j.job_id, j.fence, j.attempt
), closed AS (
    UPDATE job_attempt a
       SET finished_at = clock_timestamp(), outcome = o.outcome,
           error_class = o.error_class, error_status = o.error_status, error_message = o.error_message
      FROM settled s
      JOIN outcome o ON o.job_id = s.job_id
     WHERE a.job_id = s.job_id AND a.fence = s.fence AND a.outcome IS NULL AND o.outcome <> 'put_off'
), unmade AS (
    DELETE FROM job_attempt a
     USING settled s
      JOIN outcome o ON o.job_id = s.job_id AND o.outcome = 'put_off'
     WHERE a.job_id = s.job_id AND a.fence = s.fence AND a.outcome IS NULL
)
SELECT job_id, attempt FROM settled
UNION ALL
-- Those whose settlement had been recorded before, but its answer was lost.
SELECT o.job_id, j.attempt
  FROM outcome o
  JOIN job_attempt a ON a.job_id = o.job_id AND a.fence = o.fence AND a.outcome = o.outcome
  JOIN job_run j ON j.job_id = o.job_id;

-- name: deferred_so_far
-- How often and for how long a job has been deferred since it last got on.
SELECT deferrals, coalesce(extract(epoch FROM clock_timestamp() - deferred_since), 0) AS seconds
  FROM job_run
 WHERE job_id = %(job_id)s;

-- name: release_taken_over
-- Jobs of dead claims whose tenant is busy: they wait again, no attempt spent. The fence names the dead claim: if
-- somebody has claimed the job anew meanwhile, nothing matches.
WITH released AS (
    UPDATE job_run j
       SET state = 'scheduled', entry = NULL, due_at = now() + %(delay_ms)s * interval '1 millisecond'
      FROM unnest(%(job_ids)s::bigint[], %(fences)s::bigint[]) AS d(job_id, fence)
     WHERE j.job_id = d.job_id AND j.state = 'running' AND j.fence = d.fence
       AND NOT EXISTS (SELECT 1 FROM job_run w
                        WHERE w.tenant_id = j.tenant_id AND w.kind = j.kind AND w.state IN ('scheduled', 'retrying'))
    RETURNING j.job_id, j.fence
), merged AS (
    UPDATE job_run j
       SET state = 'cancelled', entry = NULL, finished_at = now(), error_class = 'coalesced',
           coalesced_into = w.job_id,
           error_message = format('its worker died, and job %%s of the same tenant and kind waits', w.job_id)
      FROM unnest(%(job_ids)s::bigint[], %(fences)s::bigint[]) AS d(job_id, fence), job_run w
     WHERE j.job_id = d.job_id AND j.state = 'running' AND j.fence = d.fence
       AND w.tenant_id = j.tenant_id AND w.kind = j.kind AND w.state IN ('scheduled', 'retrying')
    RETURNING j.job_id, j.fence, j.tick_ids, j.full_read, j.accept_deletions, w.job_id AS into_job_id
), noted AS (
    UPDATE job_run w
       SET tick_ids = w.tick_ids || m.tick_ids, full_read = w.full_read OR m.full_read,
           accept_deletions = w.accept_deletions OR m.accept_deletions
      FROM merged m WHERE w.job_id = m.into_job_id
), closed AS (
    UPDATE job_attempt a SET finished_at = now(), outcome = 'lost'
      FROM (SELECT job_id, fence FROM released UNION ALL SELECT job_id, fence FROM merged) r
     WHERE a.job_id = r.job_id AND a.fence = r.fence AND a.outcome IS NULL
)
SELECT job_id FROM released;

-- name: jobs_of_entries
-- Jobs that run under these entries.
SELECT job_id, tenant_id, kind, attempt, entry, fence FROM job_run WHERE state = 'running' AND entry = ANY(%(entries)s::text[]);

-- name: recent_starts
-- Job starts of the last window: their ids and ages in ms, to tell a limit that Redis forgot.
SELECT job_id || '.' || fence AS permit, (extract(epoch FROM now() - started_at) * 1000)::bigint AS age_ms
  FROM job_attempt
 WHERE started_at > now() - %(window_ms)s * interval '1 millisecond'
 ORDER BY started_at DESC
 LIMIT 100000;

-- name: request_cancel
-- Ask that jobs be cancelled: a waiting one ends at its claim, a running one at its next page boundary.
UPDATE job_run
   SET cancel_requested_at = now(), cancel_requested_by = %(who)s
 WHERE job_id = ANY(%(job_ids)s::bigint[]) AND state IN ('scheduled', 'retrying', 'running')
   AND cancel_requested_at IS NULL
RETURNING job_id;
