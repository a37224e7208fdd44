import { createReadStream } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { giveBack } from '../contract/chunk-pool.ts';
import type { ByteRange } from '../contract/connector.ts';
import type { PackedContent, PackIndex, PackPlace, StagedContent, StoredContent } from '../contract/content-store.ts';
import { LockgateError } from '../contract/errors.ts';
import { PackFile, readGenuine } from './pack-file.ts';

/** Larger contents have files of their own. */
export const PACKED_BYTES = 1024 * 1024;
/** What is larger is written at once, and does not wait in memory for its commit. */
const AHEAD_BYTES = 128 * 1024;
const AHEAD_CONTENTS = 8;
/** Writes at once: while one waits for the disk, the next one is asked whether it is needed. */
const AHEAD_WRITES = 4;
/** After so many batches of which nothing was in the store, only each of so many is asked about. */
const TRUSTED_BATCHES = 32;
/** The same of commits, which are larger. */
const TRUSTED_COMMITS = 4;
/** A pack of fewer bytes is not worth a file. */
const SMALL_PACK_BYTES = 8 * 1024 * 1024;
/** Nobody has written to a pack for so long: what wrote it is dead, or has time. */
const IDLE_MS = 3_600_000;
/** What was rewritten is removed so much later: a backup of the database finds what it names. */
const KEPT_SECONDS = 24 * 3600;
const HANDLE = 'packed';
const PAGE = 5000;

function isTrusted(before: number, trusted: number): boolean {
  return before >= trusted && before % trusted > 0;
}

/** A content that is staged: in memory, or written already where the index does not name it yet. */
interface Pending {
  readonly sha256: string;
  readonly size: number;
  uses: number;
  bytes: Uint8Array | null;
  place: { readonly pack: PackFile; readonly at: number } | null;
  written: Promise<void> | null;
}

function stagedAs({ sha256, size, bytes }: Pending): StagedContent {
  return { sha256, size, handle: HANDLE, ...(bytes ? { inMemory: true } : {}) };
}

