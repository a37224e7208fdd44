import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { boundAt, isStorableKey, KEY_BYTES, storableKey } from '../../src/contract/storable.ts';
import { compareKeys } from '../../src/sync/key-order.ts';
import { Rig, sorted } from './rig.ts';

/** What no index compresses. */
const long = (bytes: number) => randomBytes(bytes).toString('hex').slice(0, bytes);

const ODD_KEYS = [
  '\0',
  'a\0',
  'a\0\0b',
  'b\0',
  'b\\u0000',
  `c${long(5000)}`,
  `d${'\u4e2d'.repeat(KEY_BYTES)}`,
  `z${long(4000)}`,
  'zz\0',
];
/** Just short enough. */
const FIT = `m${long(KEY_BYTES - 1)}`;

for (const order of ['bytes', 'none'] as const) {
  test(`keys that cannot be stored are among what failed, and everything else is synced (order: ${order})`, async () => {
    for (const pageSize of [1, 2, 3, 5]) {
      await using rig = await Rig.open();
      rig.bucket.order = order;
      rig.bucket.pageSize = pageSize;
      const keys = ['a', 'b', 'c', FIT, 'y', 'zz', 'zzz', ...Array.from({ length: 9 }, (_, i) => `plain ${i}`)];
      for (const key of keys) rig.bucket.put(key, key);
      const odd = ODD_KEYS.filter((key) => !isStorableKey(key));
      for (const key of ODD_KEYS) rig.bucket.put(key, key);
      const expected = () => sorted(new Map([...rig.wanted()].filter(([key]) => isStorableKey(key))));
      for (let round = 0; round < 3; round++) {
        expect((await rig.sync()).state).toBe('completed');
        expect(sorted(await rig.documents())).toEqual(expected());
        expect(sorted(await rig.replay())).toEqual(expected());
        const failures = await rig.failures();
        expect(failures.every(({ code }) => code === 'unsupported_key')).toBe(true);
        expect(failures.map(({ key }) => key).sort()).toEqual([...new Set(odd.map(storableKey))].sort());
        rig.bucket.put(`plain ${round}`, 'changed');
        rig.bucket.delete(keys[round] as string);
      }
      // What goes is no failure any more.
      for (const key of odd.slice(1)) rig.bucket.delete(key);
      await rig.sync();
      expect(await rig.failures()).toHaveLength(1);
    }
  });
}

test('a bound stands where its key does in the order of all keys that can be stored', () => {
  const storable = ['', 'a', 'a\u0001', 'ab', 'b', 'b\\u0000', '\uffff', '\u{10000}'];
  for (const key of ['\0', 'a\0', 'a\0z', 'ab\0', 'b\0\0', '\u{10000}\0', 'plain']) {
    for (const other of storable) {
      const isBehind = compareKeys(other, key) > 0;
      expect(compareKeys(other, boundAt(key)) > 0, JSON.stringify([key, other])).toBe(isBehind);
    }
  }
});

test('a document of which something cannot be stored fails alone, and those committed with it are there', async () => {
  await using rig = await Rig.open();
  rig.limits = { ...rig.limits, commitOutcomes: 50, commitDelayMs: 30, batchEntries: 50, unsettledEntries: 200 };
  rig.bucket.pageSize = 100;
  for (let i = 0; i < 40; i++) rig.bucket.put(`doc ${i}`, `body ${i}`);
  const odd: Record<string, object> = {
    'doc 3': { modifiedAt: -8.64e15 },
    'doc 17': { version: 'v\0' },
    'doc 21': { modifiedAt: Number.NaN },
    'doc 39': {},
  };
  rig.breakSource = (source) => ({
    ...source,
    listPage: async (position, signal) => {
      const page = await source.listPage(position, signal);
      return { ...page, entries: page.entries.map((entry) => ({ ...entry, ...odd[entry.key] })) };
    },
    read: async (entry, range, signal) => {
      const asListed = { ...entry, version: rig.bucket.objects.get(entry.key)?.version ?? '' };
      const content = await source.read(asListed, range, signal);
      return entry.key === 'doc 39' ? { ...content, contentType: 'text/\0plain' } : content;
    },
  });
  const names = Object.keys(odd).sort();
  expect((await rig.sync()).state).toBe('completed');
  expect((await rig.failures()).map(({ key, code }) => [key, code])).toEqual(names.map((key) => [key, 'unstorable']));
  const wanted = new Map([...rig.wanted()].filter(([key]) => !names.includes(key)));
  expect(sorted(await rig.documents())).toEqual(sorted(wanted));
  rig.breakSource = (source) => source;
  await rig.sync();
  expect(sorted(await rig.replay())).toEqual(sorted(rig.wanted()));
  expect(await rig.failures()).toEqual([]);
});
