import { randomBytes } from 'node:crypto';
import { readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ContentStore } from '../../src/contract/content-store.ts';
import { whileTimeFlies } from '../time.ts';

/** What a store's test supplies. */
export interface ContentStoreHarness {
  readonly store: ContentStore;
  /** The local folder where bodies are staged. */
  readonly staging: string;
  /** Makes the store refuse what comes, until it is called with false; absent: the store is a folder. */
  away?(away: boolean): void;
  /** It takes requests and does not answer. */
  silent?(silent: boolean): void;
  close(): Promise<void>;
}

const signal = new AbortController().signal;

async function* body(...chunks: (Buffer | string)[]) {
  for (const chunk of chunks) yield Buffer.from(chunk);
}

/** Every promise of `ContentStore`, over a store that is empty at first. */
export function contentStoreConformance(name: string, makeHarness: () => Promise<ContentStoreHarness>): void {
  describe(`content store ${name}`, () => {
    let harness: ContentStoreHarness;
    let store: ContentStore;
    beforeAll(async () => {
      harness = await makeHarness();
      store = harness.store;
    });
    afterAll(() => harness.close(), 60_000);
    const read = async (sha256: string, range?: { start: number; end?: number }) =>
      Buffer.concat(await Array.fromAsync(store.read(sha256, range)));
    const hashes = async () => (await Array.fromAsync(store.list())).map(({ sha256 }) => sha256).sort();

    test('content is readable under its hash only when it is committed, and a commit may be repeated', async () => {
      expect(await hashes()).toEqual([]);
      const staged = await store.stage(body('hello ', 'world'), signal);
      expect(staged).toMatchObject({
        sha256: 'b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9',
        size: 11,
      });
      await expect(read(staged.sha256)).rejects.toMatchObject({ code: 'content_not_found' });
      await store.commit([staged]);
      expect((await read(staged.sha256)).toString()).toBe('hello world');
      // The first one's answer may have been lost.
      await store.commit([staged]);
      const [only] = await Array.fromAsync(store.list());
      expect(only).toMatchObject({ sha256: staged.sha256, size: 11 });
      expect(Math.abs((only?.storedAt.getTime() ?? 0) - Date.now())).toBeLessThan(60_000);
    });

    test('identical content is stored once, however often and at once it comes', async () => {
      const content = randomBytes(200_000);
      const staged = await Promise.all(Array.from({ length: 10 }, () => store.stage(body(content), signal)));
      await Promise.all(staged.slice(0, 5).map((each) => store.commit([each])));
      await store.commit(staged.slice(5));
      const sha256 = staged[0]?.sha256 ?? '';
      expect((await hashes()).filter((each) => each === sha256)).toEqual([sha256]);
      expect((await read(sha256)).equals(content)).toBe(true);
      expect(await readdir(harness.staging)).toEqual([]);
    });

    test('ranges, the empty content and what is no hash', async () => {
      const staged = [await store.stage(body('0123456789'), signal), await store.stage(body(), signal)];
      await store.commit(staged);
      const [digits, empty] = staged.map(({ sha256 }) => sha256) as [string, string];
      expect((await read(digits, { start: 3, end: 7 })).toString()).toBe('3456');
      expect((await read(digits, { start: 8 })).toString()).toBe('89');
      expect((await read(digits, { start: 4, end: 4 })).length).toBe(0);
      expect((await read(empty)).length).toBe(0);
      for (const bad of ['../../etc/passwd', '', digits.toUpperCase(), `${digits}0`]) {
        await expect(read(bad)).rejects.toMatchObject({ code: 'content_not_found' });
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
      expect(await readdir(harness.staging)).toEqual([]);
      await expect(store.commit([discarded])).rejects.toMatchObject({ code: 'content_lost' });
    });

    test('300 contents are listed, and one that is removed is gone', async () => {
      const before = (await hashes()).length;
      const staged = await Promise.all(
        Array.from({ length: 300 }, (_, n) => store.stage(body(`content ${n}`), signal)),
      );
      await store.commit(staged);
      expect((await hashes()).length).toBe(before + 300);
      const gone = staged[0]?.sha256 ?? '';
      await store.remove(gone);
      await store.remove(gone);
      await expect(read(gone)).rejects.toMatchObject({ code: 'content_not_found' });
      expect(await hashes()).not.toContain(gone);
    });

    test('a sweep removes what dead processes left, and nothing of living ones', async () => {
      // Large enough for a file of its own everywhere.
      const text = 'mine '.repeat(300_000);
      const mine = await store.stage(body(text), signal);
      const [host] = basename(mine.handle).split('-');
      // Beyond the largest process number that Linux gives out.
      const dead = [`${host}-4194999-dead`, 'another-4194999-old', '4194999-unnamed'];
      const living = [`${host}-1-init`, 'another-4194999-living'];
      for (const name of [...dead, ...living]) await writeFile(join(harness.staging, name), 'x');
      const longAgo = new Date(Date.now() - 2 * 24 * 3_600_000);
      for (const name of dead.slice(1)) await utimes(join(harness.staging, name), longAgo, longAgo);
      await store.sweep();
      expect((await readdir(harness.staging)).sort()).toEqual([...living, basename(mine.handle)].sort());
      await store.commit([mine]);
      expect((await read(mine.sha256)).toString()).toBe(text);
      for (const name of living) await rm(join(harness.staging, name));
    });

    test('a store that is away says so, and what was staged can be committed later', async (context) => {
      if (!harness.away) return context.skip('this store is a folder');
      const staged = await store.stage(body('patient content'), signal);
      harness.away(true);
      await expect(store.commit([staged])).rejects.toMatchObject({ code: 'content_store_unavailable' });
      await expect(Array.fromAsync(store.list())).rejects.toMatchObject({ code: 'content_store_unavailable' });
      await expect(read(staged.sha256)).rejects.toMatchObject({ code: 'content_store_unavailable' });
      harness.away(false);
      await store.commit([staged]);
      expect((await read(staged.sha256)).toString()).toBe('patient content');
    });

    test('a store that does not answer is away after a while, and there again when it does', async (context) => {
      if (!harness.silent) return context.skip('this store always answers');
      const staged = await store.stage(body('unanswered content'), signal);
      harness.silent(true);
      await whileTimeFlies(() =>
        expect(store.commit([staged])).rejects.toMatchObject({ code: 'content_store_unavailable' }),
      );
      harness.silent(false);
      await store.commit([staged]);
      expect((await read(staged.sha256)).toString()).toBe('unanswered content');
    });
  });
}
