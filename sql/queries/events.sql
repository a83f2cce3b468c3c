-- after --
-- Events after one, in order, of tasks and supervisors.
SELECT e.id, e.at, 'task' AS kind, e.event, e.task_id AS subject, e.attempt, e.from_state, e.to_state, t.type,
       t.datasource, t.group_id, t.cause
FROM (SELECT * FROM {ovl_events} WHERE id > %(after)s ORDER BY id LIMIT %(most)s) e
LEFT JOIN {ovl_tasks} t ON t.id = e.task_id
UNION ALL
SELECT * FROM (
  SELECT id, at, 'supervisor', event, supervisor_id, NULL::int, detail ->> 'from', detail ->> 'to', type,
    datasources ->> 0, NULL, NULL
  FROM {ovl_supervisor_events} WHERE id > %(after)s ORDER BY id LIMIT %(most)s
) s
ORDER BY id LIMIT %(most)s

-- by_ids --
SELECT e.id, e.at, 'task' AS kind, e.event, e.task_id AS subject, e.attempt, e.from_state, e.to_state, t.type,
       t.datasource, t.group_id, t.cause
FROM {ovl_events} e LEFT JOIN {ovl_tasks} t ON t.id = e.task_id WHERE e.id = ANY(%(ids)s::bigint[])
UNION ALL
SELECT id, at, 'supervisor', event, supervisor_id, NULL::int, detail ->> 'from', detail ->> 'to', type,
  datasources ->> 0, NULL, NULL
FROM {ovl_supervisor_events} WHERE id = ANY(%(ids)s::bigint[])
ORDER BY id

-- last --
SELECT greatest((SELECT max(id) FROM {ovl_events}), (SELECT max(id) FROM {ovl_supervisor_events}), 0) AS id

-- horizon --
-- Transactions below `oldest` have ended; those from `next` on have not begun.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next

-- supervisor --
INSERT INTO {ovl_supervisor_events} (supervisor_id, type, event, datasources, detail)
VALUES (%(id)s, %(type)s, %(event)s, %(datasources)s, %(detail)s)

-- published --
-- The segments that tasks have published, at most so many of each publish.
SELECT p.task_id, s.value ->> 'identifier' AS id, s.value ->> 'interval' AS interval
FROM {ovl_publishes} p, jsonb_array_elements(p.result -> 'segments') AS s (value)
WHERE p.task_id = ANY(%(ids)s::text[])

-- hook --
-- How far it is. Made, at the last event of now, when it is new.
INSERT INTO {ovl_hooks} (url, after_id) VALUES (%(url)s, %(last)s)
ON CONFLICT (url) DO UPDATE SET url = excluded.url
RETURNING after_id

-- advance --
-- Deliveries of the next events, and how far that is. No row: we lead no more, or someone else has done it.
WITH fence AS (
  SELECT epoch FROM {ovl_leader} WHERE epoch = %(epoch)s FOR SHARE
), hook AS (
  UPDATE {ovl_hooks} SET after_id = %(to)s FROM fence WHERE url = %(url)s AND after_id = %(after)s RETURNING url
), made AS (
  INSERT INTO {ovl_deliveries} (url, event_id)
  SELECT hook.url, e.id FROM hook, unnest(%(ids)s::bigint[]) AS e (id)
)
SELECT url FROM hook

-- due --
SELECT event_id, attempts, made_at FROM {ovl_deliveries} WHERE url = %(url)s AND next_at <= now()
ORDER BY event_id LIMIT %(most)s

-- delivered --
DELETE FROM {ovl_deliveries} WHERE url = %(url)s AND event_id = %(id)s

-- postponed --
UPDATE {ovl_deliveries} SET attempts = attempts + 1, next_at = now() + make_interval(secs => %(wait_s)s), error = %(error)s
WHERE url = %(url)s AND event_id = %(id)s
