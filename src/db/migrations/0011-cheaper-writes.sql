-- PostgreSQL proves a reference row by row, which was a third of what writing a document cost. Whoever writes these rows holds
-- a lock on what they belong to instead, once for a transaction: on the source (documents), on the collection (its numbers are taken
-- under one), on the pack (it is open). What is removed takes its rows along by triggers, which see what was committed before the lock
-- was theirs.

alter table lockgate.document drop constraint document_source_id_fkey;
alter table lockgate.change drop constraint change_collection_id_fkey;
alter table lockgate.packed_content drop constraint packed_content_pack_id_fkey;

create function lockgate.remove_documents() returns trigger language plpgsql as $$
begin
  delete from lockgate.document where source_id = old.id;
  return null;
end $$;
create trigger source_documents after delete on lockgate.source
  for each row execute function lockgate.remove_documents();

create function lockgate.remove_changes() returns trigger language plpgsql as $$
begin
  delete from lockgate.change where collection_id = old.id;
  return null;
end $$;
create trigger collection_changes after delete on lockgate.collection
  for each row execute function lockgate.remove_changes();

-- What is read once, by nobody but us, and gone soon: nothing looks into it, and compressing it cost more than writing it.
alter table lockgate.fetch_batch alter column entries type json;
alter table lockgate.fetch_batch alter column entries set storage external;
