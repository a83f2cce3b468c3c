-- Druid's own tables, columns and indexes as a 33.0.0 makes them (names follow druid.metadata.storage.tables.base).
-- IF NOT EXISTS throughout: a stock Coordinator may have come first. Instants are ISO strings that are compared as
-- strings, hence COLLATE "C".
CREATE TABLE IF NOT EXISTS {tasks} (
  id varchar(255) COLLATE "C" NOT NULL PRIMARY KEY,
  created_date varchar(255) COLLATE "C" NOT NULL,
  datasource varchar(255) COLLATE "C" NOT NULL,
  payload bytea NOT NULL,
  status_payload bytea NOT NULL,
  active boolean NOT NULL DEFAULT false,
  type varchar(255) COLLATE "C",
  group_id varchar(255) COLLATE "C"
);
ALTER TABLE {tasks} ADD COLUMN IF NOT EXISTS type varchar(255) COLLATE "C";
ALTER TABLE {tasks} ADD COLUMN IF NOT EXISTS group_id varchar(255) COLLATE "C";
CREATE INDEX IF NOT EXISTS idx_{tasks}_active_created_date ON {tasks} (active, created_date);
CREATE INDEX IF NOT EXISTS idx_{tasks}_datasource_active ON {tasks} (datasource, active);

CREATE TABLE IF NOT EXISTS {tasklocks} (
  id bigserial NOT NULL PRIMARY KEY,
  task_id varchar(255) COLLATE "C" DEFAULT NULL,
  lock_payload bytea
);
CREATE INDEX IF NOT EXISTS idx_{tasklocks}_task_id ON {tasklocks} (task_id);

CREATE TABLE IF NOT EXISTS {segments} (
  id varchar(255) COLLATE "C" NOT NULL PRIMARY KEY,
  datasource varchar(255) COLLATE "C" NOT NULL,
  created_date varchar(255) COLLATE "C" NOT NULL,
  start varchar(255) COLLATE "C" NOT NULL,
  "end" varchar(255) COLLATE "C" NOT NULL,
  partitioned boolean NOT NULL,
  version varchar(255) COLLATE "C" NOT NULL,
  used boolean NOT NULL,
  payload bytea NOT NULL,
  used_status_last_updated varchar(255) COLLATE "C" NOT NULL,
  upgraded_from_segment_id varchar(255) COLLATE "C"
);
CREATE INDEX IF NOT EXISTS idx_{segments}_used ON {segments} (used);
CREATE INDEX IF NOT EXISTS idx_{segments}_datasource_used_end_start ON {segments} (datasource, used, "end", start);
CREATE INDEX IF NOT EXISTS idx_{segments}_datasource_upgraded_from_segment_id
  ON {segments} (datasource, upgraded_from_segment_id);

CREATE TABLE IF NOT EXISTS {pendingsegments} (
  id varchar(255) COLLATE "C" NOT NULL PRIMARY KEY,
  datasource varchar(255) COLLATE "C" NOT NULL,
  created_date varchar(255) COLLATE "C" NOT NULL,
  start varchar(255) COLLATE "C" NOT NULL,
  "end" varchar(255) COLLATE "C" NOT NULL,
  sequence_name varchar(255) COLLATE "C" NOT NULL,
  sequence_prev_id varchar(255) COLLATE "C" NOT NULL,
  sequence_name_prev_id_sha1 varchar(255) COLLATE "C" NOT NULL,
  payload bytea NOT NULL,
  upgraded_from_segment_id varchar(255) COLLATE "C",
  task_allocator_id varchar(255) COLLATE "C",
  UNIQUE (sequence_name_prev_id_sha1)
);
CREATE INDEX IF NOT EXISTS idx_{pendingsegments}_datasource_end ON {pendingsegments} (datasource, "end");
CREATE INDEX IF NOT EXISTS idx_{pendingsegments}_datasource_sequence ON {pendingsegments} (datasource, sequence_name);
CREATE INDEX IF NOT EXISTS idx_{pendingsegments}_datasource_task_allocator_id
  ON {pendingsegments} (datasource, task_allocator_id);

CREATE TABLE IF NOT EXISTS {upgradesegments} (
  id bigserial NOT NULL PRIMARY KEY,
  task_id varchar(255) COLLATE "C" NOT NULL,
  segment_id varchar(255) COLLATE "C" NOT NULL,
  lock_version varchar(255) COLLATE "C" NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_{upgradesegments}_task ON {upgradesegments} (task_id);

CREATE TABLE IF NOT EXISTS {datasource} (
  datasource varchar(255) COLLATE "C" NOT NULL PRIMARY KEY,
  created_date varchar(255) COLLATE "C" NOT NULL,
  commit_metadata_payload bytea NOT NULL,
  commit_metadata_sha1 varchar(255) COLLATE "C" NOT NULL
);

CREATE TABLE IF NOT EXISTS {supervisors} (
  id bigserial NOT NULL PRIMARY KEY,
  spec_id varchar(255) COLLATE "C" NOT NULL,
  created_date varchar(255) COLLATE "C" NOT NULL,
  payload bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_{supervisors}_spec_id ON {supervisors} (spec_id);

CREATE TABLE IF NOT EXISTS {config} (
  name varchar(255) COLLATE "C" NOT NULL PRIMARY KEY,
  payload bytea NOT NULL
);

CREATE TABLE IF NOT EXISTS {audit} (
  id bigserial NOT NULL PRIMARY KEY,
  audit_key varchar(255) COLLATE "C" NOT NULL,
  type varchar(255) COLLATE "C" NOT NULL,
  author varchar(255) COLLATE "C" NOT NULL,
  comment varchar(2048) COLLATE "C" NOT NULL,
  created_date varchar(255) COLLATE "C" NOT NULL,
  payload bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_{audit}_key_time ON {audit} (audit_key, created_date);
CREATE INDEX IF NOT EXISTS idx_{audit}_type_time ON {audit} (type, created_date);
CREATE INDEX IF NOT EXISTS idx_{audit}_audit_time ON {audit} (created_date);

CREATE TABLE IF NOT EXISTS {rules} (
  id varchar(255) COLLATE "C" NOT NULL PRIMARY KEY,
  datasource varchar(255) COLLATE "C" NOT NULL,
  version varchar(255) COLLATE "C" NOT NULL,
  payload bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_{rules}_datasource ON {rules} (datasource);
