-- A tree again: an index by hash looks through all documents of a content for a place for the next one, and a million empty files are one content.
drop index lockgate.document_sha256;
create index document_sha256 on lockgate.document (sha256);
