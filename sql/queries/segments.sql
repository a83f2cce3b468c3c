-- used_overlapping --
-- Those that may overlap any of the bounds, some of them twice. Instants compare as texts only while their years have
-- four digits; the others, which have an index of their own, come all.
SELECT s.id, s.payload, s.created_date
FROM unnest(%(starts)s::text[], %(ends)s::text[]) AS w (start, "end")
JOIN {segments} s ON s.datasource = %(datasource)s AND s.used AND s."end" > w.start AND s.start < w."end"
UNION ALL
SELECT id, payload, created_date FROM {segments}
WHERE datasource = %(datasource)s AND used AND (length(start) <> 24 OR length("end") <> 24)

-- numbers --
-- The highest partition number of each version in exactly these chunks, used or not; those that overwrite apart.
SELECT s.start, s."end", s.version, n.number >= 32768 AS overwrites, max(n.number) AS number
FROM unnest(%(starts)s::text[], %(ends)s::text[]) AS w (start, "end")
JOIN {segments} s ON s.datasource = %(datasource)s AND s.used IN (true, false)
  AND s.start = w.start AND s."end" = w."end"
CROSS JOIN LATERAL (
  SELECT coalesce(substring(substr(s.id, length(s.datasource) + length(s.start) + length(s."end") + length(s.version) + 4)
                            FROM '^_([0-9]{1,9})$')::int, 0) AS number
) n
GROUP BY s.start, s."end", s.version, n.number >= 32768

-- overlapping --
-- Used or not; bounds as above.
SELECT used, payload FROM {segments}
WHERE datasource = %(datasource)s
  AND (%(end)s::text IS NULL OR start < %(end)s::text OR length(start) <> 24)
  AND (%(start)s::text IS NULL OR "end" > %(start)s::text OR length("end") <> 24)

-- load_specs_in_use --
-- Which of these any row of any datasource has, and the payloads of rows that cannot be looked up so.
SELECT g.place::int AS place, NULL::bytea AS payload
FROM jsonb_array_elements(%(given)s::jsonb) WITH ORDINALITY AS g (value, place)
WHERE EXISTS (SELECT 1 FROM {segments} s WHERE {ovl_load_spec}(s.payload) = md5(g.value::text)::uuid)
UNION ALL
SELECT NULL, payload FROM {segments} WHERE {ovl_load_spec}(payload) IS NULL

-- unused_inside --
SELECT payload FROM {segments}
WHERE datasource = %(datasource)s AND NOT used
  AND (%(start)s::text IS NULL OR (start >= %(start)s::text AND length(start) = 24))
  AND (%(end)s::text IS NULL OR ("end" <= %(end)s::text AND length("end") = 24))
  AND (%(versions)s::text[] IS NULL OR version = ANY(%(versions)s::text[]))
  AND (%(updated)s::text IS NULL OR used_status_last_updated <= %(updated)s::text)
ORDER BY start, "end", id
LIMIT %(limit)s::bigint

-- by_ids --
SELECT id, used, payload, upgraded_from_segment_id FROM {segments}
WHERE datasource = %(datasource)s AND id = ANY(%(ids)s::text[])

-- upgraded_to --
SELECT id, version, upgraded_from_segment_id FROM {segments}
WHERE datasource = %(datasource)s AND upgraded_from_segment_id = ANY(%(ids)s::text[])
ORDER BY id

-- insert --
INSERT INTO {segments} (id, datasource, created_date, start, "end", partitioned, version, used, payload,
                        used_status_last_updated, upgraded_from_segment_id)
VALUES (%(id)s, %(datasource)s, %(now)s, %(start)s, %(end)s, %(partitioned)s, %(version)s, %(used)s, %(payload)s,
        %(now)s, %(upgraded_from)s)
ON CONFLICT (id) DO NOTHING

-- update_payload --
UPDATE {segments} SET payload = %(payload)s WHERE id = %(id)s

-- delete --
DELETE FROM {segments}
WHERE datasource = %(datasource)s AND id = ANY(%(ids)s::text[]) AND NOT (%(unused_only)s AND used)

-- metadata --
SELECT commit_metadata_payload, commit_metadata_sha1 FROM {datasource} WHERE datasource = %(datasource)s

-- insert_metadata --
INSERT INTO {datasource} (datasource, created_date, commit_metadata_payload, commit_metadata_sha1)
VALUES (%(datasource)s, %(now)s, %(payload)s, %(sha1)s)
ON CONFLICT (datasource) DO NOTHING

-- update_metadata --
UPDATE {datasource} SET commit_metadata_payload = %(payload)s, commit_metadata_sha1 = %(sha1)s
WHERE datasource = %(datasource)s AND commit_metadata_sha1 = %(before)s

-- note_upgrade --
INSERT INTO {upgradesegments} (task_id, segment_id, lock_version)
SELECT %(task_id)s::text, %(segment_id)s::text, %(version)s::text
WHERE NOT EXISTS (
  SELECT 1 FROM {upgradesegments} WHERE task_id = %(task_id)s::text AND segment_id = %(segment_id)s::text
)

-- upgrades --
SELECT u.segment_id, u.lock_version, s.payload, s.upgraded_from_segment_id
FROM {upgradesegments} u JOIN {segments} s ON s.id = u.segment_id
WHERE u.task_id = %(task_id)s
ORDER BY u.segment_id

-- replacing --
-- REPLACE locks that stand on a datasource.
SELECT task_id, start_ms, end_ms, version FROM {ovl_locks}
WHERE datasource = %(datasource)s AND type = 'REPLACE' AND NOT revoked

-- published --
SELECT result FROM {ovl_publishes} WHERE task_id = %(task_id)s AND publish_key = %(key)s

-- publish --
-- The ledger. `final`: batch ingestion publishes once, so a task with this row has done its work.
INSERT INTO {ovl_publishes} (task_id, publish_key, attempt, final, segments, result)
SELECT t.id, %(key)s, t.attempt, t.type IN ('index', 'index_parallel'), %(segments)s, %(result)s
FROM {ovl_tasks} t WHERE t.id = %(task_id)s
ON CONFLICT (task_id, publish_key) DO NOTHING
