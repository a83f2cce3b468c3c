-- Sub-tasks: whose they are. They end with their parent, and the parent's group keeps its locks for them.
ALTER TABLE {ovl_tasks} ADD COLUMN parent_id varchar(255) COLLATE "C";
CREATE INDEX {ovl_tasks}_parent_open ON {ovl_tasks} (parent_id)
  WHERE parent_id IS NOT NULL AND state IN ('WAITING', 'PENDING', 'RUNNING');
