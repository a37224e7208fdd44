import { expect, test } from 'vitest';
import { updateCollection } from '../../src/collections/collections.ts';
import { MOST_ATTEMPTS, retryFailures } from '../../src/collections/failures.ts';
import { requestRun } from '../../src/collections/runs.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import { Rig, sorted } from './rig.ts';

/** A rig with one document that cannot be read, and how often that was tried. */
async function poisoned(): Promise<{ rig: Rig; tried: () => number; heal: () => void }> {
  const rig = await Rig.open();
  for (const key of ['a', 'poison', 'z']) rig.bucket.put(key, key);
  let tried = 0;
  let ill = true;
  rig.breakSource = (source) => ({
    ...source,
    read: async (entry, range, signal) => {
      if (entry.key !== 'poison') return source.read(entry, range, signal);
      tried++;
      if (!ill) return source.read(entry, range, signal);
      throw new ConnectorError('permission_denied', 'no', { operation: 'read', retryable: false });
    },
  });
  const heal = () => {
    ill = false;
  };
  return { rig, tried: () => tried, heal };
}

test('a document that cannot be read is given up after a number of attempts, until somebody has it tried again', async () => {
  const { rig, tried, heal } = await poisoned();
  await using _ = rig;
  for (let n = 0; n < MOST_ATTEMPTS + 3; n++) await rig.sync();
  expect(tried()).toBe(MOST_ATTEMPTS);
  expect(await rig.failures()).toMatchObject([
    { key: 'poison', code: 'permission_denied', attempts: MOST_ATTEMPTS, givenUpAt: expect.any(Date) },
  ]);
  // It is still said of each run that it has not everything.
  const [run] = await rig.db.query('select failed from lockgate.run order by created_at desc limit 1');
  expect(run).toEqual({ failed: 1 });
  heal();
  await rig.sync();
  expect((await rig.documents()).has('poison')).toBe(false);
  expect(await retryFailures(rig.db, rig.collectionId, 'other')).toBe(0);
  expect(await retryFailures(rig.db, rig.collectionId, 'poison')).toBe(1);
  await rig.sync();
  expect(sorted(await rig.documents())).toEqual(sorted(rig.wanted()));
  expect(await rig.failures()).toEqual([]);
});

test('another version of a document that was given up is a new document', async () => {
  const { rig, heal } = await poisoned();
  await using _ = rig;
  for (let n = 0; n < MOST_ATTEMPTS; n++) await rig.sync();
  heal();
  rig.bucket.put('poison', 'no poison any more');
  await rig.sync();
  expect(sorted(await rig.documents())).toEqual(sorted(rig.wanted()));
});

test('scheduled runs leave what has just failed alone; one that somebody asks for tries it', async () => {
  const { rig, tried } = await poisoned();
  await using _ = rig;
  const scheduled = async () => rig.resume(await requestRun(rig.db, rig.sourceId, 'schedule'));
  await scheduled();
  await scheduled();
  await scheduled();
  expect(tried()).toBe(1);
  expect(await rig.failures()).toMatchObject([{ attempts: 1, givenUpAt: null, nextAt: expect.any(Date) }]);
  await rig.db.query(`update lockgate.document_failure set next_at = now() - interval '1 second'`);
  await scheduled();
  expect(tried()).toBe(2);
  await rig.sync();
  expect(tried()).toBe(3);
  const [{ nextAt } = { nextAt: null }] = await rig.failures();
  // A minute, four, sixteen.
  expect(((nextAt?.getTime() ?? 0) - Date.now()) / 60_000).toBeGreaterThan(15);
});

test('a collection has at most what it may have, also when several sources fill it', async () => {
  await using rig = await Rig.open();
  for (let i = 0; i < 40; i++) rig.bucket.put(`k${String(i).padStart(2, '0')}`, '0123456789');
  const [collection] = await rig.db.query<{ name: string }>('select name from lockgate.collection where id = $1', [
    rig.collectionId,
  ]);
  const bound = (maxDocuments: number | null, maxBytes: number | null) =>
    updateCollection(rig.db, 'default', { id: rig.collectionId, name: collection?.name ?? '', maxDocuments, maxBytes });
  await bound(25, null);
  await expect(rig.sync()).rejects.toMatchObject({ code: 'quota_exceeded' });
  const some = (await rig.documents()).size;
  expect(some).toBeGreaterThan(15);
  expect(some).toBeLessThanOrEqual(25);
  await rig.abandon();
  await bound(null, 300);
  await expect(rig.sync()).rejects.toMatchObject({ code: 'quota_exceeded' });
  expect((await rig.documents()).size).toBeLessThanOrEqual(30);
  await rig.abandon();
  await bound(null, null);
  await rig.sync();
  expect(sorted(await rig.documents())).toEqual(sorted(rig.wanted()));
  expect(sorted(await rig.replay())).toEqual(sorted(rig.wanted()));
  // It can also be made smaller than what is there: nothing goes, and nothing comes.
  await bound(10, null);
  rig.bucket.put('one more', 'x');
  await expect(rig.sync()).rejects.toMatchObject({ code: 'quota_exceeded' });
  expect((await rig.documents()).size).toBe(40);
});
