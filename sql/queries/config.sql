-- get --
SELECT payload FROM {config} WHERE name = %(name)s

-- put --
INSERT INTO {config} (name, payload) VALUES (%(name)s, %(payload)s)
ON CONFLICT (name) DO UPDATE SET payload = excluded.payload

-- add --
INSERT INTO {config} (name, payload) VALUES (%(name)s, %(payload)s) ON CONFLICT (name) DO NOTHING

-- swap --
UPDATE {config} SET payload = %(payload)s WHERE name = %(name)s AND payload = %(old)s

-- audit --
INSERT INTO {audit} (audit_key, type, author, comment, created_date, payload)
VALUES (%(key)s, %(type)s, %(author)s, %(comment)s, %(at)s, %(payload)s)

-- history --
-- Oldest first.
SELECT payload FROM {audit}
WHERE audit_key = %(key)s AND type = %(type)s AND created_date >= %(start)s AND created_date < %(end)s
ORDER BY created_date, id

-- newest --
-- Newest first.
SELECT payload FROM {audit} WHERE audit_key = %(key)s AND type = %(type)s
ORDER BY created_date DESC, id DESC LIMIT %(most)s
