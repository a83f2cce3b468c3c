-- Our own tables. The stock rows hold what Druid reads; these hold what we decide by, in real columns.

-- Which server leads. One row; `epoch` grows with each leader and fences off an old one: a move carries its epoch.
CREATE TABLE {ovl_leader} (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  epoch bigint NOT NULL,
  url text NOT NULL,
  since timestamptz NOT NULL DEFAULT now()
);

-- One row a task that we accepted, kept as long as its row in {tasks}.
-- state: WAITING (locks) PENDING (slot) RUNNING SUCCESS FAILED; every move is guarded by the state before.
CREATE TABLE {ovl_tasks} (
  id varchar(255) COLLATE "C" PRIMARY KEY,
  seq bigserial NOT NULL UNIQUE,              -- order of submission
  created_date varchar(255) COLLATE "C" NOT NULL,
  datasource varchar(255) COLLATE "C" NOT NULL,
  type varchar(255) COLLATE "C" NOT NULL,
  group_id varchar(255) COLLATE "C" NOT NULL,
  availability_group varchar(255) COLLATE "C" NOT NULL,
  required_capacity int NOT NULL DEFAULT 1,
  priority int NOT NULL,
  state text NOT NULL,
  attempt int NOT NULL DEFAULT 0,             -- grows with each start
  token text,                                 -- of this attempt; the worker's password for our own routes
  queue_insertion_time varchar(255) COLLATE "C", -- given to the runner (PENDING)
  started_date varchar(255) COLLATE "C",
  ended_date varchar(255) COLLATE "C",
  runner text,                                -- which Runner has it
  identity jsonb,                             -- what the runner needs to find it again: boot id, pid, start time, folder
  host text, port int, tls_port int,          -- location shown to clients
  heartbeat_at timestamptz,
  progress jsonb,
  blocked_by jsonb,                           -- why it waits: lock, holder, since
  cause text                                  -- the full cause of a failure, not cut to 1024 characters
);
CREATE INDEX {ovl_tasks}_open ON {ovl_tasks} (state, seq) WHERE state IN ('WAITING', 'PENDING', 'RUNNING');
CREATE INDEX {ovl_tasks}_group ON {ovl_tasks} (group_id);
CREATE INDEX {ovl_tasks}_datasource_open ON {ovl_tasks} (datasource, seq)
  WHERE state IN ('WAITING', 'PENDING', 'RUNNING');

-- What happened to a task, one row a move.
CREATE TABLE {ovl_events} (
  id bigserial PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(),
  task_id varchar(255) COLLATE "C" NOT NULL,
  attempt int NOT NULL,
  event text NOT NULL,
  from_state text,
  to_state text NOT NULL,
  detail jsonb
);
CREATE INDEX {ovl_events}_task ON {ovl_events} (task_id, id);

-- The truth about locks; each has its copy in {tasklocks} (tasklock_id) for a stock reader.
-- Read and written only under pg_advisory_xact_lock of the datasource.
CREATE TABLE {ovl_locks} (
  id bigserial PRIMARY KEY,
  tasklock_id bigint,
  task_id varchar(255) COLLATE "C" NOT NULL,
  group_id varchar(255) COLLATE "C" NOT NULL,
  datasource varchar(255) COLLATE "C" NOT NULL,
  granularity text NOT NULL DEFAULT 'timeChunk',
  type text NOT NULL,
  start_ms bigint NOT NULL,
  end_ms bigint NOT NULL,
  version varchar(255) COLLATE "C" NOT NULL,
  partition_id int,
  priority int NOT NULL,
  revoked boolean NOT NULL DEFAULT false,
  granted_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX {ovl_locks}_datasource ON {ovl_locks} (datasource, start_ms, end_ms);
CREATE INDEX {ovl_locks}_task ON {ovl_locks} (task_id);

-- The ledger of publishes, written in the publishing transaction: a task found dead after it has succeeded,
-- and a publish that is asked for again is answered from here.
CREATE TABLE {ovl_publishes} (
  task_id varchar(255) COLLATE "C" NOT NULL,
  publish_key text NOT NULL,                  -- digest of the action; the same publish again has the same key
  attempt int NOT NULL,
  final boolean NOT NULL DEFAULT false,       -- the task has nothing more to publish
  at timestamptz NOT NULL DEFAULT now(),
  segments int NOT NULL,
  result jsonb NOT NULL,
  PRIMARY KEY (task_id, publish_key)
);
