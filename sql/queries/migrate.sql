-- lock --
-- One server migrates at a time; the others find everything done.
SELECT pg_advisory_xact_lock(hashtextextended('{ovl_migrations}', 0))

-- make_table --
CREATE TABLE IF NOT EXISTS {ovl_migrations} (
  name text PRIMARY KEY,
  digest text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
)

-- applied --
SELECT name, digest FROM {ovl_migrations}

-- add --
INSERT INTO {ovl_migrations} (name, digest) VALUES (%(name)s, %(digest)s)
