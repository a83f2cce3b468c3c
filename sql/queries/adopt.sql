-- strangers --
-- Active tasks that we did not accept.
SELECT t.id, t.created_date, t.datasource, t.type, t.payload FROM {tasks} t
WHERE t.active AND NOT EXISTS (SELECT 1 FROM {ovl_tasks} o WHERE o.id = t.id)
ORDER BY t.created_date, t.id

-- take --
-- A row of ours for a stranger, as if it had just been submitted. It starts from its beginning, so what it has locked
-- is void.
WITH void AS (
  DELETE FROM {tasklocks} WHERE task_id = %(id)s
), ours AS (
  INSERT INTO {ovl_tasks} (id, created_date, datasource, type, group_id, availability_group, required_capacity,
                           priority, state)
  VALUES (%(id)s, %(created)s, %(datasource)s, %(type)s, %(group_id)s, %(availability_group)s,
          %(required_capacity)s, %(priority)s, 'WAITING')
  ON CONFLICT (id) DO NOTHING
  RETURNING id
)
INSERT INTO {ovl_events} (task_id, attempt, event, to_state) SELECT id, 0, 'adopted', 'WAITING' FROM ours
