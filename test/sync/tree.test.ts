import fc from 'fast-check';
import { expect, test } from 'vitest';
import { memoryTree, memoryTreeOf } from '../../connectors/memory/tree.ts';
import { listDocuments } from '../../src/collections/documents.ts';
import { Rig } from './rig.ts';

const pick = fc.nat({ max: 1000 });
const name = fc.constantFrom('a', 'b', 'ü', '😀', 'x.txt', 'y.pdf');
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('add file' as const), pick, name, body: fc.string({ maxLength: 9 }) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('add folder' as const), pick, name }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('write' as const), pick, body: fc.string({ maxLength: 9 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('rename' as const), pick, name }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('move' as const), pick, to: pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('forget' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('filter' as const),
      exclude: fc.constantFrom<string[]>([], ['**/*.txt'], ['a/**']),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('page size' as const), size: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('sync' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('interrupted' as const), after: fc.nat({ max: 8 }), resume: fc.boolean() }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

test('after any history of a tree the collection has its files under their paths, and each keeps its identity', async () => {
  await using rig = await Rig.open(memoryTree);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), async (steps) => {
      for (const each of steps) await play(rig, each);
      if (await rig.isRunning()) await rig.sync();
      await rig.sync();
      const wanted = files(rig);
      expect(await rig.paths()).toEqual(wanted);
      expect(await rig.replayPaths()).toEqual(wanted);
      expect(await rig.failures()).toEqual([]);
    }),
    { numRuns: 120, endOnFailure: false },
  );
}, 300_000);

/** Key, path and body of the files that the rules want. */
function files(rig: Rig): [string, string, string][] {
  const tree = memoryTreeOf(rig.bucketName);
  return [...tree.items.values()]
    .flatMap(({ key, body }): [string, string, string][] => (body ? [[key, tree.pathOf(key), body.toString()]] : []))
    .filter(([, path]) => rig.selects(path))
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

async function play(rig: Rig, each: Step): Promise<void> {
  const tree = memoryTreeOf(rig.bucketName);
  const items = [...tree.items.values()];
  const folders = items.filter(({ body }) => body === null);
  const others = items.filter(({ key }) => key !== 'root');
  const folder = 'pick' in each ? folders[each.pick % folders.length] : undefined;
  const item = 'pick' in each && others.length > 0 ? others[each.pick % others.length] : undefined;
  if (each.do === 'add file' && folder) tree.addFile(folder.key, each.name, each.body);
  if (each.do === 'add folder' && folder) tree.addFolder(folder.key, each.name);
  if (each.do === 'write' && item?.body) tree.change(item.key, { body: each.body });
  if (each.do === 'rename' && item) tree.change(item.key, { name: each.name });
  if (each.do === 'move' && item) {
    const to = folders[each.to % folders.length];
    if (to && !tree.isBelow(to.key, item.key)) tree.change(item.key, { parent: to.key });
  }
  if (each.do === 'remove' && item) tree.remove(item.key);
  if (each.do === 'forget') tree.generation++;
  if (each.do === 'filter') rig.rules = { ...rig.rules, exclude: each.exclude };
  if (each.do === 'page size') tree.pageSize = each.size;
  if (each.do === 'sync') await rig.sync();
  if (each.do === 'interrupted') await interrupted(rig, each.after, each.resume);
}

async function interrupted(rig: Rig, after: number, resume: boolean): Promise<void> {
  let calls = 0;
  const stop = new AbortController();
  const count = () => {
    if (calls++ >= after) stop.abort(new Error('interrupted'));
  };
  rig.breakStore = (store) => ({
    ...store,
    mirror: {
      ...store.mirror,
      apply: (...words) => {
        count();
        return store.mirror.apply(...words);
      },
    },
    commit: (...words) => {
      count();
      return store.commit(...words);
    },
  });
  await rig.sync(stop.signal).catch((error) => expect(String(error)).toContain('interrupted'));
  rig.breakStore = (store) => store;
  if (!resume) await rig.abandon();
}

test('a renamed folder moves every document below it, and fetches none again', async () => {
  await using rig = await Rig.open(memoryTree);
  const tree = memoryTreeOf(rig.bucketName);
  tree.pageSize = 1000;
  const deep = tree.addFolder(tree.addFolder('root', 'reports'), '2026');
  for (let i = 0; i < 20; i++) tree.addFile(deep, `${i}.txt`, `text ${i}`);
  await rig.sync();
  const before = await rig.ids();
  const reports = [...tree.items.values()].find(({ name }) => name === 'reports');
  tree.change(reports?.key as string, { name: 'archive' });
  let reads = 0;
  rig.breakSource = (source) => ({
    ...source,
    read: (...words) => {
      reads++;
      return source.read(...words);
    },
  });
  const { runId } = await rig.sync();
  expect(reads).toBe(0);
  expect((await rig.paths()).every(([, path]) => path.startsWith('archive/2026/'))).toBe(true);
  expect(await rig.ids()).toEqual(before);
  const [run] = await rig.db.query<{ moved: number; changed: number; removed: number }>(
    'select moved, changed, removed from lockgate.run where id = $1',
    [runId],
  );
  expect(run).toEqual({ moved: 20, changed: 0, removed: 0 });
});

test('content that is not what was listed is fetched once more, and then kept with a warning', async () => {
  await using rig = await Rig.open(memoryTree);
  const tree = memoryTreeOf(rig.bucketName);
  tree.addFile('root', 'report.docx', 'as listed');
  let reads = 0;
  rig.breakSource = (source) => ({
    ...source,
    read: async (entry, range, signal) => {
      reads++;
      const content = await source.read(entry, range, signal);
      const body = (async function* () {
        yield Buffer.from('rewritten by the source');
      })();
      return { ...content, body, warning: () => 'differs' };
    },
  });
  await rig.sync();
  expect(reads).toBe(2);
  expect((await rig.paths()).map(([, , body]) => body)).toEqual(['rewritten by the source']);
  await rig.sync();
  expect(reads).toBe(2);
});

test('what is granted on a folder is read anew for every document below it, and for no other', async () => {
  await using rig = await Rig.open(memoryTree);
  const tree = memoryTreeOf(rig.bucketName);
  tree.keepsGrants = true;
  const shared = tree.addFolder('root', 'shared');
  const below = tree.addFile(tree.addFolder(shared, 'deep'), 'a.txt', 'a');
  const other = tree.addFile('root', 'b.txt', 'b');
  const reads: string[] = [];
  rig.breakSource = (source) => ({
    ...source,
    read: (entry, ...words) => {
      reads.push(entry.key);
      return source.read(entry, ...words);
    },
  });
  await rig.sync();
  await rig.sync();
  expect(reads.splice(0).sort()).toEqual([other, below].sort());
  tree.share(shared);
  await rig.sync();
  expect(reads.splice(0)).toEqual([below]);
  tree.share(other);
  await rig.sync();
  expect(reads.splice(0)).toEqual([other]);
  tree.generation++;
  await rig.sync();
  expect(reads.splice(0)).toEqual([]);
  const { items } = await listDocuments(rig.db, rig.collectionId, 10, null);
  expect(items.every(({ grants }) => grants?.[0]?.kind === 'user')).toBe(true);
});
