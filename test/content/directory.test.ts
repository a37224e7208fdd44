import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
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
