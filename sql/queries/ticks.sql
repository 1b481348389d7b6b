-- Schedules, ticks, and the producer's pages.

-- name: put_schedule
-- The schedules live here; the settings say when, an operator may have disabled one.
INSERT INTO schedule (kind, cron, timezone) VALUES (%(kind)s, %(cron)s, %(timezone)s)
ON CONFLICT (kind) DO UPDATE SET cron = EXCLUDED.cron, timezone = EXCLUDED.timezone, updated_at = now()
 WHERE (schedule.cron, schedule.timezone) IS DISTINCT FROM (EXCLUDED.cron, EXCLUDED.timezone);

-- name: schedules
-- Enabled schedules and the last tick recorded for each; a new or changed schedule owes nothing to the past.
SELECT s.kind, s.cron, s.timezone,
       greatest(s.updated_at, (SELECT max(t.scheduled_for) FROM schedule_tick t
                                WHERE t.kind = s.kind AND t.trigger = 'schedule')) AS last_tick
  FROM schedule s
 WHERE s.enabled;

-- name: add_cron_tick
-- One row per slot, however many schedulers run; a missed one is recorded and never run.
INSERT INTO schedule_tick (kind, trigger, scheduled_for, missed, done_at)
VALUES (%(kind)s, 'schedule', %(scheduled_for)s, %(missed)s, CASE WHEN %(missed)s THEN now() END)
ON CONFLICT (kind, scheduled_for) WHERE trigger = 'schedule' DO NOTHING
RETURNING tick_id;

-- name: add_manual_tick
-- A tick by hand, leased to its maker at once, so that no scheduler takes it meanwhile.
INSERT INTO schedule_tick (kind, trigger, scheduled_for, tenant_ids, urgent, full_read, accept_deletions,
                           lease_owner, lease_until)
VALUES (%(kind)s, 'manual', now(), %(tenant_ids)s, %(urgent)s, %(full_read)s, %(accept_deletions)s, %(owner)s,
        now() + %(lease_seconds)s * interval '1 second')
RETURNING tick_id;

-- name: lease_tick
-- Take the oldest open tick that nobody works on.
UPDATE schedule_tick
   SET lease_owner = %(owner)s, lease_until = now() + %(lease_seconds)s * interval '1 second'
 WHERE tick_id = (SELECT tick_id FROM schedule_tick
                   WHERE done_at IS NULL AND (lease_until IS NULL OR lease_until < now() OR lease_owner = %(owner)s)
                   ORDER BY tick_id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING tick_id;

-- name: tick
-- A tick as its producer needs it.
SELECT tick_id, kind, trigger, scheduled_for, tenant_ids, urgent, full_read, accept_deletions, last_tenant_id,
       dispatched_tenant_id, tenants, coalesced, done_at
  FROM schedule_tick
 WHERE tick_id = %(tick_id)s;

-- name: page_tenants
-- The next active tenants by key.
SELECT tenant_id
  FROM tenant
 WHERE active AND tenant_id > %(after)s
   AND (%(tenant_ids)s::text[] IS NULL OR tenant_id = ANY(%(tenant_ids)s::text[]))
 ORDER BY tenant_id
 LIMIT %(limit)s;

-- name: advance_tick
-- Move a tick's position, only from where the caller believes it to be: two producers cannot both succeed.
UPDATE schedule_tick
   SET last_tenant_id = %(to)s, dispatched_tenant_id = %(dispatched)s, tenants = tenants + %(tenants)s,
       lease_owner = %(owner)s, lease_until = now() + %(lease_seconds)s * interval '1 second'
 WHERE tick_id = %(tick_id)s AND last_tenant_id = %(from)s AND done_at IS NULL
RETURNING tick_id;

-- name: insert_jobs
-- One job per tenant of the page. Where one waits already the tick is noted on it.
INSERT INTO job_run (tenant_id, kind, trigger, tick_ids, scheduled_for, due_at, urgent, full_read, accept_deletions)
SELECT p.tenant_id, %(kind)s, %(trigger)s, ARRAY[%(tick_id)s::bigint], %(scheduled_for)s, p.due_at, %(urgent)s, %(full_read)s,
       %(accept_deletions)s
  FROM unnest(%(tenant_ids)s::text[], %(due_ats)s::timestamptz[]) AS p(tenant_id, due_at)
ON CONFLICT (tenant_id, kind) WHERE state IN ('scheduled', 'retrying') DO UPDATE
   SET tick_ids = job_run.tick_ids || EXCLUDED.tick_ids,
       full_read = job_run.full_read OR EXCLUDED.full_read,
       accept_deletions = job_run.accept_deletions OR EXCLUDED.accept_deletions,
       urgent = job_run.urgent OR EXCLUDED.urgent,
       due_at = CASE WHEN EXCLUDED.urgent THEN least(job_run.due_at, EXCLUDED.due_at) ELSE job_run.due_at END
RETURNING job_id, tenant_id, attempt, due_at, xmax = 0 AS created;

-- name: read_again
-- A wish for a full read that is noted on a job which has done one already: it does it again.
UPDATE sync_state SET full_read_job_id = NULL
 WHERE full_read_cursor IS NULL AND full_read_job_id = ANY(%(job_ids)s::bigint[]) AND tenant_id = ANY(%(tenant_ids)s::text[]);

-- name: note_coalesced
-- How many of a tick's tenants had a job waiting.
UPDATE schedule_tick SET coalesced = coalesced + %(coalesced)s WHERE tick_id = %(tick_id)s;

-- name: undispatched
-- Jobs of a tick that the ledger holds and Redis may not have been told of (its producer died in between).
SELECT job_id, tenant_id, attempt, due_at
  FROM job_run
 WHERE tenant_id > %(after)s AND tenant_id <= %(upto)s AND kind = %(kind)s AND state IN ('scheduled', 'retrying')
   AND %(tick_id)s = ANY(tick_ids);

-- name: finish_tick
-- The tick has reached every tenant.
UPDATE schedule_tick
   SET done_at = now(), dispatched_tenant_id = last_tenant_id, lease_until = NULL
 WHERE tick_id = %(tick_id)s AND done_at IS NULL;
