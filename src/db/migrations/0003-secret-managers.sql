-- Several secret managers, secrets of other tools, and moving secrets from one manager to another.

alter table lockgate.source
  -- A version to stay at; null: the latest.
  add column credential_version text,
  -- From our names of fields to those of the secret; null: they are the same.
  add column credential_fields jsonb;

alter table lockgate.run
  -- How often the secret manager had to be asked again.
  add column secret_waits int not null default 0;

-- Secret managers that workspaces brought along. What opens one is a secret in the default manager.
create table lockgate.secret_manager (
  workspace  text not null,
  name       text not null,
  settings   jsonb not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (workspace, name)
);

-- Which version became which, so that a migration that was cut off goes on where it was.
create table lockgate.secret_migration (
  workspace    text not null,
  from_manager text not null,
  to_manager   text not null,
  secret_id    text not null,
  from_version text not null,
  to_version   text not null,
  copied_at    timestamptz not null default now(),
  primary key (workspace, from_manager, to_manager, secret_id, from_version)
);
