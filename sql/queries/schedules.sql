-- claim --
-- No row: this due time has been claimed before, or we lead no more.
INSERT INTO {ovl_runs} (supervisor_id, due_ms, task_id, missed)
SELECT %(id)s, %(due_ms)s, %(task_id)s, %(missed)s
WHERE EXISTS (SELECT 1 FROM {ovl_leader} WHERE epoch = %(epoch)s FOR SHARE)
ON CONFLICT DO NOTHING
RETURNING due_ms

-- submitted --
UPDATE {ovl_runs} SET submitted_date = %(at)s, refused = %(refused)s
WHERE supervisor_id = %(id)s AND due_ms = %(due_ms)s AND submitted_date IS NULL

-- claimed --
-- Claimed, and perhaps not submitted.
SELECT due_ms, task_id FROM {ovl_runs} WHERE supervisor_id = %(id)s AND submitted_date IS NULL ORDER BY due_ms

-- since --
-- The last due time that was claimed, and when the spec of now was written.
SELECT (SELECT max(due_ms) FROM {ovl_runs} WHERE supervisor_id = %(id)s) AS last_due,
       (SELECT created_date FROM {supervisors} WHERE spec_id = %(id)s ORDER BY id DESC LIMIT 1) AS written

-- unfinished --
-- A task of its runs that has not ended.
SELECT t.id FROM {ovl_runs} r JOIN {ovl_tasks} t ON t.id = r.task_id
WHERE r.supervisor_id = %(id)s AND t.state IN ('WAITING', 'PENDING', 'RUNNING') LIMIT 1

-- totals --
SELECT count(*) FILTER (WHERE r.submitted_date IS NOT NULL AND r.refused IS NULL) AS submitted,
       count(*) FILTER (WHERE t.state = 'SUCCESS') AS successful,
       count(*) FILTER (WHERE t.state = 'FAILED' OR r.refused IS NOT NULL) AS failed,
       max(r.submitted_date) AS last_submitted
FROM {ovl_runs} r LEFT JOIN {ovl_tasks} t ON t.id = r.task_id
WHERE r.supervisor_id = %(id)s

-- recent --
SELECT r.due_ms, r.task_id, r.submitted_date, r.refused, r.missed, t.state, t.ended_date, t.cause
FROM {ovl_runs} r LEFT JOIN {ovl_tasks} t ON t.id = r.task_id
WHERE r.supervisor_id = %(id)s ORDER BY r.due_ms DESC LIMIT %(most)s
