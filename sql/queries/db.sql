-- ping --
SELECT 1 AS yes

-- lock_datasource --
-- Serialises who locks, allocates and publishes; the name of a table keeps clusters in one database apart.
SELECT pg_advisory_xact_lock(hashtextextended('{ovl_locks}:' || %(datasource)s::text, 0))
