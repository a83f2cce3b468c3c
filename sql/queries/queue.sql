-- submit --
-- Accept tasks: for each the stock row, ours, its first event and the audit row. A task whose id is taken gives no row.
-- Payloads come as one run of bytes, each row says where its own stands: so they are neither quoted nor decoded.
WITH given AS (
  SELECT * FROM json_to_recordset(%(rows)s::json) AS (
    place int, id text, created text, datasource text, payload_at int, payload_size int, secrets jsonb,
    status_payload text, type text, group_id text, availability_group text, required_capacity int, priority int,
    author text, comment text, audit text, parent_id text, retry jsonb, timeout_ms bigint, key text, digest text)
), stock AS (
  INSERT INTO {tasks} (id, created_date, datasource, payload, status_payload, active, type, group_id)
  SELECT id, created, datasource, substring(%(payloads)s::bytea FROM payload_at FOR payload_size),
         convert_to(status_payload, 'UTF8'), true, type, group_id
  FROM given ORDER BY place
  ON CONFLICT (id) DO NOTHING
  RETURNING id
), accepted AS (
  SELECT given.* FROM given JOIN stock ON stock.id = given.id ORDER BY place
), ours AS (
  INSERT INTO {ovl_tasks} (id, created_date, datasource, type, group_id, availability_group, required_capacity,
                           priority, state, retry, timeout_ms, idempotency_key, body_digest, parent_id, secrets)
  SELECT id, created, datasource, type, group_id, availability_group, required_capacity,
         priority, 'WAITING', retry, timeout_ms, key, digest, parent_id, secrets
  FROM accepted ORDER BY place
  RETURNING id, seq
), event AS (
  INSERT INTO {ovl_events} (task_id, attempt, event, to_state)
  SELECT id, 0, 'submitted', 'WAITING' FROM accepted ORDER BY place
), audit AS (
  INSERT INTO {audit} (audit_key, type, author, comment, created_date, payload)
  SELECT datasource, 'task', author, comment, created, convert_to(audit, 'UTF8') FROM accepted ORDER BY place
)
SELECT id, seq FROM ours

-- key_lock --
-- Submits under one key come one after the other.
SELECT pg_advisory_xact_lock(hashtextextended('{ovl_tasks}.key.' || %(key)s, 0))

-- of_key --
-- The task that was submitted under a key; `there`: its stock row has not been cleaned up.
SELECT o.id, o.body_digest, EXISTS (SELECT 1 FROM {tasks} t WHERE t.id = o.id) AS there
FROM {ovl_tasks} o WHERE o.idempotency_key = %(key)s

-- free_key --
UPDATE {ovl_tasks} SET idempotency_key = NULL WHERE idempotency_key = %(key)s

-- size_lock --
SELECT pg_advisory_xact_lock(hashtextextended('{ovl_tasks}.size', 0))

-- size_count --
-- Unfinished tasks, counted no further than `most`.
SELECT count(*) AS size FROM (
  SELECT 1 FROM {ovl_tasks} WHERE state IN ('WAITING', 'PENDING', 'RUNNING') LIMIT %(most)s
) AS open

-- exists --
SELECT 1 AS yes FROM {tasks} WHERE id = %(id)s

-- fence --
-- Held until the end of the transaction: a new leader cannot take over in the middle of it. No row: we lead no more.
SELECT epoch FROM {ovl_leader} WHERE epoch = %(epoch)s FOR SHARE

-- fence_unhurried --
-- The same for what may be forgotten with a crash of Postgres as long as nothing builds on it: its commit is not waited
-- for on the disk. A later commit that is takes it along.
SELECT epoch, set_config('synchronous_commit', 'off', true) FROM {ovl_leader} WHERE epoch = %(epoch)s FOR SHARE

