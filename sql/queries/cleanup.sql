-- pending --
-- An allocator id is a task's id, its group or its availability group; the last two may serve other active tasks.
DELETE FROM {pendingsegments} p USING {ovl_tasks} t
WHERE t.id = %(task_id)s AND p.datasource = t.datasource AND (
  p.task_allocator_id = t.id
  OR (p.task_allocator_id IN (%(group_id)s, t.availability_group) AND NOT EXISTS (
    SELECT 1 FROM {ovl_tasks} o
    WHERE o.datasource = t.datasource AND o.id <> t.id AND o.state IN ('WAITING', 'PENDING', 'RUNNING')
      AND p.task_allocator_id IN (o.group_id, o.availability_group)
  ))
)

-- upgrades --
DELETE FROM {upgradesegments} WHERE task_id = %(task_id)s
