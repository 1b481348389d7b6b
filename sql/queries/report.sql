-- Figures of the ledger for people.

-- name: states
-- Jobs by state.
SELECT state, count(*) AS jobs FROM job_run GROUP BY state;

-- name: rows
-- Records read so far.
SELECT coalesce(sum(rows_fetched), 0) AS fetched, coalesce(sum(rows_rejected), 0) AS rejected FROM job_run;

-- name: running_by_worker
-- How many jobs each worker runs.
SELECT worker, count(*) AS jobs FROM job_run WHERE state = 'running' GROUP BY worker;

-- name: jobs
-- Jobs by kind and state with their counters.
SELECT kind, state, count(*) AS jobs, sum(pages) AS pages, sum(rows_fetched) AS fetched,
       sum(rows_inserted) AS inserted, sum(rows_updated) AS updated, sum(rows_unchanged) AS unchanged,
       sum(rows_rejected) AS rejected,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) AS median_ms
  FROM job_run
 GROUP BY kind, state
 ORDER BY kind, state;

-- name: attempts
-- Attempts by outcome and error class.
SELECT outcome, error_class, count(*) AS attempts
  FROM job_attempt
 GROUP BY outcome, error_class
 ORDER BY outcome, attempts DESC;

-- name: failures
-- Failed jobs with their reason.
SELECT job_id, tenant_id, kind, attempt, error_class, error_status, error_message
  FROM job_run
 WHERE state = 'failed'
 ORDER BY job_id
 LIMIT 100;

-- name: quarantined
-- Records in quarantine.
SELECT count(*) AS records FROM rejected_record;

-- name: taken_over
-- Attempts that were lost and whose jobs succeeded in a later one.
SELECT count(*) AS attempts
  FROM job_attempt a
  JOIN job_run j USING (job_id)
 WHERE a.outcome = 'lost' AND j.state = 'succeeded' AND j.fence > a.fence;

-- name: inconsistencies
-- Jobs whose counters do not add up, or whose attempts contradict them.
SELECT j.job_id, j.tenant_id, j.state
  FROM job_run j
  LEFT JOIN LATERAL (
       SELECT coalesce(sum(a.rows_fetched), 0) AS fetched, coalesce(sum(a.pages), 0) AS pages,
              count(*) FILTER (WHERE a.outcome = 'succeeded') AS succeeded,
              count(*) FILTER (WHERE a.outcome IS NULL) AS unfinished
         FROM job_attempt a
        WHERE a.job_id = j.job_id
  ) a ON true
 WHERE j.rows_fetched <> j.rows_inserted + j.rows_updated + j.rows_unchanged + j.rows_rejected
    OR j.rows_fetched <> a.fetched OR j.pages <> a.pages
    OR a.succeeded <> CASE WHEN j.state = 'succeeded' THEN 1 ELSE 0 END
    OR (a.unfinished > 0 AND j.state <> 'running');
