-- Events as others are told them. A supervisor's have ids of the same sequence as a task's, so that all are in one order.
CREATE TABLE {ovl_supervisor_events} (
  id bigint PRIMARY KEY DEFAULT nextval('{ovl_events}_id_seq'),
  at timestamptz NOT NULL DEFAULT now(),
  supervisor_id varchar(255) COLLATE "C" NOT NULL,
  type text NOT NULL,
  event text NOT NULL,                        -- created, updated, suspended, resumed, terminated
  datasources jsonb NOT NULL,
  detail jsonb
);

-- How far deliveries have been made for a webhook; an event is written with the move it tells of, so none is lost.
CREATE TABLE {ovl_hooks} (
  url text PRIMARY KEY,
  after_id bigint NOT NULL
);

-- What a webhook has not taken yet.
CREATE TABLE {ovl_deliveries} (
  url text NOT NULL,
  event_id bigint NOT NULL,
  made_at timestamptz NOT NULL DEFAULT now(),
  attempts int NOT NULL DEFAULT 0,
  next_at timestamptz NOT NULL DEFAULT now(),
  error text,
  PRIMARY KEY (url, event_id)
);
CREATE INDEX {ovl_deliveries}_due ON {ovl_deliveries} (url, next_at);
