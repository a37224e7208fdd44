-- A run of a schedule waits for what passes by itself (a source, a secret manager or a content store that is away), where it failed and the
-- source had to wait for its next due time.
alter table lockgate.run
  -- Attempts in a row that were put off and got no further.
  add column put_off  integer not null default 0,
  add column retry_at timestamptz;