-- lead --
-- The next epoch. Waits for transactions of the last one that still hold the fence.
INSERT INTO {ovl_leader} (epoch, url) VALUES (1, %(url)s)
ON CONFLICT (only_row) DO UPDATE SET epoch = {ovl_leader}.epoch + 1, url = excluded.url, since = now()
RETURNING epoch

-- leader --
SELECT epoch, url FROM {ovl_leader}

-- move --
-- One step of tasks and its events. No row: someone else moved it first, the attempt is an old one, or we lead no more.
WITH fence AS (
  SELECT epoch FROM {ovl_leader} WHERE epoch = %(epoch)s FOR SHARE
), before AS (
  SELECT t.id, t.state FROM {ovl_tasks} t, fence
  WHERE t.id = ANY(%(ids)s::text[]) AND t.state = ANY(%(sources)s::text[])
    AND (%(attempt)s::int IS NULL OR t.attempt = %(attempt)s::int)
  ORDER BY t.seq
  FOR UPDATE OF t
), moved AS (
  UPDATE {ovl_tasks} t SET
    state = %(to)s::text,
    attempt = t.attempt + CASE WHEN %(event)s::text = 'started' THEN 1 ELSE 0 END,
    token = CASE WHEN %(event)s::text = 'started' THEN %(token)s::text WHEN %(to)s::text = 'RUNNING' THEN t.token END,
    retries = t.retries + CASE WHEN %(event)s::text = 'retried' THEN 1 ELSE 0 END,
    not_before = CASE WHEN %(event)s::text = 'retried' THEN now() + %(delay_ms)s::bigint * interval '1 millisecond' END,
    queue_insertion_time = CASE WHEN %(event)s::text = 'locked' THEN %(at)s::varchar
      WHEN %(to)s::text <> 'WAITING' THEN t.queue_insertion_time END,
    started_date = CASE WHEN %(event)s::text = 'started' THEN %(at)s::varchar ELSE t.started_date END,
    ended_date = CASE WHEN %(to)s::text IN ('SUCCESS', 'FAILED') THEN %(at)s::varchar END,
    runner = CASE WHEN %(event)s::text = 'started' THEN %(runner)s::text
      WHEN %(to)s::text NOT IN ('WAITING', 'PENDING') THEN t.runner END,
    identity = CASE WHEN %(to)s::text NOT IN ('WAITING', 'PENDING') AND %(event)s::text <> 'started' THEN t.identity END,
    host = CASE WHEN %(to)s::text NOT IN ('WAITING', 'PENDING') AND %(event)s::text <> 'started' THEN t.host END,
    port = CASE WHEN %(to)s::text NOT IN ('WAITING', 'PENDING') AND %(event)s::text <> 'started' THEN t.port END,
    tls_port = CASE WHEN %(to)s::text NOT IN ('WAITING', 'PENDING') AND %(event)s::text <> 'started' THEN t.tls_port END,
    chat = CASE WHEN %(to)s::text = 'RUNNING' AND %(event)s::text <> 'started' THEN t.chat END,
    progress = CASE WHEN %(to)s::text NOT IN ('WAITING', 'PENDING') THEN t.progress END,
    heartbeat_at = CASE WHEN %(to)s::text = 'RUNNING' THEN now() ELSE t.heartbeat_at END,
    blocked_by = NULL,
    cause = coalesce(%(cause)s::text, t.cause)
  FROM before WHERE t.id = before.id
  RETURNING t.*, before.state AS from_state
), event AS (
  INSERT INTO {ovl_events} (task_id, attempt, event, from_state, to_state, detail)
  SELECT id, attempt, %(event)s::text, from_state, state, %(detail)s::jsonb FROM moved
)
SELECT * FROM moved

-- end_stock --
-- The stock row's last word, written once.
UPDATE {tasks} SET active = false, status_payload = %(status_payload)s WHERE id = %(id)s AND active

-- task --
SELECT * FROM {ovl_tasks} WHERE id = %(id)s

