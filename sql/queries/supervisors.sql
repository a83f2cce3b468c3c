-- insert --
-- One more version of a supervisor's spec; rows are never changed.
INSERT INTO {supervisors} (spec_id, created_date, payload) VALUES (%(id)s, %(created)s, %(payload)s)

-- latest --
-- The last version of each.
SELECT DISTINCT ON (spec_id) spec_id, payload FROM {supervisors} ORDER BY spec_id, id DESC

-- latest_of --
SELECT payload FROM {supervisors} WHERE spec_id = %(id)s ORDER BY id DESC LIMIT 1

-- history --
-- Newest first.
SELECT spec_id, created_date, payload FROM {supervisors}
WHERE %(id)s::text IS NULL OR spec_id = %(id)s::text
ORDER BY id DESC

-- open_compactions --
-- Compact tasks that have not ended, ours and those of a stock Overlord.
SELECT id, datasource, payload FROM {tasks} WHERE type = 'compact' AND active

-- ended_state --
SELECT state FROM {ovl_tasks} WHERE id = %(id)s AND state IN ('SUCCESS', 'FAILED')

-- forget_offsets --
DELETE FROM {datasource} WHERE datasource = %(datasource)s

-- stream_tasks --
-- Unfinished tasks that read a stream into a datasource.
SELECT t.id, t.state, k.payload FROM {ovl_tasks} t JOIN {tasks} k ON k.id = t.id
WHERE t.datasource = %(datasource)s AND t.type = 'index_kafka' AND t.state IN ('WAITING', 'PENDING', 'RUNNING')

-- states --
SELECT id, state FROM {ovl_tasks} WHERE id = ANY(%(ids)s::text[])
