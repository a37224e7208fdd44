/**
 * Chunks of large bodies, lent out by whoever receives bytes and given back by whoever is done with them, so that a gigabyte that passes
 * through does not have a gigabyte of memory made and cleared for it. They lie in memory that threads can share and that begins at a page
 * of the machine's, as what is written past the page cache must; only WebAssembly has such. Several make one block of it, and a block is
 * collected when nobody has any of them: who does not give one back has it for ever, and it is never written to again. Their number is
 * bounded, because V8 does not know how much hangs on such memory and collects it late; beyond that ordinary memory is lent.
 */

/** Files are written several times as fast in pieces of this size as in such of a quarter of it. */
export const CHUNK_BYTES = 1024 * 1024;
/** What memory, places and lengths must be multiples of to be written past the page cache. */
export const PAGE_BYTES = 4096;

const BLOCK_CHUNKS = 8;
const MOST_BLOCKS = 16;
/** All that lie about unused go when none was asked for in so long. */
const UNUSED_MS = 10_000;
const WASM_PAGE_BYTES = 64 * 1024;

/** Of https://www.w3.org/TR/wasm-js-api-2/ what is used here; TypeScript has it in the types of browsers only. */
declare const WebAssembly: {
  readonly Memory: new (pages: {
    readonly initial: number;
    readonly maximum: number;
    readonly shared: true;
  }) => { readonly buffer: SharedArrayBuffer };
};

interface Place {
  readonly memory: ArrayBufferLike;
  readonly at: number;
}

let free: Place[] = [];
/** Of each block, where the chunks begin that are lent out. */
const lent = new WeakMap<ArrayBufferLike, Set<number>>();
const collected = new FinalizationRegistry<null>(() => {
  blocks--;
});
let blocks = 0;
let wasTaken = false;
let sweeping: NodeJS.Timeout | null = null;

/** Its bytes are whatever they were. */
export function takeChunk(): Buffer {
  if (free.length === 0 && blocks < MOST_BLOCKS) addBlock();
  const place = free.pop();
  if (!place) return Buffer.allocUnsafeSlow(CHUNK_BYTES);
  const { memory, at } = place;
  lent.get(memory)?.add(at);
  wasTaken = true;
  sweeping ??= setInterval(sweep, UNUSED_MS).unref();
  return Buffer.from(memory, at, CHUNK_BYTES);
}

/** A chunk of which small bodies have a piece each; it is given back when all of them were. */
interface Divided extends Place {
  /** Where those pieces begin that are lent out. */
  readonly pieces: Set<number>;
  used: number;
}

/** By block, and by where in it they begin. */
const divided = new WeakMap<ArrayBufferLike, Map<number, Divided>>();
let dividing: Divided | null = null;

/**
 * Memory for a small body; null: the pool has none. With memory of its own for each, the collector had to run for bodies alone. Like a
 * chunk it is given back; what lies beside it belongs to others.
 */
export function takePiece(bytes: number): Buffer | null {
  if (bytes === 0 || bytes > CHUNK_BYTES) return null;
  if (!dividing || dividing.used + bytes > CHUNK_BYTES) dividing = divide();
  if (!dividing) return null;
  const at = dividing.at + dividing.used;
  dividing.used += bytes;
  dividing.pieces.add(at);
  return Buffer.from(dividing.memory, at, bytes);
}

function divide(): Divided | null {
  const before = dividing;
  dividing = null;
  if (before) joinAgain(before);
  const { buffer: memory, byteOffset: at } = takeChunk();
  if (!lent.has(memory)) return null;
  const chunk: Divided = { memory, at, pieces: new Set(), used: 0 };
  const inBlock = divided.get(memory) ?? new Map<number, Divided>();
  divided.set(memory, inBlock.set(at, chunk));
  return chunk;
}

function joinAgain(chunk: Divided): void {
  if (chunk === dividing || chunk.pieces.size > 0) return;
  const { memory, at } = chunk;
  if (divided.get(memory)?.delete(at) && lent.get(memory)?.delete(at)) free.push({ memory, at });
}

/** The memory of a piece, of a chunk, or of a part of one, is free for others. Does nothing with what was not lent out. */
export function giveBack(chunk: Uint8Array): void {
  const at = beginOf(chunk);
  const pieces = divided.get(chunk.buffer)?.get(at);
  if (pieces) {
    if (pieces.pieces.delete(chunk.byteOffset)) joinAgain(pieces);
  } else if (lent.get(chunk.buffer)?.delete(at)) free.push({ memory: chunk.buffer, at });
}

/** Where the chunk begins in which bytes lie. */
function beginOf({ byteOffset }: Uint8Array): number {
  return byteOffset - (byteOffset % CHUNK_BYTES);
}

/** Whether another thread can see it where it is. */
export function isShared(bytes: Uint8Array): boolean {
  return bytes.buffer instanceof SharedArrayBuffer;
}

/** Whether it begins at a page of the machine's memory, and up to the end of its last page nothing else lies. */
export function isPaged(bytes: Uint8Array): boolean {
  const isPiece = divided.get(bytes.buffer)?.has(beginOf(bytes)) ?? false;
  return lent.has(bytes.buffer) && bytes.byteOffset % PAGE_BYTES === 0 && !isPiece;
}

function addBlock(): void {
  const pages = (BLOCK_CHUNKS * CHUNK_BYTES) / WASM_PAGE_BYTES;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer;
  blocks++;
  collected.register(memory, null);
  lent.set(memory, new Set());
  // The first one is lent first: what nobody has touched takes no memory.
  for (let i = BLOCK_CHUNKS - 1; i >= 0; i--) free.push({ memory, at: i * CHUNK_BYTES });
}

function sweep(): void {
  if (!wasTaken) {
    free = [];
    dividing = null;
    clearInterval(sweeping ?? undefined);
    sweeping = null;
  }
  wasTaken = false;
}
