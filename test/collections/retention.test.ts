import { expect, test } from 'vitest';
import { readChanges } from '../../src/collections/changes.ts';
import { forget } from '../../src/collections/retention.ts';
import { createWebhook, switchWebhook } from '../../src/collections/webhooks.ts';
import { Rig } from '../sync/rig.ts';

const NEVER = new AbortController().signal;

async function aged(rig: Rig, upTo: number): Promise<void> {
  await rig.db.query(`update lockgate.change set at = now() - interval '40 days' where number <= $1`, [upTo]);
}

test('changes are forgotten from the oldest on; who comes too late is told, and others read on', async () => {
  await using rig = await Rig.open();
  for (let i = 0; i < 30; i++) rig.bucket.put(`k${i}`, `content ${i}`);
  await rig.sync();
  await aged(rig, 12);
  expect(await forget(rig.db, { changesDays: 0, runsDays: 0 }, NEVER)).toEqual({ changes: 0, runs: 0, plans: 0 });
  expect(await forget(rig.db, { changesDays: 30, runsDays: 0 }, NEVER)).toMatchObject({ changes: 12 });
  for (const after of [0, 5, 11]) {
    await expect(readChanges(rig.db, rig.collectionId, after, 10)).rejects.toMatchObject({ code: 'changes_forgotten' });
  }
  expect((await readChanges(rig.db, rig.collectionId, 12, 100)).map(({ number }) => number)).toEqual(
    Array.from({ length: 18 }, (_, i) => i + 13),
  );
  expect(await readChanges(rig.db, rig.collectionId, 30, 100)).toEqual([]);
  // All of them gone is no end of the feed either.
  await aged(rig, 30);
  await forget(rig.db, { changesDays: 30, runsDays: 0 }, NEVER);
  await expect(readChanges(rig.db, rig.collectionId, 29, 10)).rejects.toMatchObject({ code: 'changes_forgotten' });
  expect(await readChanges(rig.db, rig.collectionId, 30, 10)).toEqual([]);
  rig.bucket.put('later', 'later');
  await rig.sync();
  expect((await readChanges(rig.db, rig.collectionId, 30, 10)).map(({ number }) => number)).toEqual([31]);
});

test('what a webhook has not taken is kept for it, as long as it is on', async () => {
  await using rig = await Rig.open();
  for (let i = 0; i < 20; i++) rig.bucket.put(`k${i}`, `content ${i}`);
  await rig.sync();
  await aged(rig, 20);
  const wish = { collectionId: rig.collectionId, url: 'https://example.com', secretManager: 'm', secretId: 's' };
  const { id } = await createWebhook(rig.db, { ...wish, after: 8 });
  expect(await forget(rig.db, { changesDays: 30, runsDays: 0 }, NEVER)).toMatchObject({ changes: 8 });
  await switchWebhook(rig.db, id, false);
  expect(await forget(rig.db, { changesDays: 30, runsDays: 0 }, NEVER)).toMatchObject({ changes: 12 });
});

test('old runs are forgotten, but the latest that was completed; what they did stays counted', async () => {
  await using rig = await Rig.open();
  rig.bucket.put('a', 'content');
  for (let i = 0; i < 4; i++) await rig.sync();
  await rig.db.query(
    `update lockgate.run set finished_at = now() - interval '100 days', created_at = created_at - interval '100 days'`,
  );
  expect(await forget(rig.db, { changesDays: 0, runsDays: 90 }, NEVER)).toMatchObject({ runs: 3 });
  const [left] = await rig.db.query('select count(*) as runs, sum(added) as added from lockgate.run');
  const [total] = await rig.db.query('select added from lockgate.run_total');
  expect(left).toMatchObject({ runs: 1 });
  expect(Number((left as { added: number }).added) + Number((total as { added: number }).added)).toBe(1);
  expect(await forget(rig.db, { changesDays: 0, runsDays: 90 }, NEVER)).toMatchObject({ runs: 0 });
});
