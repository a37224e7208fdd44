import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type MemoryBucket, memory, memoryBucket } from '../../connectors/memory/connector.ts';
import { memoryTree } from '../../connectors/memory/tree.ts';
import { systemClock } from '../../src/clock.ts';
import { type Change, readChanges } from '../../src/collections/changes.ts';
import { createCollection } from '../../src/collections/collections.ts';
import { listDocuments } from '../../src/collections/documents.ts';
import { listFailures } from '../../src/collections/failures.ts';
import { takeRun } from '../../src/collections/hands.ts';
import { openRunStore } from '../../src/collections/run-store.ts';
import { finishRun, requestRun } from '../../src/collections/runs.ts';
import { addSource } from '../../src/collections/sources.ts';
import { openDirectoryStore } from '../../src/content/directory.ts';
import type { Outline, Page, Source } from '../../src/contract/connector.ts';
import type { ContentStore } from '../../src/contract/content-store.ts';
import type { Database } from '../../src/contract/database.ts';
import type { RunStore } from '../../src/contract/run.ts';
import { Secret } from '../../src/contract/secret.ts';
import { DEFAULT_DELETION_GUARD, DEFAULT_LIMITS, type DeletionGuard, type SyncLimits } from '../../src/sync/limits.ts';
import { executeRun } from '../../src/sync/run.ts';
import { commonBeginning, compileSelection, type SelectionRules } from '../../src/sync/selection.ts';
import { emptiedDatabase } from '../database.ts';
import { runtimeFor } from '../runtime.ts';
import { SOURCE_SETTINGS } from '../source-settings.ts';

/** Limits so small that every boundary is met with a handful of objects. */
export const TIGHT: SyncLimits = {
  ...DEFAULT_LIMITS,
  batchEntries: 3,
  unsettledEntries: 7,
  offeredBatches: 2,
  listingParts: 3,
  splitPages: 1,
  chunkEntries: 3,
  pollMs: 5,
  concurrentReads: 3,
  commitOutcomes: 2,
  commitDelayMs: 1,
  indexRows: 4,
  removals: 2,
  checkpointMs: 0,
};

/** One source of one collection over a bucket in memory: everything that a run needs, and ways to break each part. */
export class Rig implements AsyncDisposable {
  guard: DeletionGuard = DEFAULT_DELETION_GUARD;
  rules: SelectionRules = { include: [], exclude: [], maxBytes: null };
  limits = TIGHT;
  breakSource: (source: Source) => Source = (source) => source;
  /** Which of its pages the source gives as outlines. */
  isOutlined: (page: number) => boolean = () => false;
  breakStore: (store: RunStore) => RunStore = (store) => store;
  breakContent: (content: ContentStore) => ContentStore = (content) => content;
  readonly bucket: MemoryBucket;
  readonly content: ContentStore;
  readonly db: Database & AsyncDisposable;
  readonly folder: string;
  readonly collectionId: string;
  readonly sourceId: string;
  readonly bucketName: string;
  readonly connector: typeof memory | typeof memoryTree;

  private constructor(parts: {
    db: Database & AsyncDisposable;
    content: ContentStore;
    folder: string;
    collectionId: string;
    sourceId: string;
    bucketName: string;
    connector: typeof memory | typeof memoryTree;
  }) {
    this.db = parts.db;
    this.content = parts.content;
    this.folder = parts.folder;
    this.collectionId = parts.collectionId;
    this.sourceId = parts.sourceId;
    this.bucketName = parts.bucketName;
    this.connector = parts.connector;
    this.bucket = memoryBucket(parts.bucketName);
    this.bucket.pageSize = 5;
  }

  static async open(connector: typeof memory | typeof memoryTree = memory): Promise<Rig> {
    const db = await emptiedDatabase();
    const folder = await mkdtemp(join(tmpdir(), 'lockgate-rig-'));
    const name = `rig-${Math.random().toString(36).slice(2)}`;
    const collection = await createCollection(db, 'default', name);
    const source = await addSource(db, 'default', collection.id, SOURCE_SETTINGS, null);
    const content = await openDirectoryStore(join(folder, 'content'));
    return new Rig({
      db,
      content,
      folder,
      collectionId: collection.id,
      sourceId: source.id,
      bucketName: name,
      connector,
    });
  }

  /** Runs the source's unfinished run, or a new one, as a worker would. */
  async sync(signal: AbortSignal = new AbortController().signal) {
    const runId = await requestRun(this.db, this.sourceId, 'manual');
    return this.resume(runId, signal);
  }

