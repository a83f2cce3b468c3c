-- delete_pending --
-- By when they were created, not by the time of their data.
DELETE FROM {pendingsegments}
WHERE datasource = %(datasource)s AND created_date >= %(start)s AND created_date < %(end)s

-- mark_unused --
-- Whole segments inside the bounds; a bound that is null does not bind. Instants compare as texts only while their
-- years have four digits, hence the lengths.
UPDATE {segments} SET used = false, used_status_last_updated = %(now)s
WHERE datasource = %(datasource)s AND used
  AND (%(start)s::text IS NULL OR (start >= %(start)s::text AND length(start) = 24))
  AND (%(end)s::text IS NULL OR ("end" <= %(end)s::text AND length("end") = 24))
  AND (%(versions)s::text[] IS NULL OR version = ANY(%(versions)s::text[]))

-- mark_unused_ids --
UPDATE {segments} SET used = false, used_status_last_updated = %(now)s
WHERE datasource = %(datasource)s AND used AND id = ANY(%(ids)s::text[])

-- mark_used_ids --
UPDATE {segments} SET used = true, used_status_last_updated = %(now)s
WHERE datasource = %(datasource)s AND NOT used AND id = ANY(%(ids)s::text[])

-- touch --
-- Mark one segment, which counts whether or not it was so already.
UPDATE {segments} SET used = %(used)s,
  used_status_last_updated = CASE WHEN used = %(used)s THEN used_status_last_updated ELSE %(now)s END
WHERE datasource = %(datasource)s AND id = %(id)s

-- unused_inside --
SELECT payload FROM {segments}
WHERE datasource = %(datasource)s AND NOT used
  AND (%(start)s::text IS NULL OR (start >= %(start)s::text AND length(start) = 24))
  AND (%(end)s::text IS NULL OR ("end" <= %(end)s::text AND length("end") = 24))
  AND (%(versions)s::text[] IS NULL OR version = ANY(%(versions)s::text[]))

-- used --
SELECT payload FROM {segments}
WHERE datasource = %(datasource)s AND used AND (%(versions)s::text[] IS NULL OR version = ANY(%(versions)s::text[]))

-- by_ids --
SELECT id, used, payload FROM {segments} WHERE datasource = %(datasource)s AND id = ANY(%(ids)s::text[])
