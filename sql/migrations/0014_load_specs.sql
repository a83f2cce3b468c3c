-- What file a segment's row names, so that whoever deletes files finds any other row with the same one, of whatever
-- datasource, without reading all. NULL where the payload cannot be read so; those rows are read one by one. It raises
-- nothing, as a stock Overlord on this database writes through it as well.
CREATE FUNCTION {ovl_load_spec}(payload bytea) RETURNS uuid LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  RETURN md5((convert_from(payload, 'UTF8')::jsonb -> 'loadSpec')::text)::uuid;
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END
$$;
CREATE INDEX {ovl_load_spec}_of_segments ON {segments} ({ovl_load_spec}(payload));
