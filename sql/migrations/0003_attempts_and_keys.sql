-- Context keys of ours: `retry`, `timeoutMs` and `idempotencyKey` (or the header). All null for a task that uses none.
ALTER TABLE {ovl_tasks}
  ADD COLUMN retry jsonb,                      -- the policy: maxAttempts, backoffMs, maxBackoffMs, multiplier
  ADD COLUMN retries int NOT NULL DEFAULT 0,   -- failed attempts that another one followed, or will
  ADD COLUMN not_before timestamptz,           -- the back-off: waits until then, whatever is free
  ADD COLUMN timeout_ms bigint,                -- an attempt may run so long
  ADD COLUMN idempotency_key text,
  ADD COLUMN body_digest text;                 -- of the body that came with the key
CREATE UNIQUE INDEX {ovl_tasks}_idempotency_key ON {ovl_tasks} (idempotency_key) WHERE idempotency_key IS NOT NULL;
-- Places in the queue for a slot.
CREATE INDEX {ovl_tasks}_pending ON {ovl_tasks} (queue_insertion_time, seq) WHERE state = 'PENDING';
