-- Listings in no particular order, listings of changes, moved documents, and documents stored with a warning.

-- What a source is told that only its connector understands.
alter table lockgate.source add column settings jsonb not null default '{}';

alter table lockgate.run
  add column moved bigint not null default 0,
  -- The listing is in no order that the index knows: what is gone is told by marks and not by gaps.
  add column unordered boolean not null default false,
  -- To the source, each attempt counted.
  add column requests bigint not null default 0,
  add column requests_throttled bigint not null default 0,
  add column requests_failed bigint not null default 0;

alter table lockgate.document
  -- The latest run without order that saw this key.
  add column seen_run uuid,
  -- Why the content may not be what the source listed, and how long that was.
  add column warning text,
  add column listed_size bigint,
  -- Who may see it, as its source says; null where that was not asked for.
  add column grants jsonb;

-- How far the mirror of a source that lists changes has come.
create table lockgate.mirror (
  source_id   uuid primary key references lockgate.source on delete cascade,
  -- What was mirrored: path and settings. Others begin anew.
  place       text not null,
  -- Where the listing of changes goes on.
  position    text,
  -- Counts the listings of everything; items of an earlier one are gone when a later one has ended.
  enumeration int not null default 0,
  everything  boolean not null default false,
  dirty       boolean not null default false
);

-- What the source has, as its listing of changes tells it.
create table lockgate.mirror_item (
  source_id   uuid not null references lockgate.source on delete cascade,
  key         text collate "C" not null,
  parent      text collate "C",
  name        text not null,
  folder      boolean not null,
  -- Of folders: from the root of the source; null when no root leads here.
  path        text,
  version     text,
  size        bigint,
  modified_at timestamptz,
  unreadable  text,
  -- Changes with what is granted here; and of folders, with what is granted here and above.
  grants      text,
  inherited   text,
  enumeration int not null,
  primary key (source_id, key)
);
create index mirror_item_parent on lockgate.mirror_item (source_id, parent) where folder;
