-- The name of this store, which is part of what every value is sealed with.
create table securestore.store (
  single boolean primary key default true check (single),
  id uuid not null default gen_random_uuid(),
  created_at timestamptz not null default now()
);
insert into securestore.store default values;

create table securestore.secret (
  workspace text not null,
  id text not null,
  type text not null,
  labels jsonb not null default '{}',
  -- What Lockgate keeps beside a value: what it may be used for.
  scope jsonb,
  expires_at timestamptz,
  -- Changes with everything that is said of the secret.
  etag bigint not null default 1,
  next_version int not null default 1,
  created_at timestamptz not null default now(),
  created_by text not null,
  -- Set: it is deleted, and goes for good then.
  purge_at timestamptz,
  primary key (workspace, id)
);
create index on securestore.secret (purge_at) where purge_at is not null;

create table securestore.version (
  workspace text not null,
  id text not null,
  version int not null,
  state text not null default 'enabled' check (state in ('enabled', 'disabled', 'destroyed')),
  -- The key that wraps this version's own.
  kek text,
  wrapped bytea,
  iv bytea,
  data bytea,
  commitment bytea,
  -- So that an answer that got lost can be asked for again.
  request_key text,
  created_at timestamptz not null default now(),
  created_by text not null,
  primary key (workspace, id, version),
  foreign key (workspace, id) references securestore.secret on delete cascade,
  check ((state = 'destroyed') = (data is null))
);
create unique index on securestore.version (workspace, id, request_key) where request_key is not null;
create index on securestore.version (kek);

-- Version numbers are never given again, also when a secret is made anew under an old name.
create table securestore.used_version (
  workspace text not null,
  id text not null,
  next_version int not null,
  primary key (workspace, id)
);

create table securestore.token (
  id text primary key,
  hash bytea not null,
  name text not null,
  created_at timestamptz not null default now(),
  created_by text not null,
  expires_at timestamptz not null,
  revoked_at timestamptz
);

-- Something known, wrapped by each key, so that a wrong one is noticed before it is used.
create table securestore.key_check (
  kek text primary key,
  wrapped bytea not null,
  created_at timestamptz not null default now()
);
