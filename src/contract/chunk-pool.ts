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
  beTidy();
  return Buffer.from(memory, at, CHUNK_BYTES);
}

/** The memory of a chunk, of a part of one, or of a piece is free for others. Does nothing with what was not lent out. */
export function giveBack(bytes: Uint8Array): void {
  const pieces = divided.get(bytes.buffer);
  if (pieces) {
    if (pieces.lent.delete(bytes.byteOffset)) joinAgain(pieces);
    return;
  }
  const at = bytes.byteOffset - (bytes.byteOffset % CHUNK_BYTES);
  if (lent.get(bytes.buffer)?.delete(at)) free.push({ memory: bytes.buffer, at });
  else if (lentRooms.delete(bytes.buffer) && rooms.length < MOST_ROOMS) keepRoom(bytes.buffer);
}

/** One page is read while the next one comes. */
const MOST_ROOMS = 2;
/** A larger one is not kept. */
const ROOM_BYTES = 8 * CHUNK_BYTES;

/** The largest is the last. */
let rooms: ArrayBufferLike[] = [];
const lentRooms = new WeakSet<ArrayBufferLike>();

/** Memory for what is larger than a chunk and soon done with. It is as large as asked for, or larger; like a chunk it is given back. */
export function takeRoom(bytes: number): Buffer {
  beTidy();
  const isFitting = (rooms.at(-1)?.byteLength ?? 0) >= bytes;
  const memory =
    (isFitting && rooms.pop()) || Buffer.allocUnsafeSlow(Math.ceil(bytes / CHUNK_BYTES) * CHUNK_BYTES).buffer;
  if (memory.byteLength <= ROOM_BYTES) lentRooms.add(memory);
  return Buffer.from(memory);
}

function keepRoom(memory: ArrayBufferLike): void {
  rooms.push(memory);
  rooms.sort((a, b) => a.byteLength - b.byteLength);
}

/** Ordinary memory of which small bodies have a piece each; it is used again when all of them were given back. */
interface Divided {
  readonly memory: ArrayBufferLike;
  /** Where those pieces begin that are lent out. */
  readonly lent: Set<number>;
  used: number;
}

/** Of more than so many, those that are whole again are left to the collector. */
const MOST_WHOLE = 32;

const divided = new WeakMap<ArrayBufferLike, Divided>();
let whole: Divided[] = [];
let dividing: Divided | null = null;

/**
 * Memory for a small body, of up to `CHUNK_BYTES`. With memory of its own for each, the collector had to run for bodies alone. Like a chunk
 * it is given back; what lies beside it belongs to others.
 */
export function takePiece(bytes: number): Buffer {
  if (bytes === 0) return Buffer.alloc(0);
  const chunk = dividing && dividing.used + bytes <= CHUNK_BYTES ? dividing : divideAnother();
  const at = chunk.used;
  chunk.used += bytes;
  chunk.lent.add(at);
  return Buffer.from(chunk.memory, at, bytes);
}

function divideAnother(): Divided {
  const before = dividing;
  const next = whole.pop() ?? newDivided();
  dividing = next;
  if (before) joinAgain(before);
  beTidy();
  return next;
}

function newDivided(): Divided {
  const memory = Buffer.allocUnsafeSlow(CHUNK_BYTES).buffer;
  const chunk: Divided = { memory, lent: new Set(), used: 0 };
  divided.set(memory, chunk);
  return chunk;
}

function joinAgain(chunk: Divided): void {
  if (chunk === dividing || chunk.lent.size > 0) return;
  chunk.used = 0;
  if (whole.length < MOST_WHOLE) whole.push(chunk);
}

/** Whether it is used again when it is given back: who wants to keep it copies it. */
export function isLent(bytes: Uint8Array): boolean {
  return divided.has(bytes.buffer) || lent.has(bytes.buffer);
}

/** Whether another thread can see it where it is. */
export function isShared(bytes: Uint8Array): boolean {
  return bytes.buffer instanceof SharedArrayBuffer;
}

/** Whether it begins at a page of the machine's memory, and up to the end of its last page nothing else lies. */
export function isPaged(bytes: Uint8Array): boolean {
  return lent.has(bytes.buffer) && bytes.byteOffset % PAGE_BYTES === 0;
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

function beTidy(): void {
  wasTaken = true;
  sweeping ??= setInterval(sweep, UNUSED_MS).unref();
}

function sweep(): void {
  if (!wasTaken) {
    free = [];
    whole = [];
    rooms = [];
    dividing = null;
    clearInterval(sweeping ?? undefined);
    sweeping = null;
  }
  wasTaken = false;
}
