import { mkdtemp, open as openFile, readdir, rm, stat, truncate, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openPackIndex } from '../../src/collections/pack-index.ts';
import { openDirectoryStore } from '../../src/content/directory.ts';
import type { ContentStore, StagedContent } from '../../src/contract/content-store.ts';
import { freshDatabase } from '../database.ts';

const signal = new AbortController().signal;
let db: Awaited<ReturnType<typeof freshDatabase>>;
let root: string;
const opened: ContentStore[] = [];
const open = async (keptSeconds = 0) => {
  const store = await openDirectoryStore(
    root,
    openPackIndex(async () => db),
    keptSeconds,
  );
  opened.push(store);
  return store;
};

beforeEach(async () => {
  db = await freshDatabase();
  root = join(await mkdtemp(join(tmpdir(), 'lockgate-packs-')), 'content');
});
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close?.();
  await db[Symbol.asyncDispose]();
  await rm(join(root, '..'), { recursive: true });
});

async function put(store: ContentStore, texts: readonly string[]): Promise<string[]> {
  const staged = await Promise.all(texts.map((text) => store.stage(Buffer.from(text), signal)));
  await store.commit(staged);
  return staged.map(({ sha256 }) => sha256);
}

async function get(store: ContentStore, sha256: string): Promise<string> {
  return Buffer.concat(await Array.fromAsync(store.read(sha256))).toString();
}

const files = () => readdir(join(root, 'packs')).catch(() => []);

/** As if nobody had written to any pack for hours. */
async function idle(): Promise<void> {
  const longAgo = new Date(Date.now() - 5 * 3_600_000);
  for (const name of await files()) await utimes(join(root, 'packs', name), longAgo, longAgo);
}

const TEXTS = Array.from({ length: 3000 }, (_, i) => `content ${i} `.repeat((i % 40) + 1));

test('thousands of small contents lie in one file, and each is read by itself and by ranges', async () => {
  const store = await open();
  const hashes = await put(store, TEXTS);
  expect(await files()).toHaveLength(1);
  const another = await open();
  for (const i of [0, 1, 999, 2999]) {
    expect(await get(another, hashes[i] as string)).toBe(TEXTS[i]);
    const part = Buffer.concat(await Array.fromAsync(another.read(hashes[i] as string, { start: 3, end: 7 })));
    expect(part.toString()).toBe(TEXTS[i]?.slice(3, 7));
  }
  expect(await Array.fromAsync(another.read(hashes[0] as string, { start: 5000 }))).toEqual([]);
  expect((await Array.fromAsync(another.list())).length).toBe(3000);
});

test('what several processes store at once is there once, whoever was first', async () => {
  const stores = await Promise.all([open(), open(), open()]);
  await Promise.all(stores.map((store) => put(store, TEXTS.slice(0, 500))));
  expect((await Array.fromAsync((stores[0] as ContentStore).list())).length).toBe(500);
  expect((await files()).length).toBeLessThanOrEqual(3);
  for (const store of stores)
    expect(await get(store, (await put(store, [TEXTS[7] as string]))[0] as string)).toBe(TEXTS[7]);
});

test('a pack that is mostly nobody’s is rewritten, also while its writer goes on, and every content stays readable', async () => {
  const [writer, collector] = [await open(), await open()];
  const hashes = await put(writer, TEXTS);
  const [name] = await files();
  const before = (await stat(join(root, 'packs', name as string))).size;
  for (const sha256 of hashes.slice(0, 2500)) await collector.remove(sha256);
  expect(await collector.compact?.(signal)).toBe(0);
  await idle();
  const reading = writer.read(hashes[2999] as string)[Symbol.asyncIterator]();
  const first = await reading.next();
  expect(await collector.compact?.(signal)).toBeGreaterThan(before / 2);
  expect(await files()).not.toContain(name);
  // Whoever was reading reads on; others find it where it is now.
  expect(Buffer.from(first.value as Uint8Array).toString()).toBe(TEXTS[2999]);
  for (const i of [2500, 2750, 2999]) expect(await get(writer, hashes[i] as string)).toBe(TEXTS[i]);
  await expect(get(writer, hashes[0] as string)).rejects.toMatchObject({ code: 'content_not_found' });
  // The writer's pack is gone under its hands: it begins another, and loses nothing.
  const [late] = await put(writer, ['later than that']);
  expect(await get(collector, late as string)).toBe('later than that');
  await idle();
  await collector.compact?.(signal);
  for (const i of [2500, 2750, 2999]) expect(await get(writer, hashes[i] as string)).toBe(TEXTS[i]);
  expect(await get(writer, late as string)).toBe('later than that');
});

