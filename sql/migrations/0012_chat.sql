-- Where the worker of a running attempt can be spoken to, and the password: {"host", "port", "password"}.
ALTER TABLE {ovl_tasks} ADD COLUMN chat jsonb;
