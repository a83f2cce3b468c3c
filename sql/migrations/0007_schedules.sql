-- Runs of scheduled_batch supervisors: one row a due time, written before its task is submitted. So a due time is
-- claimed once, whoever leads, and its task has the id that stands here.
CREATE TABLE {ovl_runs} (
  supervisor_id varchar(255) COLLATE "C" NOT NULL,
  due_ms bigint NOT NULL,
  task_id varchar(255) COLLATE "C" NOT NULL,
  claimed_at timestamptz NOT NULL DEFAULT now(),
  submitted_date varchar(255) COLLATE "C",    -- NULL: claimed by a server that may have died before it submitted
  refused text,                               -- why no task could be made of it
  missed int NOT NULL DEFAULT 0,              -- due times before this one that were passed over for it
  PRIMARY KEY (supervisor_id, due_ms)
);
