-- What the collection has of each stretch of a listing, in short: where a listing is as it was, no document is looked at.
-- Derived from the documents; without a row, a stretch is compared with them.

create table lockgate.listing_chunk (
  source_id   uuid not null references lockgate.source on delete cascade,
  -- The key with which the stretch begins; empty: the beginning of the listing. It ends where the next one begins.
  from_key    text collate "C" not null,
  entries     int not null,
  -- Of those, what the rules of the source leave out.
  excluded    int not null,
  hash        bytea not null,
  -- The rules that it was made by.
  rules       bytea not null,
  -- The run that made it and has not ended; until then nothing can be concluded from it.
  pending_run uuid,
  primary key (source_id, from_key)
);
