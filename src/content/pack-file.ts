import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Syncing, syncPath } from './syncing.ts';

const PACK_BYTES = 256 * 1024 * 1024;
/** Buffers that one write takes. */
const BUFFERS = 1000;

/** A pack that this process appends to. Several may append at once: each has its own stretch. */
export class PackFile {
  readonly number: number;
  /** Contents that lie in it and are neither taken over by the index nor given up. */
  unsettled = 0;
  readonly #file: FileHandle;
  readonly #syncing: Syncing;
  #end = 0;

  private constructor(number: number, file: FileHandle) {
    this.number = number;
    this.#file = file;
    this.#syncing = new Syncing(file);
  }

  static async create(path: string, number: number): Promise<PackFile> {
    const folder = dirname(path);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const file = await open(path, 'wx+', 0o600);
    for (const each of [folder, dirname(folder)]) await syncPath(each);
    return new PackFile(number, file);
  }

  get isFull(): boolean {
    return this.#end >= PACK_BYTES;
  }

  /** Writes the buffers one behind the other, and returns where each lies. When it throws, their stretch is nobody's. */
  async append(buffers: readonly Uint8Array[]): Promise<number[]> {
    let position = this.#end;
    const places = buffers.map(({ length }) => {
      const at = this.#end;
      this.#end += length;
      return at;
    });
    for (let from = 0; from < buffers.length; from += BUFFERS) {
      const written = await writeAll(this.#file, buffers.slice(from, from + BUFFERS), position);
      position += written;
      this.#syncing.wrote(written);
    }
    return places;
  }

  /** What was appended is on the disk when it resolves. */
  async sync(): Promise<void> {
    await this.#syncing.settled();
    await this.#file.datasync();
  }

  async read(at: number, size: number): Promise<Buffer> {
    const buffer = Buffer.alloc(size);
    await this.#file.read(buffer, 0, size, at);
    return buffer;
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

async function writeAll(file: FileHandle, buffers: readonly Uint8Array[], position: number): Promise<number> {
  const total = buffers.reduce((sum, { length }) => sum + length, 0);
  const { bytesWritten } = await file.writev(buffers as Uint8Array[], position);
  if (bytesWritten < total) {
    // A disk that takes a part only: the rest in one piece.
    const rest = Buffer.concat(buffers as Uint8Array[]).subarray(bytesWritten);
    for (let at = 0; at < rest.length; ) {
      at += (await file.write(rest, at, rest.length - at, position + bytesWritten + at)).bytesWritten;
    }
  }
  return total;
}
