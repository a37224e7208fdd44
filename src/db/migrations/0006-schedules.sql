-- Sources that keep failing back off, and pause.

alter table lockgate.source
  -- Runs in a row that failed.
  add column failures int not null default 0,
  -- Since when its schedule is not followed, and why.
  add column paused_at timestamptz,
  add column paused_reason text,
  -- After so many failures in a row it pauses; null: never.
  add column pause_after int default 50,
  -- Due times are put off by a random part of this.
  add column jitter_seconds int not null default 0;
