-- last_runs --
SELECT name, ran_at, duration_ms, counts, error FROM {ovl_duties}

-- ran --
INSERT INTO {ovl_duties} (name, ran_at, duration_ms, counts, error)
VALUES (%(name)s, %(at)s, %(duration_ms)s, %(counts)s, %(error)s)
ON CONFLICT (name) DO UPDATE SET ran_at = excluded.ran_at, duration_ms = excluded.duration_ms,
  counts = excluded.counts, error = excluded.error

-- oldest_active --
-- Of any datasource, a stock Overlord's too.
SELECT min(created_date) AS created FROM {tasks} WHERE active

-- newest_ended --
SELECT max(created_date) AS created FROM {tasks} WHERE active = false AND created_date >= %(since)s

-- datasources_with_used_segments --
SELECT DISTINCT datasource FROM {segments} WHERE used

-- datasources_with_segments --
SELECT DISTINCT datasource FROM {segments}

-- datasources_with_pending --
SELECT DISTINCT datasource FROM {pendingsegments}

-- count_audit --
SELECT count(*) AS n FROM {audit} WHERE created_date < %(before)s

-- delete_audit --
DELETE FROM {audit} WHERE id IN (
  SELECT id FROM {audit} WHERE created_date < %(before)s ORDER BY created_date LIMIT %(most)s
)

-- count_rules --
SELECT count(*) AS n FROM {rules} r
WHERE r.version < %(before)s AND r.datasource <> '_default'
  AND NOT EXISTS (SELECT 1 FROM {segments} s WHERE s.datasource = r.datasource)

-- delete_rules --
-- Of datasources without any segment; never the default rules.
DELETE FROM {rules} WHERE id IN (
  SELECT r.id FROM {rules} r
  WHERE r.version < %(before)s AND r.datasource <> '_default'
    AND NOT EXISTS (SELECT 1 FROM {segments} s WHERE s.datasource = r.datasource)
  LIMIT %(most)s
)

-- latest_supervisors --
SELECT DISTINCT ON (spec_id) spec_id, id, payload FROM {supervisors} ORDER BY spec_id, id DESC

-- count_supervisor --
SELECT count(*) AS n FROM {supervisors} WHERE spec_id = %(spec_id)s AND created_date < %(before)s

-- delete_supervisor --
-- Versions of a terminated supervisor, unless it was created again since its last version was looked at.
DELETE FROM {supervisors} WHERE id IN (
  SELECT s.id FROM {supervisors} s
  WHERE s.spec_id = %(spec_id)s AND s.created_date < %(before)s
    AND NOT EXISTS (SELECT 1 FROM {supervisors} n WHERE n.spec_id = s.spec_id AND n.id > %(last)s)
  ORDER BY s.id LIMIT %(most)s
)

-- count_supervisor_history --
SELECT (SELECT count(*) FROM {ovl_supervisor_events} WHERE at < %(before_at)s)
     + (SELECT count(*) FROM {ovl_deliveries} WHERE made_at < %(before_at)s)
     + (SELECT count(*) FROM {ovl_runs} r WHERE r.claimed_at < %(before_at)s AND r.submitted_date IS NOT NULL
          AND EXISTS (SELECT 1 FROM {ovl_runs} n WHERE n.supervisor_id = r.supervisor_id AND n.due_ms > r.due_ms)) AS n

-- delete_supervisor_events --
DELETE FROM {ovl_supervisor_events} WHERE id IN (
  SELECT id FROM {ovl_supervisor_events} WHERE at < %(before_at)s ORDER BY id LIMIT %(most)s
)

-- delete_deliveries --
-- Of events to webhooks that are no more; those that are have given up long before.
DELETE FROM {ovl_deliveries} WHERE (url, event_id) IN (
  SELECT url, event_id FROM {ovl_deliveries} WHERE made_at < %(before_at)s LIMIT %(most)s
)

-- delete_runs --
-- Of schedules; the last one of each stays, for the next due time is counted from it.
DELETE FROM {ovl_runs} WHERE (supervisor_id, due_ms) IN (
  SELECT r.supervisor_id, r.due_ms FROM {ovl_runs} r
  WHERE r.claimed_at < %(before_at)s AND r.submitted_date IS NOT NULL
    AND EXISTS (SELECT 1 FROM {ovl_runs} n WHERE n.supervisor_id = r.supervisor_id AND n.due_ms > r.due_ms)
  LIMIT %(most)s
)

