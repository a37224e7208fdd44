import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createToken } from '../../src/access/tokens.ts';
import { openApi } from '../../src/api.ts';
import { createLockgateClient } from '../../src/client/client.ts';
import { createCollection } from '../../src/collections/collections.ts';
import { takeRun } from '../../src/collections/hands.ts';
import { openRunStore } from '../../src/collections/run-store.ts';
import { requestRun } from '../../src/collections/runs.ts';
import { addSource } from '../../src/collections/sources.ts';
import { readConfig } from '../../src/config.ts';
import { openDirectoryStore } from '../../src/content/directory.ts';
import type { Outcome } from '../../src/contract/run.ts';
import { openQueue } from '../../src/jobs/queue.ts';
import { createLog } from '../../src/log.ts';
import { freshDatabase } from '../database.ts';
import { SOURCE_SETTINGS } from '../source-settings.ts';

/** The whole of it: LOCKGATE_FEED_DOCUMENTS=50000 LOCKGATE_FEED_READERS=200, which takes minutes. */
const DOCUMENTS = Number(process.env.LOCKGATE_FEED_DOCUMENTS ?? 4000);
const READERS = Number(process.env.LOCKGATE_FEED_READERS ?? 200);
const WORKERS = 8;
const BATCH = 25;

function outcome(key: string): Outcome {
  const sha256 = createHash('sha256').update(key).digest('hex');
  return {
    kind: 'stored',
    entry: { key, path: key, version: '1', size: 1, modifiedAt: 0 },
    content: { sha256, size: 1, handle: '' },
    contentType: null,
    warning: null,
    grants: null,
  };
}

test(`${READERS} readers follow the change feed while ${WORKERS} workers commit ${DOCUMENTS} documents: each sees every change once, in order`, async () => {
  await using db = await freshDatabase();
  const folder = await mkdtemp(join(tmpdir(), 'lockgate-feed-'));
  const config = readConfig({ LOCKGATE_DATA_DIR: folder, LOCKGATE_REQUESTS_PER_MINUTE: '1000000' });
  const log = createLog('silent', String);
  await using queue = await openQueue(db, () => undefined);
  const content = await openDirectoryStore(join(folder, 'content'));
  const http = await openApi({ config, db, queue, content, log, scrub: String });
  const url = await http.listen({ host: '127.0.0.1', port: 0 });
  const collection = await createCollection(db, 'default', 'feed');
  const wish = { name: 'reader', workspace: 'default', role: 'viewer' as const, createdBy: 'test', expiresAt: null };
  const { token } = await createToken(db, wish);
  const stores = await Promise.all(
    Array.from({ length: WORKERS }, async (_, n) => {
      const settings = { ...SOURCE_SETTINGS, path: `s3://bucket-${n}` };
      const source = await addSource(db, 'default', collection.id, settings, null);
      const id = await requestRun(db, source.id, 'manual');
      const taken = await takeRun(db, id, 'test');
      if (taken.kind !== 'taken') throw new Error('the run was not taken');
      return openRunStore(db, {
        rules: '',
        id,
        attempt: taken.attempt,
        hand: taken.hand,
        sourceId: source.id,
        collectionId: collection.id,
      });
    }),
  );
  const share = Math.floor(DOCUMENTS / WORKERS);
  const total = share * WORKERS;
  const write = async (store: (typeof stores)[number], n: number) => {
    for (let at = 0; at < share; at += BATCH) {
      const size = Math.min(BATCH, share - at);
      await store.commit(
        Array.from({ length: size }, (_, i) => outcome(`worker-${n}/${at + i}`)),
        [],
      );
    }
  };
  const read = async (n: number): Promise<string> => {
    const client = createLockgateClient({ url, token });
    const seen = createHash('sha256');
    let after = 0;
    let count = 0;
    while (count < total) {
      // Each in steps of its own.
      const limit = 50 + ((n * 37) % 950);
      const { items, next } = await client.call('changes.list', { collection: 'feed', after, limit, wait: 20 });
      for (const { number, path } of items) {
        if (number !== after + 1) throw new Error(`reader ${n}: ${number} after ${after}`);
        after = number;
        count++;
        seen.update(path);
      }
      if (next !== after) throw new Error('the cursor is not the last number');
    }
    return seen.digest('hex');
  };
  const readers = Array.from({ length: READERS }, (_, n) => read(n));
  await Promise.all(stores.map(write));
  const hashes = await Promise.all(readers);
  expect(new Set(hashes).size).toBe(1);
  const [row] = await db.query<{ count: number }>('select count(*) as count from lockgate.change');
  expect(row?.count).toBe(total);
  await http.close();
  await rm(folder, { recursive: true, force: true });
}, 1_200_000);
