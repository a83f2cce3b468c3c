-- overlapping --
SELECT id, start, "end", sequence_name, sequence_prev_id, payload, upgraded_from_segment_id, task_allocator_id
FROM {pendingsegments}
WHERE datasource = %(datasource)s
  AND (%(end)s::text IS NULL OR start < %(end)s::text OR length(start) <> 24)
  AND (%(start)s::text IS NULL OR "end" > %(start)s::text OR length("end") <> 24)
ORDER BY created_date, id

-- of_sequence --
SELECT id, start, "end", payload FROM {pendingsegments}
WHERE datasource = %(datasource)s AND sequence_name = %(sequence)s AND sequence_prev_id = %(previous)s
ORDER BY created_date, id

-- of_sequence_in --
SELECT id, start, "end", payload FROM {pendingsegments}
WHERE datasource = %(datasource)s AND sequence_name = %(sequence)s AND start = %(start)s AND "end" = %(end)s
ORDER BY created_date, id

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
