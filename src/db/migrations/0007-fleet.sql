-- Many workers: hands that share the fetches of a run, listings in parts, labels, and who is there.

-- Who is there to work, as long as it says so.
create table lockgate.worker (
  id           text primary key,
  labels       text[] not null default '{}',
  -- It takes only sources that ask for one of its labels.
  only_labels  boolean not null default false,
  concurrency  int not null,
  version      text not null,
  started_at   timestamptz not null default now(),
  heartbeat_at timestamptz not null default now()
);

-- A process at work on a run: the one that leads it, which lists, and those that help to fetch. What a hand commits is refused
-- when its row is gone, so one that was given up for dead and is late cannot write.
create table lockgate.hand (
  id           uuid primary key,
  run_id       uuid not null references lockgate.run on delete cascade,
  worker       text not null,
  leads        boolean not null,
  joined_at    timestamptz not null default now(),
  heartbeat_at timestamptz not null default now()
);
create index hand_run on lockgate.hand (run_id);

-- Whose a batch is; with the hand, this ends.
alter table lockgate.fetch_batch add column hand_id uuid references lockgate.hand on delete set null;
create index fetch_batch_hand on lockgate.fetch_batch (hand_id) where hand_id is not null;
create index fetch_batch_free on lockgate.fetch_batch (run_id, number) where hand_id is null;

-- A stretch of the key space whose listing has a place of its own to go on from.
create table lockgate.listing_part (
  run_id   uuid not null references lockgate.run on delete cascade,
  number   int not null,
  -- The last key of the part before; null: from the first.
  after    text collate "C",
  -- The part's last key; null: to the end.
  up_to    text collate "C",
  -- The first key behind that.
  followed_by text collate "C",
  position text,
  through  text collate "C",
  complete boolean not null default false,
  primary key (run_id, number)
);
insert into lockgate.listing_part (run_id, number, position, through, complete)
  select id, 0, position, through, listing_complete from lockgate.run
   where state in ('queued', 'running', 'needs_approval') and attempt > 0;
alter table lockgate.run drop column position, drop column through;

alter table lockgate.run
  -- Why it is queued and not taken: the credential, account or workspace has as many hands at work as it may.
  add column waits_for text;

alter table lockgate.source
  -- Only workers with this label take it; null: any.
  add column worker_label text,
  -- Whose quota its requests count against, as its connector says once it was opened.
  add column quota text;

alter table lockgate.document_failure
  -- Before that, no scheduled run tries it.
  add column next_at timestamptz,
  -- It failed so often that it is not tried any more, until somebody says so or there is another version.
  add column given_up_at timestamptz;

alter table lockgate.collection
  -- What it may have; null: anything.
  add column max_documents bigint,
  add column max_bytes bigint;

alter table lockgate.run
  -- Workers in a row that took it and got no further.
  add column stalled int not null default 0;

alter table lockgate.run
  -- The due time of its source that it is for.
  add column due_at timestamptz;
create unique index run_due on lockgate.run (source_id, due_at) where due_at is not null;

alter table lockgate.collection
  -- The newest change that is not kept any more.
  add column forgotten_changes bigint not null default 0;
create index run_finished on lockgate.run (finished_at);
create index run_unfinished on lockgate.run (state) where state in ('queued', 'running', 'needs_approval');
create index plan_created on lockgate.plan (created_at);