type TakeOver = (pack: number, contents: PackedContent[]) => Promise<boolean>;

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
  #current: PackFile | null = null;
  /** Those that are full and have contents that are not settled yet. */
  readonly #full = new Set<PackFile>();
  #opening: Promise<unknown> = Promise.resolve();
  #turn: Promise<unknown> = Promise.resolve();
  #waiting: { readonly pending: Pending; readonly done: PromiseWithResolvers<void> }[] = [];
  /** Batches of them that are being written. */
  #writing = 0;
  /** Batches since something of one was in the store already, as far as was asked. */
  #newBatches = 0;
  /** Commits, likewise. */
  #newCommits = 0;

  constructor(root: string, index: PackIndex, keptSeconds = KEPT_SECONDS) {
    this.#keptSeconds = keptSeconds;
    this.#folder = join(root, 'packs');
    this.#index = index;
  }

  /** Keeps the bytes until they are committed or discarded: in memory, or behind those of others, which takes a moment. */
  stage(bytes: Uint8Array, sha256: string): StagedContent | Promise<StagedContent> {
    const pending = this.#hold(bytes, sha256);
    return pending.written ? this.#written(pending, pending.written) : stagedAs(pending);
  }

  #hold(bytes: Uint8Array, sha256: string): Pending {
    const before = this.#pending.get(sha256);
    if (before) {
      before.uses++;
      giveBack(bytes);
      return before;
    }
    const pending: Pending = { sha256, size: bytes.length, uses: 1, bytes, place: null, written: null };
    this.#pending.set(sha256, pending);
    if (bytes.length > AHEAD_BYTES) pending.written = this.#writeAhead(pending);
    return pending;
  }

  async #written(pending: Pending, written: Promise<void>): Promise<StagedContent> {
    try {
      await written;
    } catch (error) {
      if (this.#pending.get(pending.sha256) === pending) this.#pending.delete(pending.sha256);
      throw error;
    }
    return stagedAs(pending);
  }

  has({ handle }: StagedContent): boolean {
    return handle === HANDLE;
  }

  discard({ sha256 }: StagedContent): void {
    const pending = this.#pending.get(sha256);
    if (!pending || --pending.uses > 0) return;
    this.#pending.delete(sha256);
    if (pending.bytes) giveBack(pending.bytes);
    if (pending.place) this.#settle(pending.place.pack, 1);
  }

  /** One at a time: those who wait for their turn find what they share with another already there. */
  commit(staged: readonly StagedContent[]): Promise<void> {
    return this.#inTurn(async () => {
      const hashes = [...new Set(staged.map(({ sha256 }) => sha256))];
      const there = await this.#findAtCommit(hashes);
      const held: { sha256: string; bytes: Uint8Array }[] = [];
      const written: (PackedContent & { readonly pack: PackFile })[] = [];
      for (const sha256 of hashes) {
        if (there.has(sha256)) continue;
        const { bytes = null, place = null, size = 0 } = this.#pending.get(sha256) ?? {};
        if (bytes) held.push({ sha256, bytes });
        else if (place) written.push({ ...place, sha256, size });
        else throw new LockgateError('content_lost', 'Staged content is gone before it was committed.');
      }
      const add: TakeOver = async (pack, contents) => {
        const added = await this.#index.add(pack, contents);
        if (added !== null && added < contents.length) this.#trustNothing();
        return added !== null;
      };
      for (const [pack, contents] of Map.groupBy(written, (each) => each.pack)) {
        await this.#sync(pack);
        if (!(await add(pack.number, contents))) await this.#copy(pack, contents, add);
      }
      await this.#write(held, add);
      for (const each of staged) this.discard(each);
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  #writeAhead(pending: Pending): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ pending, done });
    if (this.#writing < AHEAD_WRITES) void this.#writeWaiting();
    return done.promise;
  }

  /** Writes what waits, as much of it at once as has come. What is in the store already stays in memory: nothing is to be written of it. */
  async #writeWaiting(): Promise<void> {
    this.#writing++;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, AHEAD_CONTENTS);
      try {
        const missing = await this.#missingOf(batch.map(({ pending }) => pending));
        if (missing.length > 0) await this.#append(missing);
        for (const { done } of batch) done.resolve();
      } catch (error) {
        for (const { done } of batch) done.reject(error);
      }
    }
    this.#writing--;
  }

  /** Where all were new lately, seldom asked: what is there after all, the commit finds, and its bytes are a gap in the pack. */
  async #missingOf(contents: readonly Pending[]): Promise<readonly Pending[]> {
    const batch = this.#newBatches++;
    if (isTrusted(batch, TRUSTED_BATCHES)) return contents;
    const there = await this.#findStored(contents.map(({ sha256 }) => sha256));
    return contents.filter(({ sha256 }) => !there.has(sha256));
  }

  /** Likewise: what is there after all is found when it is added. */
  async #findAtCommit(hashes: readonly string[]): ReturnType<PackIndex['find']> {
    const commit = this.#newCommits++;
    return isTrusted(commit, TRUSTED_COMMITS) ? new Map() : this.#findStored(hashes);
  }

  async #findStored(hashes: readonly string[]): ReturnType<PackIndex['find']> {
    const there = await this.#index.find(hashes);
    if (there.size > 0) this.#trustNothing();
    return there;
  }

  #trustNothing(): void {
    this.#newBatches = 0;
    this.#newCommits = 0;
  }

  async #append(contents: readonly Pending[]): Promise<void> {
    const pack = await this.#open();
    pack.unsettled += contents.length;
    try {
      const places = await pack.append(contents.map(({ bytes }) => bytes as Uint8Array));
      for (const [i, pending] of contents.entries()) {
        pending.place = { pack, at: places[i] as number };
        giveBack(pending.bytes as Uint8Array);
        pending.bytes = null;
      }
    } catch (error) {
      this.#settle(pack, contents.length);
      throw error;
    }
  }

  /** Appends, syncs, and has the index take it over; into a new pack when somebody has closed the current one. */
  async #write(
    contents: readonly { readonly sha256: string; readonly bytes: Uint8Array }[],
    takeOver: TakeOver,
  ): Promise<void> {
    if (contents.length === 0) return;
    for (let isOver = false; !isOver; ) {
      const pack = await this.#open();
      pack.unsettled++;
      try {
        const places = await pack.append(contents.map(({ bytes }) => bytes));
        await this.#sync(pack);
        const placed = contents.map(({ sha256, bytes }, i) => ({
          sha256,
          at: places[i] as number,
          size: bytes.length,
        }));
        isOver = await takeOver(pack.number, placed);
        if (!isOver) this.#giveUp(pack);
      } finally {
        this.#settle(pack, 1);
      }
    }
  }

  /** What lies in a pack that could not be synced once may never get to the disk. */
  async #sync(pack: PackFile): Promise<void> {
    try {
      await pack.sync();
    } catch (error) {
      this.#giveUp(pack);
      throw error;
    }
  }

  /** Of a pack that somebody has closed: its contents that nobody has taken over go into another. */
  async #copy(pack: PackFile, contents: readonly PackedContent[], takeOver: TakeOver): Promise<void> {
    this.#giveUp(pack);
    for (const { sha256, at, size } of contents) {
      await this.#write([{ sha256, bytes: await pack.read(at, size) }], takeOver);
    }
  }

  /** The pack that is appended to. */
  #open(): Promise<PackFile> {
    const opening = this.#opening.then(async () => {
      if (this.#current?.isFull) this.#giveUp(this.#current);
      if (this.#current) return this.#current;
      const number = await this.#index.open();
      this.#current = await PackFile.create(this.#pathOf(number), number);
      return this.#current;
    });
    this.#opening = opening.catch(() => undefined);
    return opening;
  }

  /** Nothing is appended to it any more; it is closed when all that lies in it is settled. */
  #giveUp(pack: PackFile): void {
    if (this.#current === pack) this.#current = null;
    this.#full.add(pack);
    this.#settle(pack, 0);
  }

  #settle(pack: PackFile, contents: number): void {
    pack.unsettled -= contents;
    if (pack.unsettled > 0 || !this.#full.delete(pack)) return;
    // Whoever closes it does so for all; that it is closed late costs nothing.
    void this.#inTurn(() => this.#leave(pack)).catch(() => undefined);
  }

  async #leave(pack: PackFile): Promise<void> {
    await pack.close();
    await this.#index.close(pack.number);
  }

  /** Whatever is stored later begins another pack. */
  async close(): Promise<void> {
    if (this.#current) this.#giveUp(this.#current);
    await this.#turn;
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
   * came free. One that cannot be read keeps no other from it: what went wrong first is thrown at the end.
   */
  async compact(signal: AbortSignal): Promise<number> {
    let freed = 0;
    let failure: { error: unknown } | null = null;
    for (const { pack, live } of await this.#index.packs()) {
      signal.throwIfAborted();
      if ([this.#current, ...this.#full].some((mine) => mine?.number === pack)) continue;
      try {
        freed += await this.#compactOne(pack, live);
      } catch (error) {
        failure ??= { error };
      }
    }
    if (failure) throw failure.error;
    return freed;
  }

  async #compactOne(pack: number, live: number): Promise<number> {
    const file = await stat(this.#pathOf(pack)).catch((error: { code?: string }) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (file && Date.now() - file.mtimeMs < IDLE_MS) return 0;
    const size = file?.size ?? 0;
    // A lost one keeps its rows: they say what was lost.
    if (live > 0 && (!file || (live * 2 >= size && size >= SMALL_PACK_BYTES))) return 0;
    await this.#index.close(pack);
    await this.#rewrite(pack);
    if (!(await this.#index.drop(pack, this.#keptSeconds))) return 0;
    await rm(this.#pathOf(pack), { force: true });
    return size - live;
  }

  async #rewrite(pack: number): Promise<void> {
    const contents = await this.#index.contents(pack);
    if (contents.length === 0) return;
    const file = await open(this.#pathOf(pack), 'r');
    try {
      for (let from = 0; from < contents.length; ) {
        const some: { sha256: string; bytes: Uint8Array }[] = [];
        for (let bytes = 0; from < contents.length && bytes < SMALL_PACK_BYTES; from++) {
          const content = contents[from] as PackedContent;
          const read = await readGenuine(file, content);
          if (read) some.push({ sha256: content.sha256, bytes: read });
          bytes += content.size;
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
