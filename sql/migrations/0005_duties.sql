-- When each clean-up duty ran last: a new leader, or a restarted one, goes on from there.
CREATE TABLE {ovl_duties} (
  name text PRIMARY KEY,
  ran_at timestamptz NOT NULL,
  duration_ms bigint NOT NULL,
  counts jsonb NOT NULL,
  error text
);
-- Ended tasks by age, and what was noted of tasks whose rows are gone.
CREATE INDEX {ovl_events}_at ON {ovl_events} (at);
