-- API tokens, plans, webhooks, and sources whose documents stay.

alter table lockgate.source
  -- The source was removed and its documents were kept: nothing looks after them any more.
  add column removed_at timestamptz;

create table lockgate.api_token (
  id           text primary key,
  name         text not null,
  -- Null: every workspace.
  workspace    text,
  role         text not null,
  -- SHA-256 of 256 random bits.
  hash         bytea not null,
  created_at   timestamptz not null default now(),
  created_by   text not null,
  expires_at   timestamptz,
  revoked_at   timestamptz,
  last_used_at timestamptz
);
create index api_token_workspace on lockgate.api_token (workspace);

-- Has one row once the first token was given out.
create table lockgate.bootstrap (
  single     boolean primary key check (single),
  created_at timestamptz not null default now()
);

-- What a run would do, found out without doing it.
create table lockgate.plan (
  id         uuid primary key,
  source_id  uuid not null references lockgate.source on delete cascade,
  state      text not null default 'planning',
  unchanged  bigint not null default 0,
  bytes      bigint not null default 0,
  error      jsonb,
  created_at timestamptz not null default now()
);
create index plan_source on lockgate.plan (source_id, created_at);

create table lockgate.plan_item (
  plan_id uuid not null references lockgate.plan on delete cascade,
  number  bigint generated always as identity,
  action  text not null,
  key     text collate "C" not null,
  path    text not null,
  version text,
  size    bigint,
  reason  text not null,
  primary key (plan_id, number)
);
create index plan_item_key on lockgate.plan_item (plan_id, key);

alter table lockgate.run
  -- The run does what this plan says and nothing else.
  add column plan_id uuid references lockgate.plan on delete set null;

-- Addresses that are told of a collection's changes, each in the order of their numbers.
create table lockgate.webhook (
  id             uuid primary key,
  collection_id  uuid not null references lockgate.collection on delete cascade,
  url            text not null,
  -- Where the secret is that signs what is sent.
  secret_manager text not null,
  secret_id      text not null,
  enabled        boolean not null default true,
  -- The last change that was taken.
  after_number   bigint not null,
  -- Since something was last taken.
  attempts       int not null default 0,
  error          text,
  next_at        timestamptz,
  created_at     timestamptz not null default now()
);
create index webhook_collection on lockgate.webhook (collection_id);

-- What runs did that are gone with their sources, so that totals never go back.
create table lockgate.run_total (
  single             boolean primary key default true check (single),
  added              bigint not null default 0,
  changed            bigint not null default 0,
  moved              bigint not null default 0,
  removed            bigint not null default 0,
  failed             bigint not null default 0,
  bytes              bigint not null default 0,
  requests           bigint not null default 0,
  requests_throttled bigint not null default 0,
  requests_failed    bigint not null default 0,
  secret_waits       bigint not null default 0
);
insert into lockgate.run_total default values;

create function lockgate.keep_run_totals() returns trigger language plpgsql as $$
begin
  update lockgate.run_total t set
    added = t.added + o.added, changed = t.changed + o.changed, moved = t.moved + o.moved, removed = t.removed + o.removed,
    failed = t.failed + o.failed, bytes = t.bytes + o.bytes, requests = t.requests + o.requests,
    requests_throttled = t.requests_throttled + o.requests_throttled,
    requests_failed = t.requests_failed + o.requests_failed, secret_waits = t.secret_waits + o.secret_waits
  from (
    select coalesce(sum(added), 0) as added, coalesce(sum(changed), 0) as changed, coalesce(sum(moved), 0) as moved,
           coalesce(sum(removed), 0) as removed, coalesce(sum(failed), 0) as failed, coalesce(sum(bytes), 0) as bytes,
           coalesce(sum(requests), 0) as requests, coalesce(sum(requests_throttled), 0) as requests_throttled,
           coalesce(sum(requests_failed), 0) as requests_failed, coalesce(sum(secret_waits), 0) as secret_waits
      from gone
  ) o;
  return null;
end $$;
create trigger keep_run_totals after delete on lockgate.run referencing old table as gone
  for each statement execute function lockgate.keep_run_totals();
