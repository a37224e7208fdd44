-- Collections, their sources and documents, the change feed, and the runs that keep them in step.
-- Keys compare by bytes (collation "C"), as the listings of object stores do.

create table lockgate.workspace (
  id         text primary key,
  created_at timestamptz not null default now()
);

create table lockgate.collection (
  id          uuid primary key,
  workspace   text not null references lockgate.workspace,
  name        text not null,
  -- The number of the newest change. Taking a number locks this row until the commit, so numbers become visible in
  -- their order and a reader that has seen one has seen all below it.
  last_change bigint not null default 0,
  created_at  timestamptz not null default now(),
  unique (workspace, name)
);

create table lockgate.source (
  id                 uuid primary key,
  collection_id      uuid not null references lockgate.collection on delete cascade,
  connector_type     text not null,
  -- A reference to the secret manager; the credential itself is never here.
  credential_manager text not null,
  credential_id      text not null,
  path               text not null,
  include            text[] not null default '{}',
  exclude            text[] not null default '{}',
  max_bytes          bigint,
  auto_sync          boolean not null default false,
  schedule           jsonb,
  next_due_at        timestamptz,
  guard_documents    bigint not null,
  guard_share        double precision not null,
  document_count     bigint not null default 0,
  byte_count         bigint not null default 0,
  last_completed_at  timestamptz,
  created_at         timestamptz not null default now()
);
create index source_collection on lockgate.source (collection_id);
create index source_due on lockgate.source (next_due_at) where auto_sync;

create table lockgate.document (
  id           uuid primary key,
  source_id    uuid not null references lockgate.source on delete cascade,
  key          text collate "C" not null,
  path         text collate "C" not null,
  version      text not null,
  size         bigint not null,
  modified_at  timestamptz not null,
  content_type text,
  sha256       bytea not null,
  stored_at    timestamptz not null default now(),
  -- The run whose listing passed this key without seeing it.
  missing_run  uuid,
  unique (source_id, key)
);
create index document_missing on lockgate.document (missing_run) where missing_run is not null;

create table lockgate.change (
  collection_id uuid not null references lockgate.collection on delete cascade,
  number        bigint not null,
  kind          text not null check (kind in ('added', 'changed', 'moved', 'removed')),
  document_id   uuid not null,
  source_id     uuid not null,
  key           text collate "C" not null,
  path          text collate "C" not null,
  version       text not null,
  size          bigint not null,
  sha256        bytea not null,
  run_id        uuid not null,
  at            timestamptz not null default now(),
  primary key (collection_id, number)
);

create table lockgate.run (
  id               uuid primary key,
  source_id        uuid not null references lockgate.source on delete cascade,
  trigger          text not null check (trigger in ('manual', 'schedule')),
  state            text not null default 'queued' check (state in
                     ('queued', 'running', 'needs_approval', 'completed', 'failed', 'cancelled', 'superseded')),
  -- Counts the workers that have owned this run; a write of an earlier one is refused.
  attempt          int not null default 0,
  worker           text,
  credential_version text,
  position         text,
  through          text collate "C",
  listing_complete boolean not null default false,
  approved         boolean not null default false,
  cancel_requested boolean not null default false,
  next_batch       int not null default 0,
  pages            bigint not null default 0,
  listed           bigint not null default 0,
  excluded         bigint not null default 0,
  unchanged        bigint not null default 0,
  added            bigint not null default 0,
  changed          bigint not null default 0,
  removed          bigint not null default 0,
  failed           bigint not null default 0,
  bytes            bigint not null default 0,
  planned          bigint not null default 0,
  planned_bytes    bigint not null default 0,
  missing          bigint not null default 0,
  error            jsonb,
  created_at       timestamptz not null default now(),
  started_at       timestamptz,
  heartbeat_at     timestamptz,
  finished_at      timestamptz
);
-- One source never runs twice at once.
create unique index run_active on lockgate.run (source_id) where state in ('queued', 'running');
create index run_recent on lockgate.run (source_id, created_at desc);

create table lockgate.fetch_batch (
  run_id  uuid not null references lockgate.run on delete cascade,
  number  int not null,
  entries jsonb not null,
  primary key (run_id, number)
);

create table lockgate.document_failure (
  source_id uuid not null references lockgate.source on delete cascade,
  key       text collate "C" not null,
  path      text not null,
  version   text not null,
  size      bigint not null,
  code      text not null,
  message   text not null,
  attempts  int not null default 1,
  first_at  timestamptz not null default now(),
  last_at   timestamptz not null default now(),
  run_id    uuid not null,
  primary key (source_id, key)
);
