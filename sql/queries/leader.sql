-- try_lock --
-- The leader's lock; it lives as long as the session.
SELECT pg_try_advisory_lock(hashtextextended(%(key)s, 0)) AS mine

-- holder --
-- URL of the leader, if someone does hold the lock.
SELECT l.url FROM {ovl_leader} l
WHERE EXISTS (
  SELECT 1 FROM pg_locks p
  WHERE p.locktype = 'advisory' AND p.granted AND p.objsubid = 1
    AND p.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (p.classid::bigint << 32 | p.objid::bigint) = hashtextextended(%(key)s, 0)
)
