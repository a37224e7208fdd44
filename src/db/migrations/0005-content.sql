-- Collecting content that no document refers to.

-- Whether anything refers to a content.
create index document_sha256 on lockgate.document (sha256);

-- Content that nothing referred to when it was looked at. Who is about to store the same takes the mark away first, and a
-- collector holds the mark while it removes the content: so of the two one waits for the other.
create table lockgate.content_garbage (
  sha256    bytea primary key,
  marked_at timestamptz not null default now()
);
create index content_garbage_marked on lockgate.content_garbage (marked_at);
