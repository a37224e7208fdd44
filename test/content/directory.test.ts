import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { openDirectoryStore } from '../../src/content/directory.ts';
import type { ContentStore } from '../../src/contract/content-store.ts';

const signal = new AbortController().signal;
let root: string;
let store: ContentStore;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lockgate-content-'));
  store = await openDirectoryStore(root);
  return () => rm(root, { recursive: true });
});

async function* body(...chunks: (Buffer | string)[]) {
  for (const chunk of chunks) yield Buffer.from(chunk);
}

async function files(): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
}

const read = async (sha256: string, range?: { start: number; end?: number }) =>
  Buffer.concat(await Array.fromAsync(store.read(sha256, range)));

test('content is readable under its hash only when it is committed', async () => {
  const staged = await store.stage(body('hello ', 'world'), signal);
  expect(staged).toMatchObject({
    sha256: 'b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9',
    size: 11,
  });
  await expect(read(staged.sha256)).rejects.toMatchObject({ code: 'content_not_found' });
  await store.commit([staged]);
  expect((await read(staged.sha256)).toString()).toBe('hello world');
  // A commit may be repeated: the first one's answer may have been lost.
  await store.commit([staged]);
  expect((await files()).length).toBe(1);
});

test('identical content is stored once, however often and at once it comes', async () => {
  const content = randomBytes(200_000);
  const staged = await Promise.all(Array.from({ length: 10 }, () => store.stage(body(content), signal)));
  await Promise.all(staged.map((each) => store.commit([each])));
  expect(await files()).toEqual([staged[0]?.sha256]);
  expect(
    (
      await stat(
        join(root, staged[0]?.sha256.slice(0, 2) ?? '', staged[0]?.sha256.slice(2, 4) ?? '', staged[0]?.sha256 ?? ''),
      )
    ).mode & 0o077,
  ).toBe(0);
});

test('ranges, the empty content and what is no hash', async () => {
  const staged = [await store.stage(body('0123456789'), signal), await store.stage(body(), signal)];
  await store.commit(staged);
  const [digits, empty] = staged.map(({ sha256 }) => sha256) as [string, string];
  expect((await read(digits, { start: 3, end: 7 })).toString()).toBe('3456');
  expect((await read(digits, { start: 8 })).toString()).toBe('89');
  expect((await read(digits, { start: 4, end: 4 })).length).toBe(0);
  expect((await read(empty)).length).toBe(0);
  for (const name of ['../../etc/passwd', '', digits.toUpperCase(), `${digits}0`]) {
    await expect(read(name)).rejects.toMatchObject({ code: 'content_not_found' });
  }
});

test('a body that fails or is aborted leaves nothing behind', async () => {
  const failing = (async function* () {
    yield Buffer.from('half');
    throw new Error('broken');
  })();
  await expect(store.stage(failing, signal)).rejects.toThrow('broken');
  await expect(store.stage(body('a', 'b'), AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
  const discarded = await store.stage(body('unwanted'), signal);
  await store.discard([discarded]);
  expect(await files()).toEqual([]);
  await expect(store.commit([discarded])).rejects.toMatchObject({ code: 'content_lost' });
});

test('a sweep removes what dead processes left, and nothing of living ones', async () => {
  const mine = await store.stage(body('mine'), signal);
  // Beyond the largest process number that Linux gives out.
  await writeFile(join(root, 'staging', '4194999-dead'), 'x');
  await writeFile(join(root, 'staging', '1-init'), 'x');
  await store.sweep();
  expect((await readdir(join(root, 'staging'))).length).toBe(2);
  await store.commit([mine]);
  expect((await read(mine.sha256)).toString()).toBe('mine');
});
