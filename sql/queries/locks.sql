-- active --
-- Which of these tasks may hold locks: accepted and not ended. Their rows stay as they are until the locks are written.
SELECT id FROM {ovl_tasks} WHERE id = ANY(%(ids)s::text[]) AND state IN ('WAITING', 'PENDING', 'RUNNING')
ORDER BY id FOR SHARE

-- overlapping --
SELECT DISTINCT l.id, l.tasklock_id, l.task_id, l.group_id, l.datasource, l.granularity, l.type, l.start_ms, l.end_ms,
  l.version, l.partition_id, l.priority, l.revoked
FROM unnest(%(starts)s::bigint[], %(ends)s::bigint[]) AS w (start_ms, end_ms)
JOIN {ovl_locks} l ON l.datasource = %(datasource)s AND l.start_ms < w.end_ms AND l.end_ms > w.start_ms

-- of_datasource --
SELECT id, tasklock_id, task_id, group_id, datasource, granularity, type, start_ms, end_ms, version, partition_id,
  priority, revoked
FROM {ovl_locks} WHERE datasource = %(datasource)s
ORDER BY start_ms, end_ms, id

-- of_task --
SELECT id, tasklock_id, task_id, group_id, datasource, granularity, type, start_ms, end_ms, version, partition_id,
  priority, revoked
FROM {ovl_locks} WHERE task_id = %(task_id)s
ORDER BY start_ms, end_ms, id

-- newest_version --
-- Of segments that overlap, used or not. Instants compare as texts only while their years have four digits.
SELECT max(version) AS version FROM {segments}
WHERE datasource = %(datasource)s AND start < %(end)s AND "end" > %(start)s AND version < '5'

-- grant --
-- Our row and Druid's copy of it.
WITH stock AS (
  INSERT INTO {tasklocks} (task_id, lock_payload) VALUES (%(task_id)s, %(payload)s) RETURNING id
)
INSERT INTO {ovl_locks} (tasklock_id, task_id, group_id, datasource, granularity, type, start_ms, end_ms, version,
                         partition_id, priority, revoked)
SELECT id, %(task_id)s, %(group_id)s, %(datasource)s, %(granularity)s, %(type)s, %(start_ms)s, %(end_ms)s, %(version)s,
  %(partition_id)s, %(priority)s, %(revoked)s
FROM stock
RETURNING id

-- revoke --
WITH ours AS (
  UPDATE {ovl_locks} SET revoked = true WHERE id = %(id)s RETURNING tasklock_id
)
UPDATE {tasklocks} t SET lock_payload = %(payload)s FROM ours WHERE t.id = ours.tasklock_id

-- release --
WITH ours AS (
  DELETE FROM {ovl_locks}
  WHERE task_id = %(task_id)s AND granularity = 'timeChunk' AND start_ms = %(start_ms)s AND end_ms = %(end_ms)s
  RETURNING tasklock_id
)
DELETE FROM {tasklocks} t USING ours WHERE t.id = ours.tasklock_id

-- drop --
WITH ours AS (
  DELETE FROM {ovl_locks} WHERE id = ANY(%(ids)s::bigint[]) RETURNING tasklock_id
)
DELETE FROM {tasklocks} t USING ours WHERE t.id = ours.tasklock_id

-- release_task --
WITH ours AS (
  DELETE FROM {ovl_locks} WHERE task_id = %(task_id)s RETURNING tasklock_id
)
DELETE FROM {tasklocks} t USING ours WHERE t.id = ours.tasklock_id
