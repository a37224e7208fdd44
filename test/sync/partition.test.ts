import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareKeys } from '../../src/sync/key-order.ts';
import { boundariesBetween } from '../../src/sync/partition.ts';
import { Rig, sorted } from './rig.ts';

function asker(keys: readonly string[]) {
  const inOrder = [...keys].sort(compareKeys);
  let asked = 0;
  return {
    asked: () => asked,
    firstAfter: async (key: string) => {
      asked++;
      return inOrder.find((each) => compareKeys(each, key) > 0) ?? null;
    },
  };
}

const SHAPES: Readonly<Record<string, readonly string[]>> = {
  numbers: Array.from({ length: 5000 }, (_, i) => `logs/app/${String(i).padStart(8, '0')}`),
  hashes: Array.from({ length: 5000 }, (_, i) => `${((i * 2_654_435_761) % 2 ** 32).toString(16).padStart(8, '0')}/x`),
  days: Array.from({ length: 5000 }, (_, i) => `d/${new Date(i * 86_400_000).toISOString().slice(0, 10)}.json`),
};

describe('where a listing is cut', () => {
  test.each(Object.entries(SHAPES))('%s: into parts of a fair size, with few questions', async (_, keys) => {
    const inOrder = [...keys].sort(compareKeys);
    const { firstAfter, asked } = asker(keys);
    const cuts = await boundariesBetween(firstAfter, inOrder[50] ?? '', null, 4);
    expect(cuts.length).toBeGreaterThan(0);
    expect(asked()).toBeLessThan(20);
    const behind = cuts.map((cut) => inOrder.filter((key) => compareKeys(key, cut) > 0).length);
    for (const count of behind) expect(count).toBeGreaterThan(100);
  });

  test('anything: ascending, inside the stretch, and never a question without end', async () => {
    const key = fc.string({
      unit: fc.constantFrom('a', 'b', 'z', '~', '/', '0', 'é', '😀', '\uffff', ' '),
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(key, { minLength: 2, maxLength: 60 }),
        fc.nat(),
        fc.boolean(),
        async (keys, at, open) => {
          const inOrder = [...keys].sort(compareKeys);
          const from = inOrder[at % (inOrder.length - 1)] as string;
          const upTo = open ? null : (inOrder.at(-1) as string);
          const { firstAfter, asked } = asker(keys);
          const cuts = await boundariesBetween(firstAfter, from, upTo, 4);
          expect(asked()).toBeLessThan(40);
          expect(cuts.length).toBeLessThan(4);
          for (const [i, cut] of cuts.entries()) {
            expect(compareKeys(cut, cuts[i - 1] ?? from)).toBeGreaterThan(0);
            if (upTo !== null) expect(compareKeys(cut, upTo)).toBeLessThan(0);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

test('parts are listed side by side, and an interrupted listing goes on in each', async () => {
  await using rig = await Rig.open();
  for (const [i, key] of (SHAPES.hashes ?? []).slice(0, 600).entries()) rig.bucket.put(key, `content ${i % 50}`);
  rig.bucket.pageSize = 10;
  rig.limits = {
    ...rig.limits,
    unsettledEntries: 500,
    batchEntries: 50,
    commitOutcomes: 100,
    concurrentReads: 20,
    offeredBatches: 99,
  };
  let side = 0;
  let most = 0;
  let pages = 0;
  const stop = new AbortController();
  rig.breakSource = (source) => ({
    ...source,
    listPage: async (position, signal) => {
      most = Math.max(most, ++side);
      await new Promise((resolve) => setTimeout(resolve, 2));
      if (++pages === 45) stop.abort(new Error('interrupted'));
      return source.listPage(position, signal).finally(() => side--);
    },
  });
  await expect(rig.sync(stop.signal)).rejects.toThrow('interrupted');
  const parts = await rig.db.query<{ through: string | null }>('select * from lockgate.listing_part');
  expect(parts.length).toBeGreaterThan(2);
  const [run] = await rig.db.query<{ id: string; listed: number }>('select id, listed from lockgate.run');
  expect(run?.listed).toBeGreaterThan(50);
  await rig.resume(run?.id ?? '');
  expect(most).toBeGreaterThan(2);
  expect(sorted(await rig.documents())).toEqual(sorted(rig.wanted()));
  expect(sorted(await rig.replay())).toEqual(sorted(rig.wanted()));
  const [after] = await rig.db.query<{ listed: number }>('select listed from lockgate.run');
  expect(after?.listed).toBe(600);
});

test('a source that lists in an order of its own is found out also where it is cut, and nothing is taken for gone', async () => {
  for (const order of ['none', 'utf16'] as const) {
    await using rig = await Rig.open();
    const names = ['a', 'b', 'm', 'z', '~', 'é', '😀', '\ufffd'];
    for (let i = 0; i < 200; i++) rig.bucket.put(`${names[i % 8]}${i}${names[(i * 5) % 8]}`, `content ${i}`);
    rig.bucket.order = order;
    rig.bucket.pageSize = 2;
    await rig.sync();
    await rig.sync();
    expect(sorted(await rig.documents())).toEqual(sorted(rig.wanted()));
    expect(sorted(await rig.replay())).toEqual(sorted(rig.wanted()));
    const changes = await rig.db.query(`select 1 from lockgate.change where kind <> 'added'`);
    expect(changes).toEqual([]);
  }
});
