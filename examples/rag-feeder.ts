/**
 * Follows the change feed of a collection into a full-text index, and never loses or doubles a document: the index and the
 * number to go on from are written in one transaction. Kill it when you like; it goes on where it was.
 *
 *   LOCKGATE_URL=http://127.0.0.1:3000 LOCKGATE_TOKEN=lgt_... node examples/rag-feeder.ts handbook index.sqlite
 *   node examples/rag-feeder.ts --search index.sqlite 'holiday AND policy'
 */
import { DatabaseSync } from 'node:sqlite';
import { createLockgateClient } from '../src/index.ts';

const [collection = '', file = '', question = ''] = process.argv.slice(2);
const CHUNK_CHARACTERS = 2000;

function openIndex(path: string): DatabaseSync {
  const index = new DatabaseSync(path);
  index.exec(`
    create virtual table if not exists chunk using fts5(document unindexed, path, body, tokenize = 'porter unicode61');
    create table if not exists position (single integer primary key check (single = 1), number integer not null);
    insert or ignore into position values (1, 0);`);
  return index;
}

if (collection === '--search') {
  const rows = openIndex(file)
    .prepare(
      `select path, snippet(chunk, 2, '[', ']', ' … ', 12) as found from chunk where chunk match ? order by rank limit 5`,
    )
    .all(question);
  for (const row of rows) process.stdout.write(`${row.path}: ${row.found}\n`);
  process.exit(0);
}

const { LOCKGATE_URL: url = 'http://127.0.0.1:3000', LOCKGATE_TOKEN: token = '' } = process.env;
const lockgate = createLockgateClient({ url, token });
const index = openIndex(file);
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort()).once('SIGINT', () => stop.abort());

/** The text of a document, in pieces that an index or a model can take. Put your own extraction of PDFs and the like here. */
async function chunksOf(documentId: string): Promise<string[]> {
  const { contentType } = await lockgate.call('documents.get', { id: documentId });
  if (!/^text\/|json|xml/.test(contentType ?? '')) return [];
  const text = await new Response(await lockgate.content(documentId)).text();
  return text.match(new RegExp(`[^]{1,${CHUNK_CHARACTERS}}`, 'g')) ?? [];
}

const forget = index.prepare('delete from chunk where document = ?');
const add = index.prepare('insert into chunk (document, path, body) values (?, ?, ?)');
const note = index.prepare('update position set number = ?');
let after = Number(index.prepare('select number from position').get()?.number);

while (!stop.signal.aborted) {
  const given = { collection, after, limit: 100, wait: 30 };
  const { items } = await lockgate.call('changes.list', given, stop.signal).catch((error) => {
    if (stop.signal.aborted) return { items: [] };
    throw error;
  });
  for (const { number, kind, documentId, path } of items) {
    // One that is gone by now: a later change says so.
    const chunks = kind === 'removed' ? [] : await chunksOf(documentId).catch(() => []);
    index.exec('begin');
    forget.run(documentId);
    for (const chunk of chunks) add.run(documentId, path, chunk);
    note.run(number);
    index.exec('commit');
    after = number;
    process.stdout.write(`${number} ${kind} ${path}: ${chunks.length} chunks\n`);
  }
}
