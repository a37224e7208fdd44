/**
 * Chunks of large bodies, lent out by whoever receives bytes and given back by whoever is done with them, so that a gigabyte that passes
 * through does not have a gigabyte of memory made and cleared for it. Who does not give one back has it for ever: it is collected like
 * everything else, and never written to again.
 */

/** Files are written several times as fast in pieces of this size as in such of a quarter of it. */
export const CHUNK_BYTES = 1024 * 1024;
/** More than this many that lie about unused go. */
const MOST_FREE = 32;

const free: SharedArrayBuffer[] = [];
const lent = new WeakSet<ArrayBufferLike>();

/** Its bytes are whatever they were. In memory that threads can share. */
export function takeChunk(): Buffer<SharedArrayBuffer> {
  const memory = free.pop() ?? new SharedArrayBuffer(CHUNK_BYTES);
  lent.add(memory);
  return Buffer.from(memory);
}

/** The memory of a chunk, or of a part of one, is free for others. Does nothing with what was not lent out. */
export function giveBack(chunk: Uint8Array): void {
  if (lent.delete(chunk.buffer) && free.length < MOST_FREE) free.push(chunk.buffer as SharedArrayBuffer);
}

export function isShared(chunk: Uint8Array): boolean {
  return chunk.buffer instanceof SharedArrayBuffer;
}
