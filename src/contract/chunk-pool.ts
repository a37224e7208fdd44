/**
 * Chunks of large bodies, lent out by whoever receives bytes and given back by whoever is done with them, so that a gigabyte that passes
 * through does not have a gigabyte of memory made and cleared for it. Who does not give one back has it for ever: it is collected like
 * everything else, and never written to again. They lie in memory that threads can share, up to a bound: V8 does not know how much hangs
 * on such memory that nobody uses any more, and collects it late.
 */

/** Files are written several times as fast in pieces of this size as in such of a quarter of it. */
export const CHUNK_BYTES = 1024 * 1024;
const MOST_SHARED = 128;
/** More than this many that lie about unused go, and all of them when none was asked for in so long. */
const MOST_FREE = 128;
const UNUSED_MS = 10_000;

const free: ArrayBufferLike[] = [];
const lent = new WeakSet<ArrayBufferLike>();
const collected = new FinalizationRegistry<null>(() => {
  shared--;
});
let shared = 0;
let wasTaken = false;
let sweeping: NodeJS.Timeout | null = null;

/** Its bytes are whatever they were. */
export function takeChunk(): Buffer {
  const memory = free.pop() ?? newMemory();
  lent.add(memory);
  wasTaken = true;
  sweeping ??= setInterval(sweep, UNUSED_MS).unref();
  return Buffer.from(memory);
}

/** The memory of a chunk, or of a part of one, is free for others. Does nothing with what was not lent out. */
export function giveBack(chunk: Uint8Array): void {
  if (lent.delete(chunk.buffer) && free.length < MOST_FREE) free.push(chunk.buffer);
}

/** Whether another thread can see it where it is. */
export function isShared(chunk: Uint8Array): boolean {
  return chunk.buffer instanceof SharedArrayBuffer;
}

function newMemory(): ArrayBufferLike {
  if (shared >= MOST_SHARED) return Buffer.allocUnsafeSlow(CHUNK_BYTES).buffer;
  shared++;
  const memory = new SharedArrayBuffer(CHUNK_BYTES);
  collected.register(memory, null);
  return memory;
}

function sweep(): void {
  if (!wasTaken) {
    free.length = 0;
    clearInterval(sweeping ?? undefined);
    sweeping = null;
  }
  wasTaken = false;
}
