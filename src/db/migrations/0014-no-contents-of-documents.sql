-- Whether anything refers to a content is asked once a day, of all contents at once, and read off all documents in one go. The tree that answered
-- it for one content was a tenth of what writing a document cost, and more where it did not fit into memory.
drop index lockgate.document_sha256;

-- What a collection of garbage has listed. Nothing is lost with it.
create unlogged table lockgate.content_listed (
  sha256 bytea not null
);
