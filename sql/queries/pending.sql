-- overlapping --
-- Those that may overlap any of the bounds, some of them twice; see segments.used_overlapping.
SELECT p.id, p.created_date, p.sequence_name, p.payload, p.task_allocator_id, p.upgraded_from_segment_id
FROM unnest(%(starts)s::text[], %(ends)s::text[]) AS w (start, "end")
JOIN {pendingsegments} p ON p.datasource = %(datasource)s AND p."end" > w.start AND p.start < w."end"
UNION ALL
SELECT id, created_date, sequence_name, payload, task_allocator_id, upgraded_from_segment_id FROM {pendingsegments}
WHERE datasource = %(datasource)s AND (length(start) <> 24 OR length("end") <> 24)
ORDER BY created_date, id

-- highest --
-- Of those that may overlap the bounds, for each chunk and version the one of the highest number; those that overwrite
-- apart. An id ends with its version and, unless that is 0, its number.
WITH there AS (
  SELECT p.id, p.datasource, p.start, p."end", p.payload
  FROM unnest(%(starts)s::text[], %(ends)s::text[]) AS w (start, "end")
  JOIN {pendingsegments} p ON p.datasource = %(datasource)s AND p."end" > w.start AND p.start < w."end"
  UNION ALL
  SELECT id, datasource, start, "end", payload FROM {pendingsegments}
  WHERE datasource = %(datasource)s AND (length(start) <> 24 OR length("end") <> 24)
), cut AS (
  SELECT start, "end", payload, substr(id, length(datasource) + length(start) + length("end") + 4) AS tail FROM there
), numbered AS (
  SELECT start, "end", payload, regexp_replace(tail, '_[0-9]{1,9}$', '') AS version,
         coalesce(substring(tail FROM '_([0-9]{1,9})$')::int, 0) AS number
  FROM cut
)
SELECT DISTINCT ON (start, "end", version, number >= 32768) payload
FROM numbered ORDER BY start, "end", version, number >= 32768, number DESC

-- of_steps --
-- Those of steps of sequences, by name and previous id.
SELECT p.sequence_name, p.sequence_prev_id, p.payload
FROM unnest(%(names)s::text[], %(previous)s::text[]) AS w (name, previous)
JOIN {pendingsegments} p ON p.datasource = %(datasource)s AND p.sequence_name = w.name AND p.sequence_prev_id = w.previous
ORDER BY p.created_date, p.id

-- of_chunks --
-- Those of sequences in exactly these chunks.
SELECT p.sequence_name, p.start, p."end", p.payload
FROM unnest(%(names)s::text[], %(starts)s::text[], %(ends)s::text[]) AS w (name, start, "end")
JOIN {pendingsegments} p ON p.datasource = %(datasource)s AND p.sequence_name = w.name
  AND p.start = w.start AND p."end" = w."end"
ORDER BY p.created_date, p.id

-- upgraded_from --
SELECT id, payload, upgraded_from_segment_id FROM {pendingsegments}
WHERE datasource = %(datasource)s AND upgraded_from_segment_id = ANY(%(ids)s::text[])

-- insert --
INSERT INTO {pendingsegments} (id, datasource, created_date, start, "end", sequence_name, sequence_prev_id,
  sequence_name_prev_id_sha1, payload, task_allocator_id, upgraded_from_segment_id)
VALUES (%(id)s, %(datasource)s, %(now)s, %(start)s, %(end)s, %(sequence)s, %(previous)s, %(sha1)s, %(payload)s,
  %(allocator)s, %(upgraded_from)s)
ON CONFLICT DO NOTHING

-- delete --
DELETE FROM {pendingsegments} WHERE datasource = %(datasource)s AND id = ANY(%(ids)s::text[])
