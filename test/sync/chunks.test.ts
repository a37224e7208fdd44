import { expect, test } from 'vitest';
import { DEFAULT_LIMITS } from '../../src/sync/limits.ts';
import { Rig, sorted } from './rig.ts';

const OBJECTS = 2000;

/** A collection in step with a bucket, and how many rows of the index are read from now on. */
async function settled(): Promise<{ rig: Rig; read: () => Promise<number> }> {
  const rig = await Rig.open();
  for (let i = 0; i < OBJECTS; i++) rig.bucket.put(`k${String(i).padStart(5, '0')}`, `content ${i % 100}`);
  rig.bucket.pageSize = 100;
  rig.limits = {
    ...DEFAULT_LIMITS,
    chunkEntries: 50,
    splitPages: Number.MAX_SAFE_INTEGER,
    commitDelayMs: 1,
    pollMs: 5,
  };
  let rows = 0;
  rig.breakStore = (store) => ({
    ...store,
    indexRange: async (...words) => {
      const found = await store.indexRange(...words);
      rows += found.length;
      return found;
    },
    indexRanges: async (...words) => {
      const found = await store.indexRanges(...words);
      for (const each of found) rows += each.length;
      return found;
    },
  });
  await rig.sync();
  const read = async () => {
    rows = 0;
    await rig.sync();
    return rows;
  };
  return { rig, read };
}

async function expectExact(rig: Rig): Promise<void> {
  expect(sorted(await rig.documents())).toEqual(sorted(rig.wanted()));
  expect(sorted(await rig.replay())).toEqual(sorted(rig.wanted()));
}

test.each(['entries', 'outlines'])(
  'where nothing has changed, no document is looked at; a change costs its own stretch: %s',
  async (form) => {
    const { rig, read } = await settled();
    await using _ = rig;
    if (form === 'outlines') {
      rig.isOutlined = () => true;
      // In another form everything is compared once.
      expect(await read()).toBeGreaterThanOrEqual(OBJECTS);
    }
    expect(await read()).toBe(0);
    const [run] = await rig.db.query('select listed, unchanged from lockgate.run order by created_at desc limit 1');
    expect(run).toEqual({ listed: OBJECTS, unchanged: OBJECTS });
    rig.bucket.put('k00777', 'changed');
    expect(await read()).toBeLessThan(500);
    rig.bucket.put('k01000x', 'between');
    rig.bucket.delete('k01500');
    expect(await read()).toBeLessThan(1200);
    expect(await read()).toBe(0);
    await expectExact(rig);
    for (const key of [...rig.bucket.objects.keys()].slice(300, 700)) rig.bucket.delete(key);
    await read();
    await expectExact(rig);
    expect(await read()).toBe(0);
  },
);

test('what could not be fetched is looked at again, and other rules look at everything', async () => {
  const { rig, read } = await settled();
  await using _ = rig;
  rig.breakSource = (source) => ({
    ...source,
    read: async (entry, range, signal) => {
      if (entry.key === 'k00100') throw new Error('broken');
      return source.read(entry, range, signal);
    },
  });
  rig.bucket.put('k00100', 'cannot be read');
  await expect(rig.sync()).rejects.toThrow('broken');
  rig.breakSource = (source) => source;
  await rig.abandon();
  await read();
  await expectExact(rig);
  rig.rules = { ...rig.rules, exclude: ['k000*'] };
  await read();
  await expectExact(rig);
  expect(await read()).toBe(0);
  rig.rules = { ...rig.rules, exclude: [] };
  await read();
  await expectExact(rig);
});

test('a run that ended early leaves nothing behind that a later one could believe', async () => {
  const { rig, read } = await settled();
  await using _ = rig;
  const old = rig.bucket.objects.get('k00500');
  if (!old) throw new Error('no object');
  // The run gets as far as committing the change, and dies before its end.
  rig.bucket.put('k00500', 'changed for a moment');
  const before = rig.breakStore;
  rig.breakStore = (store) => ({
    ...before(store),
    missingShare: async () => {
      throw new Error('died');
    },
  });
  await expect(rig.sync()).rejects.toThrow('died');
  expect((await rig.documents()).get('k00500')).toBe('changed for a moment');
  await rig.abandon();
  rig.breakStore = before;
  // The object is what it was, with the version that it had: the listing is as an older run knew it.
  rig.bucket.objects.set('k00500', old);
  await read();
  await expectExact(rig);
  expect(await read()).toBe(0);
});

test('rules that change and change back while no run completes are no proof of anything', async () => {
  const { rig, read } = await settled();
  await using _ = rig;
  const before = rig.breakStore;
  rig.rules = { ...rig.rules, exclude: ['k0001*'] };
  rig.breakStore = (store) => ({
    ...before(store),
    removeMissing: async (limit) => {
      await store.removeMissing(limit);
      throw new Error('died');
    },
  });
  await expect(rig.sync()).rejects.toThrow('died');
  await rig.abandon();
  rig.breakStore = before;
  rig.rules = { ...rig.rules, exclude: [] };
  await read();
  await expectExact(rig);
});

test('a stretch without a chunk is not overlooked when the key goes with which it began', async () => {
  const { rig } = await settled();
  await using _ = rig;
  const chunks = await rig.db.query<{ from: string }>(
    "select from_key as from from lockgate.listing_chunk where from_key > '' order by from_key",
  );
  const starts = chunks.map(({ from }) => from);
  const [begin = '', end = ''] = starts.slice(5, 7);
  await rig.db.query('delete from lockgate.listing_chunk where from_key = $1', [begin]);
  for (const key of [...rig.bucket.objects.keys()].filter((each) => each >= begin && each < end))
    rig.bucket.delete(key);
  await rig.sync();
  await expectExact(rig);
});
