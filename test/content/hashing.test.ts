import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { BodyHash, sha256Of } from '../../src/content/hashing.ts';
import { stage } from '../../src/content/staging.ts';
import { CHUNK_BYTES, giveBack, isPaged, isShared, takeChunk, takePiece } from '../../src/contract/chunk-pool.ts';

const expected = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const signal = new AbortController().signal;

/** Bytes in chunks of the pool, as they come from a source. */
function* chunksOf(bytes: Buffer): Iterable<Buffer> {
  for (let from = 0; from < bytes.length; from += CHUNK_BYTES) {
    const chunk = takeChunk();
    yield chunk.subarray(0, bytes.copy(chunk, 0, from));
  }
}

test('bodies that are hashed side by side by the thread have the hashes of their bytes', async () => {
  const bodies = Array.from({ length: 12 }, (_, i) => randomBytes(i * 700_001));
  const hashed = await Promise.all(
    bodies.map(async (body, i) => {
      const hash = new BodyHash();
      for (const chunk of chunksOf(body)) {
        // One that did not come from the pool in between, as of a slow source.
        await hash.update(i % 3 === 0 ? Buffer.from(chunk) : chunk);
        giveBack(chunk);
      }
      if (i % 5 === 4) hash.forget();
      return hash.digest();
    }),
  );
  for (const [i, body] of bodies.entries()) if (i % 5 !== 4) expect([i, hashed[i]]).toEqual([i, expected(body)]);
  const [whole] = [...chunksOf(randomBytes(600_000))] as [Buffer];
  expect(isShared(whole)).toBe(true);
  expect(await sha256Of(whole)).toBe(expected(whole));
  expect(await sha256Of(Buffer.from(whole))).toBe(expected(whole));
});

test('what is staged while its chunks are used again is what came', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lockgate-staging-'));
  try {
    const bodies = Array.from({ length: 8 }, () => randomBytes(9 * CHUNK_BYTES + 17));
    const staged = await Promise.all(
      bodies.map((body) =>
        stage(
          folder,
          (async function* () {
            for (const chunk of chunksOf(body)) {
              yield chunk;
              await new Promise((resolve) => setImmediate(resolve));
            }
          })(),
          signal,
        ),
      ),
    );
    for (const [i, { sha256, size, handle }] of staged.entries()) {
      expect([sha256, size]).toEqual([expected(bodies[i] as Buffer), bodies[i]?.length]);
      expect(expected(await readFile(handle))).toBe(sha256);
    }
    const broken = stage(
      folder,
      (async function* () {
        yield* chunksOf(bodies[0] as Buffer);
        throw new Error('the source broke off');
      })(),
      signal,
    );
    await expect(broken).rejects.toThrow('broke off');
    expect(await readdir(folder)).toHaveLength(8);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('who gives no chunk back gets ordinary memory in the end, which is collected as usual', () => {
  const taken = Array.from({ length: 300 }, takeChunk);
  expect(taken.filter(isShared).length).toBeLessThanOrEqual(128);
  for (const chunk of taken) giveBack(chunk);
  for (const chunk of taken) giveBack(chunk);
  const again = Array.from({ length: 300 }, takeChunk);
  // Nobody has the memory of another.
  for (const [i, chunk] of again.entries()) chunk.fill(i % 251);
  for (const [i, chunk] of again.entries()) expect(chunk.every((byte) => byte === i % 251)).toBe(true);
  for (const chunk of again) giveBack(chunk);
});

test('small bodies share a chunk, which is lent again when all of them were given back, and nobody has the memory of another', () => {
  const held = new Map<Buffer, number>();
  let random = 7;
  const next = (below: number) => {
    random = (random * 48_271) % 0x7fffffff;
    return random % below;
  };
  let most = 0;
  for (let n = 0; n < 20_000; n++) {
    if (held.size > 0 && next(100) < (held.size > 1500 ? 80 : 40)) {
      const [piece, mark] = [...held].at(next(held.size)) as [Buffer, number];
      expect([piece[0], piece.at(-1)]).toEqual([mark, mark]);
      held.delete(piece);
      giveBack(piece);
      // Whoever gives back twice takes nothing from others.
      if (next(4) === 0) giveBack(piece);
    } else {
      const piece = takePiece(1 + next(next(20) === 0 ? 300_000 : 5000));
      expect(isPaged(piece)).toBe(false);
      held.set(piece, piece.fill(n % 251)[0] as number);
    }
    most = Math.max(most, held.size);
    if (n % 5000 === 0) for (const [piece, mark] of held) expect(piece.every((byte) => byte === mark)).toBe(true);
  }
  expect(most).toBeGreaterThan(1000);
  for (const piece of held.keys()) giveBack(piece);
  expect(takePiece(0)).toHaveLength(0);
  // What was given back is lent again: ten times as much as there is at once takes no more memory.
  const memory = new Set<ArrayBufferLike>();
  for (let n = 0; n < 10; n++) {
    const pieces = Array.from({ length: 5000 }, () => takePiece(4096));
    for (const piece of pieces) memory.add(piece.buffer);
    for (const piece of pieces) giveBack(piece);
  }
  expect(memory.size).toBeLessThanOrEqual(21);
});