test('bytes that were written and never taken over are nobody’s, and go with their pack', async () => {
  const index = openPackIndex(async () => db);
  const broken = await openDirectoryStore(root, {
    ...index,
    add: async () => {
      throw new Error('the database is away');
    },
  });
  await expect(put(broken, TEXTS.slice(0, 100))).rejects.toThrow('away');
  await broken.close?.();
  const store = await open();
  expect(await Array.fromAsync(store.list())).toEqual([]);
  await idle();
  await store.compact?.(signal);
  expect(await files()).toEqual([]);
  const hashes = await put(store, TEXTS.slice(0, 100));
  for (const [i, sha256] of hashes.entries()) expect(await get(store, sha256)).toBe(TEXTS[i]);
});

const LARGER = Array.from({ length: 20 }, (_, i) => `larger content ${i} `.repeat(15_000));
const stageAll = (store: ContentStore, texts: readonly string[]) =>
  Promise.all(texts.map((text) => store.stage(Buffer.from(text), signal)));
const bytesIn = async () => {
  const sizes = await Promise.all((await files()).map(async (name) => (await stat(join(root, 'packs', name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
};

test('larger ones are written at once and do not wait in memory, and are nobody’s until they are committed', async () => {
  const store = await open();
  const staged = await stageAll(store, [...LARGER, ...LARGER]);
  expect(staged.every(({ inMemory }) => inMemory === undefined)).toBe(true);
  // Once, each batch of them up to the end of its last page.
  const bytes = LARGER.join('').length;
  expect(await bytesIn()).toBeGreaterThanOrEqual(bytes);
  expect(await bytesIn()).toBeLessThan(bytes + LARGER.length * 4096);
  expect(await Array.fromAsync(store.list())).toEqual([]);
  const kept = staged.slice(0, 12);
  await store.discard(staged.slice(12));
  await Promise.all([store.commit(kept.slice(0, 7)), store.commit(kept.slice(5))]);
  expect((await Array.fromAsync(store.list())).length).toBe(12);
  for (const [i, { sha256 }] of kept.entries()) expect(await get(store, sha256)).toBe(LARGER[i]);
  await expect(store.commit(staged.slice(12, 13))).rejects.toMatchObject({ code: 'content_lost' });
});

test('a pack that is closed between writing and committing loses nothing', async () => {
  const store = await open();
  const staged = await stageAll(store, LARGER);
  await db.query('update lockgate.pack set closed_at = now()');
  await store.commit(staged.slice(0, 10));
  const hashes = await put(store, TEXTS.slice(0, 10));
  await store.commit(staged.slice(10));
  for (const [i, { sha256 }] of staged.entries()) expect(await get(store, sha256)).toBe(LARGER[i]);
  for (const [i, sha256] of hashes.entries()) expect(await get(store, sha256)).toBe(TEXTS[i]);
  expect((await files()).length).toBe(2);
});

test('what is in the store already is not written again, and is kept until its commit in case it goes meanwhile', async () => {
  const store = await open();
  const [sha256 = ''] = await put(store, LARGER.slice(0, 1));
  const before = await bytesIn();
  const [again] = await stageAll(store, LARGER.slice(0, 1));
  expect(again).toMatchObject({ sha256, inMemory: true });
  expect(await bytesIn()).toBe(before);
  await store.remove(sha256);
  await store.commit([again as NonNullable<typeof again>]);
  expect(await get(store, sha256)).toBe(LARGER[0]);
});

/** A store that says how often it has looked for what is there. */
async function openCounting(): Promise<{ store: ContentStore; questions: () => number }> {
  const index = openPackIndex(async () => db);
  let questions = 0;
  const find: typeof index.find = (hashes) => {
    questions++;
    return index.find(hashes);
  };
  const store = await openDirectoryStore(root, { ...index, find });
  opened.push(store);
  return { store, questions: () => questions };
}

test('where all is new, few are asked about; what comes again is written again for a short while only, and reads as it was', async () => {
  const { store, questions } = await openCounting();
  const texts = Array.from({ length: 150 }, (_, i) => `content ${i} `.repeat(15_000));
  const oneByOne = async (these: readonly string[]) => {
    const staged = [];
    for (const text of these) staged.push(await store.stage(Buffer.from(text), signal));
    await store.commit(staged);
    return staged.map(({ sha256 }) => sha256);
  };
  const hashes = await oneByOne(texts);
  expect(questions()).toBeLessThan(40);
  const before = await bytesIn();
  for (let i = 0; i < texts.length; i += 10) await oneByOne(texts.slice(i, i + 10));
  expect(await bytesIn()).toBeLessThan(before * 1.1);
  for (const [i, sha256] of hashes.entries()) expect(await get(store, sha256)).toBe(texts[i]);
}, 30_000);

test('commits of nothing but new contents seldom ask; what comes again, alone or among new ones, is kept once and reads as it was', async () => {
  const { store, questions } = await openCounting();
  const commits = Array.from({ length: 20 }, (_, i) => TEXTS.slice(i * 10, i * 10 + 10));
  const hashes: string[] = [];
  for (const texts of commits) hashes.push(...(await put(store, texts)));
  expect(questions()).toBeLessThan(10);
  const before = await bytesIn();
  for (const texts of commits) await put(store, texts);
  expect(await bytesIn()).toBeLessThan(before * 1.2);
  // By now it asks each time. Then it trusts again, and one that it has comes among new ones.
  for (let i = 300; i < 310; i++) hashes.push(...(await put(store, [TEXTS[i] as string])));
  expect(await put(store, ['entirely new', TEXTS[7] as string])).toContain(hashes[7]);
  expect(await Array.fromAsync(store.list())).toHaveLength(211);
  for (const [i, sha256] of hashes.entries()) expect(await get(store, sha256)).toBe(TEXTS[i < 200 ? i : i + 100]);
});

test('what cannot be written at once fails alone, and is written when it comes again', async () => {
  const index = openPackIndex(async () => db);
  let isAway = true;
  const find: typeof index.find = async (hashes) => {
    if (isAway) throw new Error('the database is away');
    return index.find(hashes);
  };
  const store = await openDirectoryStore(root, { ...index, find });
  opened.push(store);
  const failed = await Promise.allSettled([...LARGER, ...LARGER].map((text) => store.stage(Buffer.from(text), signal)));
  expect(failed.every(({ status }) => status === 'rejected')).toBe(true);
  isAway = false;
  const hashes = await put(store, LARGER);
  for (const [i, sha256] of hashes.entries()) expect(await get(store, sha256)).toBe(LARGER[i]);
});

test('a content that the disk has damaged is not copied as if it were whole', async () => {
  const store = await open();
  const hashes = await put(store, ['good '.repeat(100), 'lost '.repeat(100)]);
  const [name] = await files();
  await truncate(join(root, 'packs', name as string), 700);
  await idle();
  const other = await open();
  await other.compact?.(signal);
  expect(await get(other, hashes[0] as string)).toBe('good '.repeat(100));
  // What is left of it stays for a person to look at.
  expect(await files()).toContain(name);
  expect((await get(other, hashes[1] as string)).length).toBeLessThan(500);
});

test('a pack that was rewritten stays for a day, so that a backup of the database finds what it names', async () => {
  const store = await open(24 * 3600);
  const hashes = await put(store, TEXTS.slice(0, 100));
  const [name] = await files();
  await store.close?.();
  await idle();
  const other = await open(24 * 3600);
  expect(await other.compact?.(signal)).toBe(0);
  expect(await files()).toContain(name);
  for (const [i, sha256] of hashes.entries()) expect(await get(other, sha256)).toBe(TEXTS[i]);
  await db.query(`update lockgate.pack set closed_at = now() - interval '2 days' where id = 1`);
  await other.compact?.(signal);
  expect(await files()).not.toContain(name);
  for (const [i, sha256] of hashes.entries()) expect(await get(other, sha256)).toBe(TEXTS[i]);
});

test('what lay in a pack when the disk failed is never taken for stored, though the kernel tells of it once', async () => {
  const store = await open();
  // Large enough to be written ahead of its commit, so that both lie in one pack already.
  const [first, second] = await Promise.all(['a', 'b'].map((text) => store.stage(Buffer.alloc(300_000, text), signal)));
  await using any = await openFile(root);
  const failing = vi.spyOn(Object.getPrototypeOf(any), 'datasync');
  failing.mockRejectedValueOnce(Object.assign(new Error('fails'), { code: 'EIO' }));
  try {
    await expect(store.commit([first as StagedContent])).rejects.toMatchObject({ code: 'content_store_unavailable' });
    await expect(store.commit([second as StagedContent])).rejects.toMatchObject({ code: 'content_store_unavailable' });
  } finally {
    failing.mockRestore();
  }
  expect(await Array.fromAsync(store.list())).toEqual([]);
  await store.discard([first as StagedContent, second as StagedContent]);
  const [again] = await put(store, ['a'.repeat(300_000)]);
  expect(await get(store, again as string)).toBe('a'.repeat(300_000));
  expect(await files()).toHaveLength(2);
});

test('a pack that is lost keeps no other from being rewritten', async () => {
  const writers = [await open(), await open()];
  const lost = await put(writers[0] as ContentStore, TEXTS.slice(0, 100));
  const kept = await put(writers[1] as ContentStore, TEXTS.slice(100, 3000));
  for (const writer of writers) await writer.close?.();
  const [first, second] = (await files()).sort();
  await rm(join(root, 'packs', first as string));
  const collector = await open();
  for (const sha256 of kept.slice(1)) await collector.remove(sha256);
  await idle();
  expect(await collector.compact?.(signal)).toBeGreaterThan(0);
  expect(await files()).not.toContain(second);
  expect(await get(collector, kept[0] as string)).toBe(TEXTS[100]);
  // What was lost is still known to be missing.
  expect((await Array.fromAsync(collector.list())).length).toBe(101);
  await expect(get(collector, lost[0] as string)).rejects.toThrow();
});
