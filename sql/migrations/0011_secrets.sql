-- Passwords of a task's payload, which the stock row may not hold: [[path], text] each.
ALTER TABLE {ovl_tasks} ADD COLUMN secrets jsonb;
