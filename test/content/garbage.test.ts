import { createHash } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { keepContent, markGarbage, oldGarbage, takeGarbage } from '../../src/collections/garbage.ts';
import { findSource, removeSource, removeSourceDocuments } from '../../src/collections/sources.ts';
import type { Database } from '../../src/contract/database.ts';
import { collectGarbage } from '../../src/jobs/collect-garbage.ts';
import { freshDatabase } from '../database.ts';
import { Rig } from '../sync/rig.ts';

const signal = new AbortController().signal;
const hashOf = (text: string) => createHash('sha256').update(text).digest('hex');

test('content goes when nothing has referred to it for the time of grace, and what is shared stays', async () => {
  await using rig = await Rig.open();
  const { db, content } = rig;
  for (const [key, text] of [
    ['a', 'shared'],
    ['b', 'shared'],
    ['c', 'alone'],
    ['d', 'old'],
  ] as const)
    rig.bucket.put(key, text);
  await rig.sync();
  rig.bucket.put('d', 'new');
  rig.bucket.delete('a');
  await rig.sync();
  const later = () => Date.now() + 3_600_000;
  const collect = (grace: number) => collectGarbage({ db, content, now: later }, grace, signal);
  expect(await collectGarbage({ db, content, now: Date.now }, 3600, signal)).toMatchObject({ looked: 4, marked: 0 });
  expect(await collect(1)).toMatchObject({ looked: 4, marked: 1, removed: 0 });
  await wait(1200);
  expect(await collect(1)).toMatchObject({ removed: 1, marked: 0, looked: 3 });
  const hashes = async () => (await Array.fromAsync(content.list())).map(({ sha256 }) => sha256).sort();
  expect(await hashes()).toEqual(['shared', 'alone', 'new'].map(hashOf).sort());
  // What is wanted again before it goes stays.
  rig.bucket.put('c', 'other');
  await rig.sync();
  await collect(1);
  rig.bucket.put('e', 'alone');
  await rig.sync();
  await wait(1200);
  expect(await collect(1)).toMatchObject({ removed: 0 });
  // Without its source all of it is garbage.
  const source = await findSource(db, 'default', rig.sourceId);
  while ((await removeSourceDocuments(db, source, 100)) > 0);
  await removeSource(db, source.id);
  await collect(1);
  await wait(1200);
  await collect(1);
  expect(await hashes()).toEqual([]);
});

/** Marks it as if it alone were listed. */
const mark = (db: Database, sha256: string) =>
  markGarbage(
    db,
    (async function* () {
      yield [sha256];
    })(),
  );

test('who stores what is just being removed waits, and stores it anew', async () => {
  await using db = await freshDatabase();
  const sha256 = hashOf('contested');
  expect(await mark(db, sha256)).toBe(1);
  expect(await oldGarbage(db, 0, 10)).toEqual({ looked: 1, garbage: [sha256] });
  const order: string[] = [];
  const removing = takeGarbage(db, sha256, 0, async () => {
    await wait(300);
    order.push('removed');
  });
  await wait(100);
  const keeping = keepContent(db, [sha256]).then(() => order.push('may be stored'));
  expect(await removing).toBe(true);
  await keeping;
  expect(order).toEqual(['removed', 'may be stored']);
  // Kept in time, it is not removed; and two collectors do not do the same twice.
  await mark(db, sha256);
  await keepContent(db, [sha256]);
  expect(await takeGarbage(db, sha256, 0, async () => void order.push('never'))).toBe(false);
  await mark(db, sha256);
  const both = await Promise.all([1, 2].map(() => takeGarbage(db, sha256, 0, () => wait(200))));
  expect(both.filter(Boolean).length).toBe(1);
  expect(order).not.toContain('never');
}, 30_000);

test('syncs and collections at once lose nothing that a document refers to', async () => {
  await using rig = await Rig.open();
  const { db, content } = rig;
  let stop = false;
  let removed = 0;
  const collecting = (async () => {
    while (!stop) {
      const later = () => Date.now() + 3_600_000;
      // A grace of a second, where it is a day: longer than a commit takes, and otherwise far harder than it ever is.
      removed += (await collectGarbage({ db, content, now: later }, 1, signal))?.removed ?? 0;
    }
  })();
  for (let round = 0; round < 25; round++) {
    for (let n = 0; n < 12; n++) rig.bucket.put(`key ${n}`, `content ${(round * 7 + n * 3) % 20}`);
    await rig.sync();
    await wait(150);
    for (const { key, sha256 } of await db.query<{ key: string; sha256: string }>(
      "select key, encode(sha256, 'hex') as sha256 from lockgate.document",
    )) {
      const bytes = Buffer.concat(await Array.fromAsync(content.read(sha256)));
      expect(hashOf(bytes.toString()), `${key} in round ${round}`).toBe(sha256);
    }
  }
  // Whatever the rounds let it do: what is garbage for certain goes, beside the collector that goes on.
  for (let n = 0; n < 12; n++) rig.bucket.put(`key ${n}`, `last content ${n}`);
  await rig.sync();
  for (let tries = 0; removed === 0 && tries < 200; tries++) await wait(100);
  stop = true;
  await collecting;
  expect(removed).toBeGreaterThan(0);
  for (let n = 0; n < 12; n++) await Array.fromAsync(content.read(hashOf(`last content ${n}`)));
});