-- payload --
SELECT t.payload, o.secrets FROM {tasks} t LEFT JOIN {ovl_tasks} o ON o.id = t.id WHERE t.id = %(id)s

-- payloads --
-- Of tasks that still wait, in order of submission.
SELECT o.id, o.seq, o.datasource, o.availability_group, o.required_capacity, t.payload
FROM {ovl_tasks} o JOIN {tasks} t ON t.id = o.id
WHERE o.id = ANY(%(ids)s) AND o.state = 'WAITING' AND (o.not_before IS NULL OR o.not_before <= now()) ORDER BY o.seq

-- open --
-- All unfinished tasks, without their payloads, in order of submission.
SELECT id, seq, datasource, type, group_id, availability_group, required_capacity, priority, state, attempt, token,
       queue_insertion_time, started_date, runner, identity, host, port, tls_port, heartbeat_at,
       retry, retries, timeout_ms, (extract(epoch FROM not_before - now()) * 1000)::bigint AS wait_ms
FROM {ovl_tasks} WHERE state IN ('WAITING', 'PENDING', 'RUNNING') ORDER BY seq

-- open_of_datasource --
SELECT id FROM {ovl_tasks}
WHERE datasource = %(datasource)s AND state IN ('WAITING', 'PENDING', 'RUNNING') ORDER BY seq

-- open_children --
SELECT * FROM {ovl_tasks} WHERE parent_id = %(id)s AND state IN ('WAITING', 'PENDING', 'RUNNING') ORDER BY seq

-- lock_keys --
-- What stands in the way of others, to tell whether a waiting task is worth another try.
SELECT task_id, type, start_ms, end_ms FROM {ovl_locks} WHERE datasource = %(datasource)s AND NOT revoked

-- worker_started --
-- The worker's first word. No row: this attempt is not the one that runs.
UPDATE {ovl_tasks} SET identity = %(identity)s, host = %(host)s, port = %(port)s, tls_port = %(tls_port)s,
  heartbeat_at = now()
WHERE id = %(id)s AND attempt = %(attempt)s AND token = %(token)s AND state = 'RUNNING'
RETURNING id

-- heartbeat --
UPDATE {ovl_tasks} SET heartbeat_at = now(), progress = coalesce(%(progress)s::jsonb, progress)
WHERE id = %(id)s AND attempt = %(attempt)s AND token = %(token)s AND state = 'RUNNING'
RETURNING id

-- chat_at --
-- Where the worker listens. No row: this attempt is not the one that runs.
UPDATE {ovl_tasks} SET chat = %(chat)s::jsonb
WHERE id = %(id)s AND attempt = %(attempt)s AND token = %(token)s AND state = 'RUNNING'
RETURNING id

-- chat_of --
SELECT chat FROM {ovl_tasks} WHERE id = %(id)s AND state = 'RUNNING'

-- identify --
-- What the runner found out itself, after a restart.
UPDATE {ovl_tasks} SET identity = %(identity)s, host = %(host)s, port = %(port)s, tls_port = %(tls_port)s
WHERE id = %(id)s AND attempt = %(attempt)s AND state = 'RUNNING'

-- event --
INSERT INTO {ovl_events} (task_id, attempt, event, from_state, to_state, detail)
VALUES (%(id)s, %(attempt)s, %(event)s, %(state)s, %(state)s, %(detail)s)

-- attempt --
SELECT state, attempt, token FROM {ovl_tasks} WHERE id = %(id)s

-- published --
SELECT 1 AS yes FROM {ovl_publishes} WHERE task_id = %(id)s LIMIT 1

-- published_finally --
SELECT 1 AS yes FROM {ovl_publishes} WHERE task_id = %(id)s AND final LIMIT 1

-- silent --
-- Running tasks that have not been heard of for so long.
SELECT id, attempt FROM {ovl_tasks}
WHERE state = 'RUNNING' AND heartbeat_at < now() - %(silence_ms)s::bigint * interval '1 millisecond'
