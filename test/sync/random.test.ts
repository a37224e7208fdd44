import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { MemoryBucket } from '../../connectors/memory/connector.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import { Rig, sorted } from './rig.ts';

const keys = [
  'a',
  'a/b',
  'a//b',
  'a-b',
  'b',
  'b/',
  'c/d.pdf',
  'c/d.txt',
  '\uFFFD',
  '😀',
  'ü',
  'zz',
  '~',
  ' ',
  'e\u0301',
  'é',
  'x+y',
  'x%2By',
];
const key = fc.constantFrom(...keys);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('put' as const), key, body: fc.string({ maxLength: 12 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('delete' as const), key }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('sync' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('failing reads' as const), key }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('interrupted' as const),
      after: fc.integer({ min: 0, max: 12 }),
      resume: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('change while listing' as const), key, body: fc.string({ maxLength: 5 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('filter' as const),
      exclude: fc.constantFrom<string[]>([], ['**/*.txt'], ['a*'], ['**']),
      include: fc.constantFrom<string[]>(
        [],
        ['a/**'],
        ['c/*.pdf', 'c/d.txt'],
        ['{a,c}/**'],
        ['!a/**'],
        ['a*'],
        ['é', '😀*'],
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('order' as const),
      order: fc.constantFrom<MemoryBucket['order']>('bytes', 'utf16', 'none'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('outlines' as const),
      which: fc.constantFrom<boolean[]>([true], [false], [true, false]),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('page size' as const), size: fc.integer({ min: 1, max: 7 }) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

test('after any history the collection equals the bucket, and the replayed feed equals the collection', async () => {
  await using rig = await Rig.open();
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
      for (const each of steps) await play(rig, each);
      // A run that was interrupted ends with what it had listed; the bucket as it is now is what the next one finds.
      if (await rig.isRunning()) await rig.sync();
      await rig.sync();
      expect(sorted(await rig.documents())).toEqual(sorted(rig.wanted()));
      expect(sorted(await rig.replay())).toEqual(sorted(rig.wanted()));
      expect(await rig.failures()).toEqual([]);
    }),
    { numRuns: 150, verbose: 1, endOnFailure: false },
  );
}, 300_000);

async function play(rig: Rig, each: Step): Promise<void> {
  if (each.do === 'put') rig.bucket.put(each.key, each.body);
  if (each.do === 'delete') rig.bucket.delete(each.key);
  if (each.do === 'filter') rig.rules = { ...rig.rules, exclude: each.exclude, include: each.include };
  if (each.do === 'order') rig.bucket.order = each.order;
  if (each.do === 'page size') rig.bucket.pageSize = each.size;
  if (each.do === 'outlines') rig.isOutlined = (page) => each.which[page % each.which.length] ?? false;
  if (each.do === 'sync') await rig.sync();
  if (each.do === 'failing reads') await failingReads(rig, each.key);
  if (each.do === 'interrupted') await interrupted(rig, each.after, each.resume);
  if (each.do === 'change while listing') await changingWhileListing(rig, each.key, each.body);
}

async function failingReads(rig: Rig, bad: string): Promise<void> {
  const before = rig.breakSource;
  rig.breakSource = (source) => ({
    ...source,
    read: async (entry, range, signal) => {
      if (entry.key === bad)
        throw new ConnectorError('permission_denied', 'no', { operation: 'read', retryable: false });
      return source.read(entry, range, signal);
    },
  });
  const had = (await rig.documents()).get(bad);
  await rig.sync();
  // A document that cannot be read now keeps what it had, and is listed with its reason.
  const wanted = rig.wanted().get(bad);
  const known = (await rig.documents()).get(bad);
  if (wanted !== undefined && had !== undefined) expect(known).toBe(had);
  if (wanted !== undefined && known === undefined)
    expect((await rig.failures()).map((failure) => [failure.key, failure.code])).toContainEqual([
      bad,
      'permission_denied',
    ]);
  rig.breakSource = before;
}

async function interrupted(rig: Rig, after: number, resume: boolean): Promise<void> {
  let calls = 0;
  const stop = new AbortController();
  rig.breakStore = (store) => ({
    ...store,
    indexRange: (...words) => {
      if (calls++ >= after) stop.abort(new Error('interrupted'));
      return store.indexRange(...words);
    },
    indexRanges: (...words) => {
      if (calls++ >= after) stop.abort(new Error('interrupted'));
      return store.indexRanges(...words);
    },
    commit: (...words) => {
      if (calls++ >= after) stop.abort(new Error('interrupted'));
      return store.commit(...words);
    },
  });
  await rig.sync(stop.signal).catch((error) => expect(String(error)).toContain('interrupted'));
  rig.breakStore = (store) => store;
  if (!resume) await rig.abandon();
}

async function changingWhileListing(rig: Rig, changed: string, body: string): Promise<void> {
  let pages = 0;
  rig.breakSource = (source) => ({
    ...source,
    listPage: async (position, signal) => {
      const page = await source.listPage(position, signal);
      if (++pages === 1) rig.bucket.put(changed, body);
      return page;
    },
  });
  await rig.sync();
  rig.breakSource = (source) => source;
}