-- old_datasource_metadata --
-- Commit metadata without an active supervisor or an unfinished task.
SELECT d.datasource FROM {datasource} d
WHERE d.created_date < %(before)s AND NOT d.datasource = ANY(%(kept)s::text[])
  AND NOT EXISTS (SELECT 1 FROM {tasks} t WHERE t.datasource = d.datasource AND t.active)
ORDER BY d.datasource

-- delete_datasource_metadata --
DELETE FROM {datasource} d
WHERE d.datasource = %(datasource)s AND d.created_date < %(before)s
  AND NOT EXISTS (SELECT 1 FROM {tasks} t WHERE t.datasource = d.datasource AND t.active)

-- count_pending --
SELECT count(*) AS n FROM {pendingsegments}
WHERE datasource = %(datasource)s AND created_date >= %(start)s AND created_date < %(end)s

-- delete_pending --
DELETE FROM {pendingsegments} WHERE id IN (
  SELECT id FROM {pendingsegments}
  WHERE datasource = %(datasource)s AND created_date >= %(start)s AND created_date < %(end)s
  LIMIT %(most)s
)

-- active_coordinator_tasks --
-- What a Coordinator, or a duty in its place, has under way.
SELECT id, datasource FROM {tasks} WHERE active AND starts_with(id, %(prefix)s)

-- unused_intervals --
-- In order of time; each row is one segment.
SELECT start, "end" FROM {segments}
WHERE datasource = %(datasource)s AND NOT used
  AND (%(start)s::text IS NULL OR start >= %(start)s::text)
  AND (%(end)s::text IS NULL OR "end" <= %(end)s::text)
  AND used_status_last_updated <= %(updated)s
  AND length(start) = 24 AND length("end") = 24
ORDER BY start, "end" LIMIT %(most)s

-- count_tasks --
SELECT count(*) AS n FROM {tasks} t
WHERE t.active = false AND t.created_date < %(before)s AND NOT EXISTS (
  SELECT 1 FROM {ovl_tasks} o WHERE o.id = t.id AND o.state IN ('WAITING', 'PENDING', 'RUNNING')
)

-- delete_tasks --
-- Ended tasks and all that we know of them.
WITH old AS (
  SELECT t.id FROM {tasks} t
  WHERE t.active = false AND t.created_date < %(before)s AND NOT EXISTS (
    SELECT 1 FROM {ovl_tasks} o WHERE o.id = t.id AND o.state IN ('WAITING', 'PENDING', 'RUNNING')
  )
  ORDER BY t.created_date LIMIT %(most)s
  FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM {tasks} t USING old WHERE t.id = old.id AND t.active = false RETURNING t.id
), ours AS (
  DELETE FROM {ovl_tasks} o USING gone WHERE o.id = gone.id
), publishes AS (
  DELETE FROM {ovl_publishes} p USING gone WHERE p.task_id = gone.id
), events AS (
  DELETE FROM {ovl_events} e USING gone WHERE e.task_id = gone.id
)
SELECT id FROM gone

-- delete_orphans --
-- Rows of ours about ended tasks whose stock row someone else deleted.
DELETE FROM {ovl_tasks} WHERE id IN (
  SELECT o.id FROM {ovl_tasks} o
  WHERE o.created_date < %(before)s AND o.state IN ('SUCCESS', 'FAILED')
    AND NOT EXISTS (SELECT 1 FROM {tasks} t WHERE t.id = o.id)
  LIMIT %(most)s
)

-- delete_orphan_publishes --
DELETE FROM {ovl_publishes} p WHERE (p.task_id, p.publish_key) IN (
  SELECT q.task_id, q.publish_key FROM {ovl_publishes} q
  WHERE q.at < %(before_at)s::timestamptz AND NOT EXISTS (SELECT 1 FROM {ovl_tasks} o WHERE o.id = q.task_id)
  LIMIT %(most)s
)

-- delete_orphan_events --
DELETE FROM {ovl_events} WHERE id IN (
  SELECT e.id FROM {ovl_events} e
  WHERE e.at < %(before_at)s::timestamptz AND NOT EXISTS (SELECT 1 FROM {ovl_tasks} o WHERE o.id = e.task_id)
  LIMIT %(most)s
)