  async resume(runId: string, signal: AbortSignal = new AbortController().signal) {
    const taken = await takeRun(this.db, runId, 'rig');
    if (taken.kind !== 'taken') throw new Error('the run was not taken');
    const run = {
      id: runId,
      attempt: taken.attempt,
      hand: taken.hand,
      rules: createHash('sha256').update(JSON.stringify(this.rules)).digest('hex'),
      sourceId: this.sourceId,
      collectionId: this.collectionId,
    };
    let pages = 0;
    const opened = this.#openSource();
    const listPage = async (position: string | null, inner: AbortSignal) => {
      const page = await opened.listPage(position, inner);
      return this.isOutlined(pages++) ? outlined(page) : page;
    };
    await using source = this.breakSource({ ...opened, listPage });
    const result = await executeRun(
      {
        source,
        listing: this.connector.capabilities.listing,
        store: this.breakStore(openRunStore(this.db, run)),
        content: this.breakContent(this.content),
        select: compileSelection(this.rules),
        guard: this.guard,
        clock: systemClock,
        limits: this.limits,
        ...(this.connector.positionAfter ? { positionAfter: this.connector.positionAfter } : {}),
      },
      signal,
    );
    await finishRun(this.db, runId, taken.attempt, result.state, null, result.missing);
    return { ...result, runId };
  }

  #openSource(): Source {
    const secret = new Secret({ password: this.bucket.password });
    if (this.connector === memoryTree) return memoryTree.open(secret, { tree: this.bucketName }, runtimeFor());
    const location = { bucket: this.bucketName, prefix: '', listed: commonBeginning(this.rules.include) };
    return memory.open(secret, location, runtimeFor());
  }

  async isRunning(): Promise<boolean> {
    return (await this.db.query(`select 1 from lockgate.run where state in ('queued', 'running')`)).length > 0;
  }

  /** Gives an interrupted run up, so that the next sync is a new one. */
  async abandon(): Promise<void> {
    await this.db.query(`update lockgate.run set state = 'failed' where state in ('queued', 'running')`);
  }

  async documents(): Promise<Map<string, string>> {
    const { items } = await listDocuments(this.db, this.collectionId, 10_000, null);
    const found = new Map<string, string>();
    for (const item of items) found.set(item.key, (await this.read(item.sha256)).toString());
    return found;
  }

  async read(sha256: string): Promise<Buffer> {
    return Buffer.concat(await Array.fromAsync(this.content.read(sha256)));
  }

  /** Key, path and body of each document, in the order of the keys. */
  async paths(): Promise<[string, string, string][]> {
    const { items } = await listDocuments(this.db, this.collectionId, 10_000, null);
    const found: [string, string, string][] = [];
    for (const item of items) found.push([item.key, item.path, (await this.read(item.sha256)).toString()]);
    return found.sort(([a], [b]) => (a < b ? -1 : 1));
  }

  async ids(): Promise<[string, string][]> {
    const { items } = await listDocuments(this.db, this.collectionId, 10_000, null);
    return items.map(({ key, id }) => [key, id]);
  }

  selects(path: string): boolean {
    return compileSelection(this.rules)({ path, size: 1 }) === null;
  }

  wanted(): Map<string, string> {
    const select = compileSelection(this.rules);
    const entries = [...this.bucket.objects].filter(
      ([key, { body }]) => select({ path: key, size: body.length }) === null,
    );
    return new Map(entries.map(([key, { body }]) => [key, Buffer.from(body).toString()]));
  }

  /** What a reader of the change feed has who started from nothing; throws when the feed has a gap. */
  async replay(): Promise<Map<string, string>> {
    return new Map((await this.replayPaths()).map(([key, , body]) => [key, body]));
  }

  async replayPaths(): Promise<[string, string, string][]> {
    const state = new Map<string, Change>();
    let last = 0;
    for (;;) {
      const page = await readChanges(this.db, this.collectionId, last, 7);
      for (const change of page) {
        if (change.number !== ++last) throw new Error(`change ${change.number} follows ${last - 1}`);
        const known = state.get(change.key);
        if ((change.kind === 'added') === (known !== undefined))
          throw new Error(`${change.kind} of ${change.key}, which is ${known ? 'known' : 'unknown'}`);
        if (known && known.documentId !== change.documentId) throw new Error(`${change.key} changed its ID`);
        if (change.kind === 'moved' && (known?.path === change.path || known?.sha256 !== change.sha256))
          throw new Error(`${change.key} moved from ${known?.path} to ${change.path}`);
        if (change.kind === 'removed') state.delete(change.key);
        else state.set(change.key, change);
      }
      if (page.length === 0) break;
    }
    const found: [string, string, string][] = [];
    for (const [key, { path, sha256 }] of state) found.push([key, path, (await this.read(sha256)).toString()]);
    return found.sort(([a], [b]) => (a < b ? -1 : 1));
  }

  failures() {
    return listFailures(this.db, this.sourceId, 1000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.db[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}

function outlined({ entries, next }: Page): Page {
  const keys = entries.map(({ key }) => key);
  const outline: Outline = {
    keys,
    ascii: keys.every((key) => /^[\0-\x7f]*$/.test(key)),
    form: 'rig',
    words: (from, to) =>
      entries
        .slice(from, to)
        .map((entry) => JSON.stringify(entry))
        .join(''),
    entries: (from, to) => entries.slice(from, to),
  };
  return {
    get entries(): never {
      throw new Error('who has an outline makes no entries');
    },
    outline,
    next,
  };
}

export function sorted(map: Map<string, string>): [string, string][] {
  return [...map].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}
