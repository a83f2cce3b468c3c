-- facts --
-- All that rows say of one task: the stock one, and ours where there is one.
SELECT t.id, t.created_date, t.datasource, t.type, t.group_id, t.active, t.status_payload, t.payload,
  o.id IS NOT NULL AS ours, o.seq, o.priority, o.availability_group, o.required_capacity, o.state, o.attempt, o.retry,
  o.retries, o.timeout_ms, o.queue_insertion_time, o.started_date, o.ended_date, o.runner, o.identity, o.host, o.port,
  o.cause, o.progress,
  (extract(epoch FROM o.not_before) * 1000)::bigint AS not_before_ms,
  (extract(epoch FROM now() - o.heartbeat_at) * 1000)::bigint AS heartbeat_age_ms
FROM {tasks} t LEFT JOIN {ovl_tasks} o ON o.id = t.id WHERE t.id = %(id)s

-- events --
SELECT (extract(epoch FROM at) * 1000)::bigint AS at_ms, attempt, event, from_state, to_state, detail
FROM {ovl_events} WHERE task_id = %(id)s ORDER BY id

-- holders --
-- The standing locks of those who are in the way, and where they are themselves.
SELECT l.task_id, l.group_id, l.type, l.start_ms, l.end_ms, l.priority,
  (extract(epoch FROM l.granted_at) * 1000)::bigint AS granted_ms,
  o.type AS task_type, o.state, o.priority AS task_priority
FROM {ovl_locks} l LEFT JOIN {ovl_tasks} o ON o.id = l.task_id
WHERE l.datasource = %(datasource)s AND l.task_id = ANY(%(ids)s::text[]) AND NOT l.revoked
ORDER BY l.granted_at, l.id

-- waiting_before --
-- Those of the same datasource that were submitted earlier and wait too.
SELECT count(*) AS n FROM {ovl_tasks}
WHERE datasource = %(datasource)s AND seq < %(seq)s AND state IN ('WAITING', 'PENDING', 'RUNNING') AND state = 'WAITING'

-- place --
SELECT count(*) FILTER (WHERE (queue_insertion_time, seq) <= (%(inserted)s::varchar, %(seq)s)) AS place, count(*) AS of
FROM {ovl_tasks} WHERE state = 'PENDING'

-- published --
SELECT coalesce(sum(segments), 0)::bigint AS segments, count(*) AS publishes,
  (extract(epoch FROM max(at)) * 1000)::bigint AS at_ms
FROM {ovl_publishes} WHERE task_id = %(id)s
