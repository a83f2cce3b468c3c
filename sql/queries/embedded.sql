-- database_exists --
SELECT 1 FROM pg_database WHERE datname = %(name)s

-- make_database --
CREATE DATABASE overlord ENCODING 'UTF8' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'
