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
