-- active --
-- Unfinished tasks that are ours, oldest first.
SELECT id, created_date, datasource, type, group_id, state, queue_insertion_time, host, port, tls_port
FROM {ovl_tasks}
WHERE state = ANY(%(states)s::text[]) AND state IN ('WAITING', 'PENDING', 'RUNNING')
ORDER BY created_date, seq

-- active_of_datasource --
SELECT id, created_date, datasource, type, group_id, state, queue_insertion_time, host, port, tls_port
FROM {ovl_tasks}
WHERE datasource = %(datasource)s AND state = ANY(%(states)s::text[]) AND state IN ('WAITING', 'PENDING', 'RUNNING')
ORDER BY created_date, seq

-- ended --
-- Ended tasks, newest first, those of a stock Overlord too. Rows older than columns `type` and `group_id` have
-- these only in their payload.
SELECT id, created_date, datasource, type, group_id, status_payload,
       CASE WHEN type IS NULL OR group_id IS NULL THEN payload END AS payload
FROM {tasks}
WHERE active = false AND created_date >= %(since)s
ORDER BY created_date DESC, id DESC
LIMIT %(most)s::bigint

-- ended_of_datasource --
SELECT id, created_date, datasource, type, group_id, status_payload,
       CASE WHEN type IS NULL OR group_id IS NULL THEN payload END AS payload
FROM {tasks}
WHERE datasource = %(datasource)s AND active = false AND created_date >= %(since)s
ORDER BY created_date DESC, id DESC
LIMIT %(most)s::bigint

-- some --
-- Tasks by id, with what we know of them beyond the stock row.
SELECT t.id, t.created_date, t.datasource, t.type, t.group_id, t.active, t.status_payload,
       CASE WHEN t.type IS NULL OR t.group_id IS NULL THEN t.payload END AS payload,
       o.state, o.host, o.port, o.tls_port
FROM {tasks} t LEFT JOIN {ovl_tasks} o ON o.id = t.id
WHERE t.id = ANY(%(ids)s::text[])

-- payload --
SELECT payload FROM {tasks} WHERE id = %(id)s

-- active_in_datasource --
-- The unfinished task of a datasource that was created first, a stock Overlord's too.
SELECT id, created_date FROM {tasks}
WHERE datasource = %(datasource)s AND active
ORDER BY created_date, id LIMIT 1
