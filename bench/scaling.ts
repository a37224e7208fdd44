/**
 * What a million documents take: rows, bytes and time, measured on this machine with the statements that Lockgate itself uses.
 * docs/scaling.md says what to make of the figures.
 *
 *   npm run bench:scaling -- --millions 1
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readChanges } from '../src/collections/changes.ts';
import { createCollection } from '../src/collections/collections.ts';
import { findDocument, listDocuments } from '../src/collections/documents.ts';
import { openHandStore } from '../src/collections/hand-store.ts';
import { joinRun, NO_CAPS, takeRun } from '../src/collections/hands.ts';
import { forget } from '../src/collections/retention.ts';
import { openRunStore } from '../src/collections/run-store.ts';
import { requestRun } from '../src/collections/runs.ts';
import { addSource } from '../src/collections/sources.ts';
import type { Database } from '../src/contract/database.ts';
import type { Outcome } from '../src/contract/run.ts';
import { attachEmbedded } from '../src/db/embedded.ts';
import { migrate } from '../src/db/migrate.ts';
import { openPool } from '../src/db/pool.ts';
import { SOURCE_SETTINGS } from '../test/source-settings.ts';

const { values } = parseArgs({ options: { millions: { type: 'string', default: '1' } } });
const TOTAL = Math.round(Number(values.millions) * 1_000_000);
const BY_HAND = Math.min(TOTAL, 200_000);
const PER_COMMIT = 512;
const CHUNK = 250_000;

const folder = await mkdtemp(join(tmpdir(), 'lockgate-scaling-'));
const server = await attachEmbedded(join(folder, 'postgres'));
const db = openPool(server.target, 6);
try {
  await migrate(db);
  await measure();
} finally {
  await db[Symbol.asyncDispose]();
  await server.leave();
  await rm(folder, { recursive: true, force: true });
}

function print(what: string, value: string): void {
  process.stdout.write(`| ${what} | ${value} |\n`);
}

function keyOf(i: number): string {
  return `documents/2026/${String(i).padStart(10, '0')}.pdf`;
}

function outcome(i: number): Outcome {
  const key = keyOf(i);
  return {
    kind: 'stored',
    entry: {
      key,
      path: key,
      version: `"${createHash('md5').update(key).digest('hex')}"`,
      size: 100_000,
      modifiedAt: 1e12 + i,
    },
    content: { sha256: createHash('sha256').update(key).digest('hex'), size: 100_000, handle: '' },
    contentType: 'application/pdf',
    warning: null,
    grants: null,
  };
}

async function timed<T>(work: () => Promise<T>): Promise<[number, T]> {
  const started = performance.now();
  const result = await work();
  return [performance.now() - started, result];
}

async function median(work: (n: number) => Promise<unknown>): Promise<string> {
  const times: number[] = [];
  for (let n = 0; n < 21; n++) times.push((await timed(() => work(n)))[0]);
  return `${(times.sort((a, b) => a - b)[10] as number).toFixed(1)} ms`;
}

async function measure(): Promise<void> {
  const collection = await createCollection(db, 'default', 'c');
  const source = await addSource(db, 'default', collection.id, SOURCE_SETTINGS, null);
  const runId = await requestRun(db, source.id, 'manual');
  const taken = await takeRun(db, runId, 'leader');
  if (taken.kind !== 'taken') throw new Error('the run was not taken');
  const run = {
    id: runId,
    attempt: taken.attempt,
    hand: taken.hand,
    rules: '',
    sourceId: source.id,
    collectionId: collection.id,
  };
  const store = openRunStore(db, run);
  process.stdout.write(`${TOTAL / 1e6} million documents in one source\n\n| | |\n|---|---|\n`);

  // One hand needs no batches here, a second one does to be let in.
  await db.query(`insert into lockgate.fetch_batch (run_id, number, entries) values ($1, 0, '[]')`, [runId]);
  const second = await joinRun(db, runId, 'helper', 2, NO_CAPS);
  if (!second) throw new Error('nobody may help');
  const hands = [store, openHandStore(db, { ...run, hand: second })];
  const commitAll = async (some: typeof hands, from: number, to: number) => {
    let next = from;
    await Promise.all(
      some.map(async (hand) => {
        while (next < to) {
          const first = next;
          next += PER_COMMIT;
          const size = Math.min(PER_COMMIT, to - first);
          await hand.commit(
            Array.from({ length: size }, (_, i) => outcome(first + i)),
            [],
          );
        }
      }),
    );
  };
  const half = BY_HAND / 2;
  const [one] = await timed(() => commitAll([store], 0, half));
  const [two] = await timed(() => commitAll(hands, half, BY_HAND));
  print('documents committed by one hand', `${Math.round((half / one) * 1000)} each second`);
  print('documents committed by two hands', `${Math.round((half / two) * 1000)} each second`);
  for (let from = BY_HAND; from < TOTAL; from += CHUNK) await fill(db, run, from, Math.min(TOTAL, from + CHUNK));
  await db.query('vacuum analyze lockgate.document');
  await db.query('vacuum analyze lockgate.change');

  for (const table of ['document', 'change']) {
    const [size] = await db.query<{ heap: number; indexes: number }>(
      'select pg_table_size($1::regclass) as heap, pg_indexes_size($1::regclass) as indexes',
      [`lockgate.${table}`],
    );
    const { heap = 0, indexes = 0 } = size ?? {};
    print(
      `bytes of a row of ${table}, and of its indexes`,
      `${Math.round(heap / TOTAL)} + ${Math.round(indexes / TOTAL)}`,
    );
  }
  const [scan] = await timed(async () => {
    for (let after: string | null = null; ; ) {
      const rows = await store.indexRange(after, null, 5000);
      if (rows.length < 5000) return;
      after = rows.at(-1)?.key ?? null;
    }
  });
  print(
    'the whole index read as a listing is compared with it',
    `${Math.round(TOTAL / (scan / 1000)).toLocaleString('en')} rows each second`,
  );
  const somewhere = (n: number) => Math.floor((TOTAL / 21) * n);
  const cursorAt = async (i: number) => {
    const cursor = Buffer.from(JSON.stringify([source.id, keyOf(i)])).toString('base64url');
    return listDocuments(db, collection.id, 100, cursor);
  };
  print('a page of 100 documents, anywhere', await median((n) => cursorAt(somewhere(n))));
  print(
    'the newest 100 documents by date',
    await median(() => listDocuments(db, collection.id, 100, null, { sort: '-modified' } as never)),
  );
  print('a page of 100 changes, anywhere', await median((n) => readChanges(db, collection.id, somewhere(n), 100)));
  const ids = await db.query<{ id: string }>('select id from lockgate.document tablesample system (0.1) limit 21');
  print('a document by its ID', await median((n) => findDocument(db, 'default', ids[n % ids.length]?.id ?? '')));
  const entries = Array.from({ length: 1000 }, (_, i) => outcome(i).entry);
  print('whether 1,000 entries have failed before', await median(() => store.putOff(entries)));
  print(
    'a commit of 512 documents at this size',
    await median((n) =>
      store.commit(
        Array.from({ length: PER_COMMIT }, (_, i) => outcome(TOTAL + n * PER_COMMIT + i)),
        [],
      ),
    ),
  );
  await db.query(
    `update lockgate.change set at = now() - interval '9 days' where collection_id = $1 and number <= 100000`,
    [collection.id],
  );
  const [gone, { changes }] = await timed(() =>
    forget(db, { changesDays: 7, runsDays: 0 }, new AbortController().signal),
  );
  print('changes forgotten', `${Math.round(changes / (gone / 1000))} each second`);
}

/** Many rows at once, as commits would have left them. */
async function fill(
  db: Database,
  run: { sourceId: string; collectionId: string; id: string },
  from: number,
  to: number,
): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.query(
      `insert into lockgate.document (id, source_id, key, path, version, size, modified_at, content_type, sha256, seen_run)
       select gen_random_uuid(), $1, k, k, '"' || md5(k) || '"', 100000, timestamptz '2026-01-01' + i * interval '1 second',
              'application/pdf', sha256(k::bytea), $2
         from generate_series($3::bigint, $4::bigint - 1) i, lateral (select 'documents/2026/' || lpad(i::text, 10, '0') || '.pdf' as k) _`,
      [run.sourceId, run.id, from, to],
    );
    await tx.query(
      `insert into lockgate.change (collection_id, number, kind, document_id, source_id, key, path, version, size, sha256, run_id)
       select $1, last_change + row_number() over (order by key), 'added', d.id, d.source_id, key, path, version, size, sha256, $2
         from lockgate.document d, lockgate.collection c where c.id = $1 and d.source_id = $3 and d.key >= $4 and d.key < $5`,
      [run.collectionId, run.id, run.sourceId, keyOf(from), keyOf(to)],
    );
    await tx.query('update lockgate.collection set last_change = last_change + $2 where id = $1', [
      run.collectionId,
      to - from,
    ]);
    await tx.query('update lockgate.source set document_count = document_count + $2 where id = $1', [
      run.sourceId,
      to - from,
    ]);
  });
}
