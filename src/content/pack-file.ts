import { hash } from 'node:crypto';
import { type FileHandle, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CHUNK_BYTES, giveBack, isPaged, PAGE_BYTES, takeChunk } from '../contract/chunk-pool.ts';
import type { PackedContent } from '../contract/content-store.ts';
import { PagedFile, readWhole } from './paged-file.ts';
import { syncPath } from './syncing.ts';

const PACK_BYTES = 256 * 1024 * 1024;
/** So many bytes of small contents are worth being copied together and written past the page cache. */
const GATHERED_BYTES = 64 * 1024;

/** A pack that this process appends to. Several may append at once: each has its own stretch. */
export class PackFile {
  readonly number: number;
  /** Contents that lie in it and are neither taken over by the index nor given up. */
  unsettled = 0;
  readonly #file: PagedFile;
  #end = 0;

  private constructor(number: number, file: PagedFile) {
    this.number = number;
    this.#file = file;
  }

  static async create(path: string, number: number): Promise<PackFile> {
    const folder = dirname(path);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const file = await PagedFile.create(path);
    for (const each of [folder, dirname(folder)]) await syncPath(each);
    return new PackFile(number, file);
  }

  get isFull(): boolean {
    return this.#end >= PACK_BYTES;
  }

  /** Writes the buffers, and returns where each lies. When it throws, their stretch is nobody's. */
  async append(buffers: readonly Uint8Array[]): Promise<number[]> {
    const isAlone = buffers.map((each) => this.#file.isDirect && isPaged(each));
    const paged = buffers.filter((_, i) => isAlone[i]);
    const others = buffers.filter((_, i) => !isAlone[i]);
    const alone = (paged.length > 0 ? await this.#appendPaged(paged) : []).values();
    const together = (others.length > 0 ? await this.#appendOthers(others) : []).values();
    return isAlone.map((each) => (each ? alone : together).next().value as number);
  }

  /** Contents in chunks of the pool: each begins at a page, and goes from where it is. */
  async #appendPaged(buffers: readonly Uint8Array[]): Promise<number[]> {
    this.#end = toPage(this.#end);
    const begin = this.#end;
    const places: number[] = [];
    const pages = buffers.map((each) => {
      places.push(this.#end);
      this.#end += toPage(each.length);
      const whole = new Uint8Array(each.buffer, each.byteOffset, toPage(each.length));
      // What another content has left there is no part of this one's page.
      return whole.fill(0, each.length);
    });
    await this.#file.writePages(pages, begin);
    return places;
  }

  /** One behind the other; many of them by way of chunks. */
  async #appendOthers(buffers: readonly Uint8Array[]): Promise<number[]> {
    const total = buffers.reduce((sum, { length }) => sum + length, 0);
    const chunks = this.#file.isDirect && total >= GATHERED_BYTES ? gathered(buffers, total) : null;
    if (chunks) this.#end = toPage(this.#end);
    const begin = this.#end;
    const places = buffers.map(({ length }) => {
      this.#end += length;
      return this.#end - length;
    });
    if (!chunks) {
      await this.#file.writeCached(buffers, begin);
      return places;
    }
    this.#end = toPage(this.#end);
    try {
      await this.#file.writePages(chunks, begin);
      return places;
    } finally {
      chunks.forEach(giveBack);
    }
  }

  /** What was appended is on the disk when it resolves. */
  sync(): Promise<void> {
    return this.#file.sync();
  }

  read(at: number, size: number): Promise<Buffer> {
    return this.#file.read(at, size);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

function toPage(bytes: number): number {
  return Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
}

/** The bytes one behind the other in chunks of the pool, the last page filled up; null: the pool has none left. */
function gathered(buffers: readonly Uint8Array[], total: number): Uint8Array[] | null {
  const chunks = Array.from({ length: Math.ceil(total / CHUNK_BYTES) }, takeChunk);
  if (!chunks.every(isPaged)) {
    chunks.forEach(giveBack);
    return null;
  }
  let place = 0;
  for (const buffer of buffers) {
    for (let from = 0; from < buffer.length; ) {
      const chunk = chunks[Math.floor(place / CHUNK_BYTES)] as Buffer;
      const at = place % CHUNK_BYTES;
      const some = buffer.subarray(from, from + CHUNK_BYTES - at);
      chunk.set(some, at);
      from += some.length;
      place += some.length;
    }
  }
  const last = chunks.length - 1;
  const rest = total - last * CHUNK_BYTES;
  const end = (chunks[last] as Buffer).subarray(0, toPage(rest)).fill(0, rest);
  return [...chunks.slice(0, last), end];
}

/** A content out of a pack's file. Null: the disk has lost it, and it stays where it is, for a copy would hide that. */
export async function readGenuine(file: FileHandle, { sha256, at, size }: PackedContent): Promise<Buffer | null> {
  const bytes = await readWhole(file, at, size).catch((error: { code?: string }) => {
    if (error.code === 'EIO') return null;
    throw error;
  });
  return bytes && hash('sha256', bytes) === sha256 ? bytes : null;
}
