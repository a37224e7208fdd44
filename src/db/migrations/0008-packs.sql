-- Small contents lie together in packs, files of the content store. What is not here lies in a file of its own.

create table lockgate.pack (
  id        bigint generated always as identity primary key,
  opened_at timestamptz not null default now(),
  -- From then on nothing is added.
  closed_at timestamptz
);

create table lockgate.packed_content (
  sha256    bytea primary key,
  pack_id   bigint not null references lockgate.pack,
  -- The first byte.
  at        bigint not null,
  size      int not null,
  stored_at timestamptz not null default now()
);
-- Rows of a pack lie together, because they are written together.
create index packed_content_pack on lockgate.packed_content using brin (pack_id) with (pages_per_range = 8, autosummarize = on);
