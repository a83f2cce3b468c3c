-- snapshot --
-- What follows in this transaction sees the database as it is now.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ

-- by_index --
-- What follows in this transaction takes its order from an index, on a table too that was just filled and has no
-- statistics yet: it is then thought to be tiny, and all of it sorted for a page of a hundred.
SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off

-- active --
-- Unfinished tasks that are ours, oldest first.
SELECT id, created_date, datasource, type, group_id, state, queue_insertion_time, host, port, tls_port
FROM {ovl_tasks}
WHERE state = ANY(%(states)s::text[]) AND state IN ('WAITING', 'PENDING', 'RUNNING')
  AND (%(datasource)s::text IS NULL OR datasource = %(datasource)s)
  AND created_date >= %(from)s AND created_date < %(to)s
  AND (%(search)s::text IS NULL OR strpos(lower(concat_ws(E'\n', id, datasource, type, group_id)), lower(%(search)s)) > 0)
ORDER BY created_date, seq

-- ended --
-- Ended tasks, newest first, those of a stock Overlord too. Rows older than columns `type` and `group_id` have
-- these only in their payload. Planned for its very parameters each time: those that are NULL then cost nothing, and
-- order and limit come out of an index (idx_{tasks}_active_created_date, or {ovl_tasks}_ended_of_datasource).
SELECT id, created_date, datasource, type, group_id, status_payload,
       CASE WHEN type IS NULL OR group_id IS NULL THEN payload END AS payload
FROM {tasks}
WHERE active = false
  AND (%(datasource)s::text IS NULL OR datasource = %(datasource)s)
  AND created_date COLLATE "C" >= %(from)s AND created_date COLLATE "C" < %(to)s
  AND (%(search)s::text IS NULL OR strpos(lower(concat_ws(E'\n', id, datasource, type, group_id)), lower(%(search)s)) > 0)
ORDER BY created_date COLLATE "C" DESC, id COLLATE "C" DESC
LIMIT %(most)s::bigint

-- active_page --
-- Like ended_page, over unfinished tasks that are ours. Their duration is not known, and their status is RUNNING.
SELECT id, created_date, datasource, type, group_id, state, queue_insertion_time, host, port, tls_port, sort_key
FROM (
  SELECT *,
    CASE %(sort)s::text
      WHEN 'createdTime' THEN created_date
      WHEN 'id' THEN id
      WHEN 'dataSource' THEN datasource
      WHEN 'type' THEN type
      WHEN 'groupId' THEN group_id
      WHEN 'statusCode' THEN 'RUNNING'
      WHEN 'duration' THEN repeat('0', 19)
    END COLLATE "C" AS sort_key
  FROM {ovl_tasks}
  WHERE state = ANY(%(states)s::text[]) AND state IN ('WAITING', 'PENDING', 'RUNNING')
) AS t
WHERE (%(datasource)s::text IS NULL OR datasource = %(datasource)s)
  AND (%(type)s::text IS NULL OR type = %(type)s)
  AND created_date >= %(from)s AND created_date < %(to)s
  AND (%(search)s::text IS NULL OR strpos(lower(concat_ws(E'\n', id, datasource, type, group_id)), lower(%(search)s)) > 0)
  AND (%(after_id)s::text IS NULL
       OR CASE WHEN %(descending)s::bool THEN (sort_key, id) < (%(after_key)s, %(after_id)s)
          ELSE (sort_key, id) > (%(after_key)s, %(after_id)s) END)
ORDER BY CASE WHEN NOT %(descending)s::bool THEN sort_key END, CASE WHEN NOT %(descending)s::bool THEN id END,
         CASE WHEN %(descending)s::bool THEN sort_key END DESC, CASE WHEN %(descending)s::bool THEN id END DESC
LIMIT %(limit)s::bigint

-- ended_page --
-- Ended tasks in any order, from behind (after_key, after_id) on. Planned for its very parameters each time, so that
-- what depends on them alone is gone before an index is looked for: createdTime and id are read in order from one.
SELECT id, created_date, datasource, type, group_id, status_payload,
       CASE WHEN type IS NULL OR group_id IS NULL THEN payload END AS payload, sort_key
FROM (
  SELECT *,
    CASE %(sort)s::text
      WHEN 'createdTime' THEN created_date
      WHEN 'id' THEN id
      WHEN 'dataSource' THEN datasource
      WHEN 'type' THEN coalesce(type, '')
      WHEN 'groupId' THEN coalesce(group_id, '')
      WHEN 'statusCode' THEN convert_from(status_payload, 'UTF8')::json ->> 'status'
      WHEN 'duration' THEN
        lpad((coalesce((convert_from(status_payload, 'UTF8')::json ->> 'duration')::numeric, -1) + 1)::text, 19, '0')
    END COLLATE "C" AS sort_key
  FROM {tasks}
  WHERE active = false
) AS t
WHERE (%(datasource)s::text IS NULL OR datasource = %(datasource)s)
  AND (%(type)s::text IS NULL OR coalesce(type, convert_from(payload, 'UTF8')::json ->> 'type') = %(type)s)
  AND created_date COLLATE "C" >= %(from)s AND created_date COLLATE "C" < %(to)s
  AND (%(search)s::text IS NULL OR strpos(lower(concat_ws(E'\n', id, datasource, type, group_id)), lower(%(search)s)) > 0)
  AND (%(after_id)s::text IS NULL
       OR CASE WHEN %(descending)s::bool THEN (sort_key, id COLLATE "C") < (%(after_key)s, %(after_id)s)
          ELSE (sort_key, id COLLATE "C") > (%(after_key)s, %(after_id)s) END)
ORDER BY CASE WHEN NOT %(descending)s::bool THEN sort_key END,
         CASE WHEN NOT %(descending)s::bool THEN id END COLLATE "C",
         CASE WHEN %(descending)s::bool THEN sort_key END DESC,
         CASE WHEN %(descending)s::bool THEN id END COLLATE "C" DESC
LIMIT %(limit)s::bigint

-- sizes --
SELECT state, datasource, count(*) AS size FROM {ovl_tasks}
WHERE state IN ('WAITING', 'PENDING', 'RUNNING')
GROUP BY state, datasource

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

-- progress --
-- How far a task is, by its worker's last sign of life; of a task that is not ours only whether it is active.
SELECT t.active, CASE WHEN t.active THEN coalesce(o.state, 'WAITING') ELSE convert_from(t.status_payload, 'UTF8')::jsonb->>'status' END AS state,
  o.progress, (extract(epoch FROM now() - o.heartbeat_at) * 1000)::bigint AS told_ms_ago
FROM {tasks} t LEFT JOIN {ovl_tasks} o ON o.id = t.id WHERE t.id = %(id)s
