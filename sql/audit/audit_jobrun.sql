-- The audit of the ledger, for psql:  psql "$DATABASE_URL" -f sql/audit/audit_jobrun.sql
-- Each statement stands alone; all look at the last 7 days.

-- Jobs by kind and state, with average and 95th percentile duration of those that succeeded.
SELECT kind, state, count(*) AS jobs,
       round(avg(duration_ms) FILTER (WHERE state = 'succeeded')) AS avg_ms,
       round((percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms) FILTER (WHERE state = 'succeeded'))::numeric) AS p95_ms,
       sum(rows_fetched) AS fetched, sum(rows_inserted) AS inserted, sum(rows_updated) AS updated,
       sum(rows_unchanged) AS unchanged, sum(rows_rejected) AS rejected
  FROM job_run
 WHERE created_at > now() - interval '7 days'
 GROUP BY kind, state
 ORDER BY kind, state;

-- Slowest tenants by kind.
SELECT tenant_id, kind, count(*) AS jobs, round(avg(duration_ms)) AS avg_ms, max(duration_ms) AS max_ms
  FROM job_run
 WHERE created_at > now() - interval '7 days' AND state = 'succeeded'
 GROUP BY tenant_id, kind
 ORDER BY avg_ms DESC NULLS LAST
 LIMIT 20;

-- Error rates by tenant.
SELECT tenant_id, kind, count(*) AS jobs, count(*) FILTER (WHERE state = 'failed') AS failed,
       round(100.0 * count(*) FILTER (WHERE state = 'failed') / count(*), 1) AS failed_percent,
       mode() WITHIN GROUP (ORDER BY error_class) FILTER (WHERE state = 'failed') AS usual_error
  FROM job_run
 WHERE created_at > now() - interval '7 days' AND state IN ('succeeded', 'failed')
 GROUP BY tenant_id, kind
HAVING count(*) FILTER (WHERE state = 'failed') > 0
 ORDER BY failed_percent DESC, failed DESC
 LIMIT 50;

-- Attempts by outcome and error class.
SELECT outcome, error_class, count(*) AS attempts, count(DISTINCT tenant_id) AS tenants
  FROM job_attempt
 WHERE started_at > now() - interval '7 days'
 GROUP BY outcome, error_class
 ORDER BY attempts DESC;

-- Stuck: running for more than an hour, or an hour overdue.
SELECT job_id, tenant_id, kind, state, attempt, worker, due_at, started_at, pages, now() - due_at AS overdue
  FROM job_run
 WHERE (state = 'running' AND started_at < now() - interval '1 hour')
    OR (state IN ('scheduled', 'retrying') AND due_at < now() - interval '1 hour')
 ORDER BY due_at
 LIMIT 100;

-- Trend by day.
SELECT date_trunc('day', finished_at) AS day, kind, count(*) AS jobs,
       count(*) FILTER (WHERE state = 'failed') AS failed,
       round(avg(duration_ms) FILTER (WHERE state = 'succeeded')) AS avg_ms,
       sum(rows_fetched) AS fetched
  FROM job_run
 WHERE finished_at > now() - interval '7 days'
 GROUP BY day, kind
 ORDER BY day DESC, kind;

-- Ticks: whether each reached its tenants.
SELECT tick_id, kind, trigger, scheduled_for, tenants, coalesced, missed, done_at - created_at AS took
  FROM schedule_tick
 WHERE created_at > now() - interval '7 days'
 ORDER BY tick_id DESC
 LIMIT 50;
