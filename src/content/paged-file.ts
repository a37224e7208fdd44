import { constants, type FileHandle, open } from 'node:fs/promises';
import { isPaged, PAGE_BYTES } from '../contract/chunk-pool.ts';
import { Syncing } from './syncing.ts';

/** Buffers that one write takes. */
const BUFFERS = 1000;

/**
 * A new file, written past the page cache (`O_DIRECT`) as far as memory and place allow it: a copy less of everything, no memory
 * for what nobody reads soon, and nothing left to be written when it is synced. The rest, and everything on a file system that cannot,
 * goes the usual way.
 */
export class PagedFile {
  readonly #file: FileHandle;
  readonly #syncing: Syncing;
  /** Null: there is no way past the page cache. */
  #direct: FileHandle | null;

  private constructor(file: FileHandle, direct: FileHandle | null) {
    this.#file = file;
    this.#direct = direct;
    this.#syncing = new Syncing(file);
  }

  /** Only its owner may read it. Throws when it is there. */
  static async create(path: string): Promise<PagedFile> {
    const file = await open(path, 'wx+', 0o600);
    // Not on every system, and not on every file system.
    const direct = constants.O_DIRECT
      ? await open(path, constants.O_WRONLY | constants.O_DIRECT).catch(() => null)
      : null;
    return new PagedFile(file, direct);
  }

  get isDirect(): boolean {
    return this.#direct !== null;
  }

  /** Writes the bytes at a place. */
  async write(bytes: Uint8Array, at: number): Promise<void> {
    const isWhole = this.#direct && isPaged(bytes) && at % PAGE_BYTES === 0;
    const paged = isWhole ? bytes.length - (bytes.length % PAGE_BYTES) : 0;
    if (paged > 0) await this.writePages([bytes.subarray(0, paged)], at);
    if (paged < bytes.length) await this.writeCached([bytes.subarray(paged)], at + paged);
  }

  /** Writes memory that begins at pages and has whole ones, to a place that does. */
  async writePages(pages: readonly Uint8Array[], at: number): Promise<void> {
    let written = 0;
    if (this.#direct) {
      try {
        ({ bytesWritten: written } = await this.#direct.writev(pages as Uint8Array[], at));
      } catch (error) {
        // A file system that says so only now.
        if ((error as { code?: string }).code !== 'EINVAL') throw error;
        const direct = this.#direct;
        this.#direct = null;
        await direct.close();
      }
    }
    await this.writeCached(behind(pages, written), at + written);
  }

  async writeCached(buffers: readonly Uint8Array[], at: number): Promise<void> {
    let place = at;
    for (let left = buffers; left.length > 0; ) {
      const { bytesWritten } = await this.#file.writev(left.slice(0, BUFFERS) as Uint8Array[], place);
      this.#syncing.wrote(bytesWritten);
      place += bytesWritten;
      left = behind(left, bytesWritten);
    }
  }

  /** Rejects when something that was to go to the disk meanwhile has not got there. */
  settled(): Promise<void> {
    return this.#syncing.settled();
  }

  /** What was written is on the disk when it resolves. */
  sync(): Promise<void> {
    return this.#syncing.sync();
  }

  read(at: number, size: number): Promise<Buffer> {
    return readWhole(this.#file, at, size);
  }

  async close(): Promise<void> {
    await this.#direct?.close();
    await this.#file.close();
  }
}

/** The bytes from a place on; fewer where the file ends before. One read may give fewer than are there. */
export async function readWhole(file: FileHandle, at: number, size: number): Promise<Buffer> {
  const buffer = Buffer.alloc(size);
  for (let length = 0; length < size; ) {
    const { bytesRead } = await file.read(buffer, length, size - length, at + length);
    if (bytesRead === 0) return buffer.subarray(0, length);
    length += bytesRead;
  }
  return buffer;
}

/** What is left of buffers behind so many bytes. */
function behind(buffers: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let left = bytes;
  for (let i = 0; i < buffers.length; i++) {
    const buffer = buffers[i] as Uint8Array;
    if (left < buffer.length) return left === 0 && i === 0 ? buffers : [buffer.subarray(left), ...buffers.slice(i + 1)];
    left -= buffer.length;
  }
  return [];
}
