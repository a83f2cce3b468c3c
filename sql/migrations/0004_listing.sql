-- The newest ended tasks of one datasource without reading its others. Only ended rows are in it, so it costs one entry
-- at each end of a task. Those of all datasources come out of Druid's own (active, created_date).
CREATE INDEX {ovl_tasks}_ended_of_datasource ON {tasks} (datasource, created_date COLLATE "C") WHERE active = false;
