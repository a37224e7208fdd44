import { hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { giveBack } from '../contract/chunk-pool.ts';
import type { ByteRange } from '../contract/connector.ts';
import type { PackedContent, PackIndex, PackPlace, StagedContent, StoredContent } from '../contract/content-store.ts';
import { LockgateError } from '../contract/errors.ts';

/** Larger contents have files of their own. */
export const PACKED_BYTES = 1024 * 1024;
const PACK_BYTES = 256 * 1024 * 1024;
/** A pack of fewer bytes is not worth a file. */
const SMALL_PACK_BYTES = 8 * 1024 * 1024;
/** Nobody has written to a pack for so long: what wrote it is dead, or has time. */
const IDLE_MS = 3_600_000;
/** What was rewritten is removed so much later: a backup of the database finds what it names. */
const KEPT_SECONDS = 24 * 3600;
const HANDLE = 'packed';
const PAGE = 5000;
/** Buffers that one write takes. */
const BUFFERS = 1000;

interface Pending {
  readonly bytes: Uint8Array;
  uses: number;
}

/**
 * Small contents, appended one after the other to files that each process has for itself. A commit is one write, one sync and
 * one statement for all of its contents, in place of a file, a sync and a name for each. Bytes that the index does not name, such
 * as those of a process that was killed, are nobody's, and go when their pack is rewritten.
 */
export class Packs {
  readonly #folder: string;
  readonly #index: PackIndex;
  readonly #keptSeconds: number;
  readonly #pending = new Map<string, Pending>();
  #current: { number: number; file: FileHandle; end: number } | null = null;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(root: string, index: PackIndex, keptSeconds = KEPT_SECONDS) {
    this.#keptSeconds = keptSeconds;
    this.#folder = join(root, 'packs');
    this.#index = index;
  }

  /** Keeps the bytes in memory until they are committed or discarded. */
  stage(bytes: Uint8Array, sha256: string): StagedContent {
    const known = this.#pending.get(sha256);
    if (known) {
      known.uses++;
      giveBack(bytes);
    } else this.#pending.set(sha256, { bytes, uses: 1 });
    return { sha256, size: bytes.length, handle: HANDLE };
  }

  has({ handle }: StagedContent): boolean {
    return handle === HANDLE;
  }

  discard({ sha256 }: StagedContent): void {
    const known = this.#pending.get(sha256);
    if (!known || --known.uses > 0) return;
    this.#pending.delete(sha256);
    giveBack(known.bytes);
  }

  /** One at a time: those who wait for their turn find what they share with another already there. */
  commit(staged: readonly StagedContent[]): Promise<void> {
    return this.#inTurn(async () => {
      const hashes = [...new Set(staged.map(({ sha256 }) => sha256))];
      const there = await this.#index.find(hashes);
      const missing = hashes.filter((sha256) => !there.has(sha256));
      await this.#write(
        missing.map((sha256) => {
          const bytes = this.#pending.get(sha256)?.bytes;
          if (bytes) return { sha256, bytes };
          throw new LockgateError('content_lost', 'Staged content is gone before it was committed.');
        }),
        (pack, contents) => this.#index.add(pack, contents),
      );
      for (const each of staged) this.discard(each);
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  /** Appends, syncs, and has the index take it over; into a new pack when somebody has closed the current one. */
  async #write(
    contents: readonly { readonly sha256: string; readonly bytes: Uint8Array }[],
    takeOver: (pack: number, contents: PackedContent[]) => Promise<boolean>,
  ): Promise<void> {
    if (contents.length === 0) return;
    for (;;) {
      const pack = await this.#open();
      let at = pack.end;
      const placed = contents.map(({ sha256, bytes }) => {
        const place = { sha256, at, size: bytes.length };
        at += bytes.length;
        return place;
      });
      for (let from = 0, position = pack.end; from < contents.length; from += BUFFERS) {
        const some = contents.slice(from, from + BUFFERS).map(({ bytes }) => bytes);
        position += await writeAll(pack.file, some, position);
      }
      await pack.file.datasync();
      // Also when the index does not take it: then these bytes are nobody's, and are not written over.
      pack.end = at;
      if (await takeOver(pack.number, placed)) return;
      await this.#leave();
    }
  }

  async #open() {
    if (this.#current && this.#current.end >= PACK_BYTES) await this.#leave();
    if (this.#current) return this.#current;
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const number = await this.#index.open();
    const file = await open(this.#pathOf(number), 'wx', 0o600);
    for (const folder of [this.#folder, join(this.#folder, '..')]) await syncFolder(folder);
    this.#current = { number, file, end: 0 };
    return this.#current;
  }

  async #leave(): Promise<void> {
    const left = this.#current;
    this.#current = null;
    if (!left) return;
    await left.file.close();
    await this.#index.close(left.number);
  }

  /** Whatever is stored later begins another pack. */
  close(): Promise<void> {
    return this.#inTurn(() => this.#leave());
  }

  /** Null: it is not packed. */
  async find(sha256: string): Promise<PackPlace | null> {
    return (await this.#index.find([sha256])).get(sha256) ?? null;
  }

  async *read(sha256: string, place: PackPlace, range: ByteRange | undefined): AsyncIterable<Uint8Array> {
    let now: PackPlace | null = place;
    for (let tries = 1; now; tries++) {
      const start = Math.min(range?.start ?? 0, now.size);
      const end = Math.min(range?.end ?? now.size, now.size);
      if (end <= start) return;
      try {
        yield* createReadStream(this.#pathOf(now.pack), { start: now.at + start, end: now.at + end - 1 });
        return;
      } catch (error) {
        // Its pack was rewritten between the question and the opening.
        if ((error as { code?: string }).code !== 'ENOENT' || tries === 3) throw error;
        now = await this.find(sha256);
      }
    }
    throw new LockgateError('content_not_found', `The content store has no content ${sha256}.`);
  }

  async *list(): AsyncIterable<StoredContent> {
    for (let after: string | null = null; ; ) {
      const page: readonly StoredContent[] = await this.#index.page(after, PAGE);
      yield* page;
      if (page.length < PAGE) return;
      after = page.at(-1)?.sha256 ?? null;
    }
  }

  forget(sha256: string): Promise<void> {
    return this.#index.forget(sha256);
  }

  /**
   * Rewrites packs that are mostly nobody's, or small, and removes those that have had nothing for a day. Returns the bytes that
   * came free.
   */
  async compact(signal: AbortSignal): Promise<number> {
    let freed = 0;
    for (const { pack, live } of await this.#index.packs()) {
      signal.throwIfAborted();
      if (pack === this.#current?.number) continue;
      const file = await stat(this.#pathOf(pack)).catch(() => null);
      if (file && Date.now() - file.mtimeMs < IDLE_MS) continue;
      const size = file?.size ?? 0;
      if (live > 0 && live * 2 >= size && size >= SMALL_PACK_BYTES) continue;
      await this.#index.close(pack);
      await this.#rewrite(pack);
      if (!(await this.#index.drop(pack, this.#keptSeconds))) continue;
      await rm(this.#pathOf(pack), { force: true });
      freed += size - live;
    }
    return freed;
  }

  async #rewrite(pack: number): Promise<void> {
    const contents = await this.#index.contents(pack);
    if (contents.length === 0) return;
    const file = await open(this.#pathOf(pack), 'r');
    try {
      for (let from = 0; from < contents.length; ) {
        const some: { sha256: string; bytes: Uint8Array }[] = [];
        for (let bytes = 0; from < contents.length && bytes < SMALL_PACK_BYTES; from++) {
          const { sha256, at, size } = contents[from] as PackedContent;
          const buffer = Buffer.alloc(size);
          await file.read(buffer, 0, size, at);
          // What does not have its hash stays where it is: a copy would hide that the disk has lost it.
          if (hash('sha256', buffer) === sha256) some.push({ sha256, bytes: buffer });
          bytes += size;
        }
        await this.#inTurn(() => this.#write(some, (to, moved) => this.#index.move(pack, to, moved)));
      }
    } finally {
      await file.close();
    }
  }

  #pathOf(pack: number): string {
    return join(this.#folder, `${pack}.pack`);
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

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
