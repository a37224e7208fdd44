-- Only ever asked whether a content is there, never in order: half the price of a tree, whose pages such keys hit at random.
drop index lockgate.document_sha256;
create index document_sha256 on lockgate.document using hash (sha256);
