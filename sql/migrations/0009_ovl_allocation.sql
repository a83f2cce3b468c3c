-- Segments and pending ids whose instants have years of more than four digits, such as those of all time: they do not
-- compare as texts, so they are looked up on their own.
CREATE INDEX IF NOT EXISTS {ovl_far}_segments ON {segments} (datasource)
  WHERE length(start) <> 24 OR length("end") <> 24;
CREATE INDEX IF NOT EXISTS {ovl_far}_pending ON {pendingsegments} (datasource)
  WHERE length(start) <> 24 OR length("end") <> 24;
