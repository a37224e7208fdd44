import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PackFile } from '../../src/content/pack-file.ts';
import { PagedFile } from '../../src/content/paged-file.ts';
import { CHUNK_BYTES, giveBack, isPaged, takeChunk } from '../../src/contract/chunk-pool.ts';
import { seeded } from '../torment/torment.ts';

let folder: string;
beforeAll(async () => {
  // On a disk: what lies in memory takes everything past the page cache.
  folder = await mkdtemp('/var/tmp/lockgate-paged-');
});
afterAll(() => rm(folder, { recursive: true }));

/** Bytes in a chunk of the pool that has had something else in it. */
function inChunk(bytes: Buffer): Buffer {
  const chunk = takeChunk().fill(0xaa);
  return chunk.subarray(0, bytes.copy(chunk));
}

test('whatever the memory, the places and the lengths are, the file has what was written', async () => {
  const seed = Date.now() % 2 ** 31;
  const next = seeded(seed);
  for (let round = 0; round < 8; round++) {
    const file = await PagedFile.create(join(folder, `file ${round}`));
    const pieces: Buffer[] = [];
    let at = 0;
    for (let i = 0; i < 12; i++) {
      const length = next() < 0.4 ? CHUNK_BYTES : Math.floor(next() * 3 * 4096) + (next() < 0.3 ? 4096 : 1);
      const bytes = randomBytes(length);
      const given = next() < 0.7 ? inChunk(bytes) : bytes;
      await file.write(given, at);
      giveBack(given);
      pieces.push(bytes);
      at += length;
    }
    await file.sync();
    const expected = Buffer.concat(pieces);
    expect(Buffer.compare(await readFile(join(folder, `file ${round}`)), expected), `seed ${seed}`).toBe(0);
    expect(Buffer.compare(await file.read(100, 5000), expected.subarray(100, 5100))).toBe(0);
    await file.close();
  }
});

test('a file system that takes nothing past the page cache gets it the usual way', async () => {
  const path = join(folder, 'refused');
  const file = await PagedFile.create(path);
  const bytes = randomBytes(5000);
  // Neither at a page nor of a page's length, which no file system takes.
  await file.writePages([bytes.subarray(1)], 0);
  expect(file.isDirect).toBe(false);
  const chunk = inChunk(bytes);
  await file.write(chunk, 8192);
  giveBack(chunk);
  await file.sync();
  await file.close();
  const written = await readFile(path);
  expect(written.length).toBe(8192 + 5000);
  expect(Buffer.compare(written.subarray(0, 4999), bytes.subarray(1))).toBe(0);
  expect(Buffer.compare(written.subarray(8192), bytes)).toBe(0);
});

test('contents of a pack lie apart, and nothing but zeros lies between them', async () => {
  const seed = Date.now() % 2 ** 31;
  const next = seeded(seed);
  const path = join(folder, 'packs', '1.pack');
  const pack = await PackFile.create(path, 1);
  const placed: { at: number; bytes: Buffer }[] = [];
  const append = async () => {
    const contents = Array.from({ length: Math.floor(next() * 12) + 1 }, () =>
      randomBytes(Math.floor(next() ** 3 * CHUNK_BYTES) + 1),
    );
    const given = contents.map((bytes) => (next() < 0.5 ? inChunk(bytes) : bytes));
    const places = await pack.append(given);
    given.forEach(giveBack);
    for (const [i, bytes] of contents.entries()) placed.push({ at: places[i] as number, bytes });
  };
  for (let round = 0; round < 6; round++) await Promise.all([append(), append(), append()]);
  await pack.sync();
  const file = await readFile(path);
  let end = 0;
  for (const { at, bytes } of placed.sort((a, b) => a.at - b.at)) {
    expect(at, `seed ${seed}`).toBeGreaterThanOrEqual(end);
    expect(
      file.subarray(end, at).every((byte) => byte === 0),
      `seed ${seed}`,
    ).toBe(true);
    expect(Buffer.compare(file.subarray(at, at + bytes.length), bytes), `seed ${seed}`).toBe(0);
    expect(Buffer.compare(await pack.read(at, bytes.length), bytes)).toBe(0);
    end = at + bytes.length;
  }
  expect(
    file.subarray(end).every((byte) => byte === 0),
    `seed ${seed}`,
  ).toBe(true);
  await pack.close();
});

test('a chunk begins at a page, a part of it only where it does too, and other memory never', () => {
  const chunk = takeChunk();
  expect([isPaged(chunk), isPaged(chunk.subarray(4096)), isPaged(chunk.subarray(1))]).toEqual([true, true, false]);
  expect(isPaged(Buffer.alloc(CHUNK_BYTES))).toBe(false);
  giveBack(chunk.subarray(10, 20));
  const again = takeChunk();
  expect([again.buffer, again.byteOffset]).toEqual([chunk.buffer, chunk.byteOffset]);
  giveBack(again);
});
