import { expect, test } from 'vitest';
import { readChanges } from '../../src/collections/changes.ts';
import { createCollection, removeCollection } from '../../src/collections/collections.ts';
import { takeRun } from '../../src/collections/hands.ts';
import { openRunStore } from '../../src/collections/run-store.ts';
import { requestRun } from '../../src/collections/runs.ts';
import { addSource, removeSource } from '../../src/collections/sources.ts';
import type { Database } from '../../src/contract/database.ts';
import type { Outcome, RunStore } from '../../src/contract/run.ts';
import { freshDatabase } from '../database.ts';
import { SOURCE_SETTINGS } from '../source-settings.ts';

function stored(key: string, size = 1): Outcome {
  const entry = { key, path: key, version: '1', size, modifiedAt: 0 };
  return {
    kind: 'stored',
    entry,
    content: { sha256: 'ab'.repeat(32), size, handle: '' },
    contentType: null,
    warning: null,
    grants: null,
  };
}

async function openSourceRun(db: Database, collectionId: string) {
  const source = await addSource(db, 'default', collectionId, SOURCE_SETTINGS, null);
  const runId = await requestRun(db, source.id, 'manual');
  const take = async (): Promise<RunStore> => {
    const taken = await takeRun(db, runId, 'test');
    if (taken.kind !== 'taken') throw new Error('the run was not taken');
    return openRunStore(db, {
      id: runId,
      attempt: taken.attempt,
      hand: taken.hand,
      rules: '',
      sourceId: source.id,
      collectionId,
    });
  };
  return { runId, sourceId: source.id, take };
}

test('a worker that has lost its run can write nothing any more', async () => {
  await using db = await freshDatabase();
  const collection = await createCollection(db, 'default', 'c');
  const { take } = await openSourceRun(db, collection.id);
  const late = await take();
  await late.commit([stored('before')], []);
  const owner = await take();
  const step = {
    position: null,
    part: 0,
    complete: true,
    putOff: [],
    stale: [],
    chunks: [],
    through: 'z',
    batches: [],
    seen: [],
    moved: [],
    missing: ['before'],
    unreadable: [],
    figures: {},
  };
  const writes = [
    () => late.commit([stored('after')], []),
    () => late.commit([], [1]),
    () => late.checkpoint(step),
    () => late.removeMissing(10),
    () => late.heartbeat(),
  ];
  for (const write of writes) await expect(write()).rejects.toMatchObject({ code: 'run_lost' });
  expect((await owner.indexRange(null, null, 10)).map(({ key }) => key)).toEqual(['before']);
  expect(await owner.missingShare()).toMatchObject({ missing: 0 });
  await owner.commit([stored('mine')], []);
  expect((await readChanges(db, collection.id, 0, 10)).map(({ key }) => key)).toEqual(['before', 'mine']);
});

test('a reader that follows the feed sees every change once and in order, while many commit at once', async () => {
  await using db = await freshDatabase();
  const collection = await createCollection(db, 'default', 'c');
  const writers = await Promise.all(
    Array.from({ length: 6 }, async () => (await openSourceRun(db, collection.id)).take()),
  );
  const commits = 40;
  const perCommit = 5;
  const total = writers.length * commits * perCommit;
  let writing = true;
  const read = async (): Promise<number[]> => {
    const seen: number[] = [];
    while (seen.length < total) {
      const done = !writing;
      const page = await readChanges(db, collection.id, seen.at(-1) ?? 0, 17);
      for (const change of page) seen.push(change.number);
      if (page.length === 0 && done) break;
    }
    return seen;
  };
  const readers = [read(), read(), read()];
  await Promise.all(
    writers.map(async (writer, w) => {
      for (let i = 0; i < commits; i++) {
        await writer.commit(
          Array.from({ length: perCommit }, (_, n) => stored(`${w}/${i}/${n}`)),
          [],
        );
      }
    }),
  );
  writing = false;
  const expected = Array.from({ length: total }, (_, i) => i + 1);
  for (const seen of await Promise.all(readers)) expect(seen).toEqual(expected);
});

test('a commit that fails half-way leaves neither documents nor changes nor counts', async () => {
  await using db = await freshDatabase();
  const collection = await createCollection(db, 'default', 'c');
  const { take, runId } = await openSourceRun(db, collection.id);
  const store = await take();
  // A document without a version is refused by PostgreSQL, after the change rows were written.
  await expect(
    store.commit(
      [stored('once'), { ...stored('unversioned'), entry: { ...stored('unversioned').entry, version: null as never } }],
      [],
    ),
  ).rejects.toThrow();
  expect(await store.indexRange(null, null, 10)).toEqual([]);
  expect(await readChanges(db, collection.id, 0, 10)).toEqual([]);
  const [run] = await db.query('select added, bytes from lockgate.run where id = $1', [runId]);
  expect(run).toEqual({ added: 0, bytes: 0 });
});

test('a source or a collection that is removed while hands commit takes everything along', async () => {
  await using db = await freshDatabase();
  for (let n = 0; n < 20; n++) {
    const collection = await createCollection(db, 'default', `c${n}`);
    const runs = await Promise.all(['a', 'b'].map(() => openSourceRun(db, collection.id)));
    const hands = await Promise.all(runs.map(({ take }) => take()));
    const commits = hands.flatMap((hand) =>
      ['x', 'y', 'z'].map((name) =>
        hand.commit(
          [...Array(40).keys()].map((i) => stored(`${name}${i}`)),
          [],
        ),
      ),
    );
    const sourceId = runs[0]?.sourceId ?? '';
    const removal = n % 2 === 0 ? removeCollection(db, collection.id) : removeSource(db, sourceId);
    const [outcomes] = await Promise.all([Promise.allSettled(commits), removal]);
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'run_lost' });
  }
  expect(
    await db.query(
      'select 1 from lockgate.document d where not exists (select 1 from lockgate.source s where s.id = d.source_id)',
    ),
  ).toEqual([]);
  expect(
    await db.query(
      'select 1 from lockgate.change c where not exists (select 1 from lockgate.collection o where o.id = c.collection_id)',
    ),
  ).toEqual([]);
});
