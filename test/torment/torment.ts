import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { type Change, readChanges } from '../../src/collections/changes.ts';
import { openPackIndex } from '../../src/collections/pack-index.ts';
import { requestRun } from '../../src/collections/runs.ts';
import { openDirectoryStore } from '../../src/content/directory.ts';
import type { Database } from '../../src/contract/database.ts';
import { openPool } from '../../src/db/pool.ts';
import { openQueue } from '../../src/jobs/queue.ts';
import { Fleet } from '../fleet.ts';
import type { Fault } from '../servers/fault.ts';

export interface Torment {
  readonly seed: number;
  readonly seconds: number;
  readonly workers: number;
  readonly collections: number;
  readonly sources: number;
  readonly objects: number;
  /** The share of requests to the source that fail, from 0 to 1. */
  readonly faults: number;
  say(text: string): void;
}

export interface TormentFigures {
  readonly seconds: number;
  readonly workersKilled: number;
  readonly workersStopped: number;
  readonly schedulersKilled: number;
  readonly databaseRestarts: number;
  readonly runs: Readonly<Record<string, number>>;
  /** Why runs failed. */
  readonly failures: Readonly<Record<string, number>>;
  readonly mostAttempts: number;
  readonly changes: number;
  readonly documents: number;
  readonly requests: number;
  /** Reads for each version of an object that was stored. */
  readonly readsPerVersion: number;
  /** Seconds from the end of the torment until every collection was as its buckets. */
  readonly settledAfter: number;
  /** What is not as it must be. */
  readonly wrong: readonly string[];
}

/** A small generator with a seed, so that what is random can be played again. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * Has a fleet keep collections in step with buckets that change, while its processes are killed, stopped and started again, its
 * database is restarted and its source fails; then leaves it alone, and looks whether everything is exact.
 */
export async function torment(options: Torment): Promise<TormentFigures> {
  const { seconds, workers, sources, say } = options;
  const random = seeded(options.seed);
  await using fleet = await Fleet.open();
  const buckets = fill(fleet, options);
  await define(fleet, options);
  say(`${sources} sources with ${options.objects} objects, ${workers} workers, seed ${options.seed}`);
  const started = Date.now();
  fleet.s3.fault = ({ operation }) => (operation === 'Other' ? undefined : faultOf(random, options.faults));
  for (let n = 0; n < workers; n++) fleet.start(`worker ${n}`, ['worker', '--no-schedule', '--concurrency', '4']);
  for (let n = 0; n < 2; n++) fleet.start(`scheduler ${n}`, ['serve', '--role', 'scheduler']);
  const figures = { workersKilled: 0, workersStopped: 0, schedulersKilled: 0, databaseRestarts: 0 };
  const until = started + seconds * 1000;
  const mutating = mutate(fleet, buckets, random, () => Date.now() < until);
  const stopped = new Set<string>();
  let restartAt = Date.now() + 12_000;
  while (Date.now() < until) {
    await wait(500 + random() * 2000);
    const worker = `worker ${Math.floor(random() * workers)}`;
    if (Date.now() > restartAt) {
      say('restarting PostgreSQL');
      await fleet.restartPostgres();
      figures.databaseRestarts++;
      restartAt = Date.now() + 15_000 + random() * 20_000;
    } else if (random() < 0.15) {
      await fleet.kill(`scheduler ${Math.floor(random() * 2)}`);
      figures.schedulersKilled++;
    } else if (random() < 0.1 && !stopped.has(worker) && seconds > 60) {
      // Long enough to be given up for dead; then it goes on as if nothing had been.
      stopped.add(worker);
      fleet.signal(worker, 'SIGSTOP');
      figures.workersStopped++;
      void wait(45_000).then(() => {
        stopped.delete(worker);
        fleet.signal(worker, 'SIGCONT');
      });
    } else if (!stopped.has(worker) && fleet.isUp(worker)) {
      await fleet.kill(worker);
      figures.workersKilled++;
    }
    for (const name of everyName(workers)) if (!fleet.isUp(name)) fleet.start(name);
  }
  await mutating;
  for (const name of everyName(workers)) fleet.signal(name, 'SIGCONT');
  fleet.s3.fault = () => undefined;
  say(`leaving it alone: ${JSON.stringify(figures)}`);
  for (const name of everyName(workers)) if (!fleet.isUp(name)) fleet.start(name);
  const leftAlone = Date.now();
  await using db = openPool(fleet.target, 4);
  await settle(db, say);
  const settledAfter = Math.round((Date.now() - leftAlone) / 1000);
  return { ...figures, settledAfter, seconds: Math.round((Date.now() - started) / 1000), ...(await look(db, fleet)) };
}

function everyName(workers: number): string[] {
  return [...Array.from({ length: workers }, (_, n) => `worker ${n}`), 'scheduler 0', 'scheduler 1'];
}

const bucketOf = (n: number) => `bucket-${n}`;

function fill(fleet: Fleet, { sources, objects }: Torment): string[] {
  // The first has a quarter of everything: large enough to be split and shared.
  const rest = Math.floor((objects * 0.75) / Math.max(1, sources - 1));
  for (let n = 0; n < sources; n++) {
    const count = n === 0 ? objects - rest * (sources - 1) : rest;
    for (let i = 0; i < count; i++) {
      const key = `${String((i * 7919) % 997).padStart(3, '0')}/${i}.txt`;
      fleet.s3.put(bucketOf(n), key, `content ${n} ${i}`);
    }
  }
  return Array.from({ length: sources }, (_, n) => bucketOf(n));
}

async function define(fleet: Fleet, { collections, sources }: Torment): Promise<void> {
  for (let n = 0; n < 4; n++) await fleet.putSecret(`key-${n}`);
  const definition = {
    collections: Array.from({ length: collections }, (_, c) => ({
      name: `collection-${c}`,
      sources: Array.from({ length: sources }, (_, n) => n)
        .filter((n) => n % collections === c)
        .map((n) => ({
          connectorType: 's3',
          credentialId: `key-${n % 4}`,
          path: `s3://${bucketOf(n)}`,
          autoSync: true,
          schedule: { everySeconds: 10 },
          // Failing is what this is about.
          pauseAfter: null,
        })),
    })),
  };
  const file = `${fleet.folder}/definition.json`;
  await writeFile(file, JSON.stringify(definition));
  await fleet.command(['apply', '--file', file]);
}

function faultOf(random: () => number, share: number): Fault | undefined {
  if (random() >= share) return undefined;
  const kind = random();
  if (kind < 0.3) return { kind: 'error', status: 503, code: 'SlowDown' };
  if (kind < 0.5) return { kind: 'error', status: 500, code: 'InternalError' };
  if (kind < 0.7) return { kind: 'reset' };
  if (kind < 0.85) return { kind: 'cut', after: 3 };
  return { kind: 'delay', ms: 500 };
}

/** Objects come, change and go; in no bucket so many go at once that somebody would have to approve it. */
async function mutate(fleet: Fleet, buckets: readonly string[], random: () => number, goOn: () => boolean) {
  let written = 0;
  while (goOn()) {
    const bucket = buckets[Math.floor(random() * buckets.length)] as string;
    const keys = [...(fleet.s3.buckets.get(bucket)?.keys() ?? [])];
    for (let n = 0; n < 10; n++) {
      const key = keys[Math.floor(random() * keys.length)] ?? 'first';
      const what = random();
      if (what < 0.4) fleet.s3.put(bucket, key, `changed ${written++}`);
      else if (what < 0.6) fleet.s3.delete(bucket, key);
      else fleet.s3.put(bucket, `new/${written}`, `new ${written++}`);
    }
    await wait(200);
  }
}

const SETTLE_MS = 300_000;

/** Ends the schedules, waits for every run, and has each source synced once more. */
async function settle(db: Database, say: (text: string) => void): Promise<void> {
  await db.query('update lockgate.source set auto_sync = false, next_due_at = null');
  await idle(db);
  say('every run has ended; one more for each source');
  await using queue = await openQueue(db, () => undefined);
  for (const { id } of await db.query<{ id: string }>('select id from lockgate.source'))
    await queue.send(await requestRun(db, id, 'manual'));
  await idle(db);
}

async function idle(db: Database): Promise<void> {
  for (const until = Date.now() + SETTLE_MS; Date.now() < until; await wait(300)) {
    if ((await db.query(`select 1 from lockgate.run where state in ('queued', 'running') limit 1`)).length === 0)
      return;
  }
}

async function look(db: Database, fleet: Fleet) {
  const wrong: string[] = [];
  const index = openPackIndex(async () => db);
  const content = await openDirectoryStore(join(fleet.folder, 'data', 'content'), index);
  const runs = await db.query<{ state: string; count: number; most: number }>(
    'select state, count(*) as count, max(attempt) as most from lockgate.run group by state',
  );
  const failures = await db.query<{ code: string; count: number }>(
    `select error->>'code' as code, count(*) as count from lockgate.run where state = 'failed' group by 1`,
  );
  for (const stuck of await db.query(
    `select id, state, attempt, heartbeat_at from lockgate.run where state not in ('completed', 'failed')`,
  ))
    wrong.push(`a run is stuck: ${JSON.stringify(stuck)}`);
  let changes = 0;
  let documents = 0;
  let versions = 0;
  for (const { id, name } of await db.query<{ id: string; name: string }>('select id, name from lockgate.collection')) {
    const replayed = await replay(db, id, (text) => wrong.push(`${name}: ${text}`));
    changes += replayed.changes;
    versions += replayed.versions;
    const sources = await db.query<{ id: string; path: string; documents: number; bytes: number }>(
      'select id, path, document_count as documents, byte_count as bytes from lockgate.source where collection_id = $1',
      [id],
    );
    for (const source of sources) {
      const bucket = fleet.s3.buckets.get(source.path.replace('s3://', '')) ?? new Map();
      const rows = await db.query<{ key: string; version: string; size: number; sha256: string }>(
        `select key, version, size, encode(sha256, 'hex') as sha256 from lockgate.document where source_id = $1`,
        [source.id],
      );
      documents += rows.length;
      const bytes = rows.reduce((sum, { size }) => sum + size, 0);
      if (rows.length !== source.documents || bytes !== source.bytes)
        wrong.push(`${source.path}: ${rows.length} documents are counted as ${source.documents}`);
      if (rows.length !== bucket.size) wrong.push(`${source.path}: ${rows.length} documents of ${bucket.size} objects`);
      for (const { key, version, sha256 } of rows) {
        const object = bucket.get(key);
        if (object?.etag !== version) wrong.push(`${source.path}: ${key} is not as in the bucket`);
        const stored = Buffer.concat(await Array.fromAsync(content.read(sha256)).catch(() => []));
        if (!object?.body.equals(stored)) wrong.push(`${source.path}: the content of ${key} is another`);
      }
      for (const row of rows) {
        const told = replayed.state.get(`${source.id} ${row.key}`);
        if (told?.version !== row.version || told.sha256 !== row.sha256)
          wrong.push(`${source.path}: the feed says otherwise of ${row.key}`);
        replayed.state.delete(`${source.id} ${row.key}`);
      }
    }
    for (const [key] of replayed.state) wrong.push(`${name}: the feed has ${key}, which is no document`);
  }
  const reads = fleet.s3.counts.get('GetObject') ?? 0;
  return {
    runs: Object.fromEntries(runs.map(({ state, count }) => [state, count])),
    failures: Object.fromEntries(failures.map(({ code, count }) => [code, count])),
    mostAttempts: Math.max(0, ...runs.map(({ most }) => most)),
    changes,
    documents,
    requests: fleet.s3.requests,
    readsPerVersion: Math.round((reads / Math.max(1, versions)) * 100) / 100,
    wrong: wrong.slice(0, 20),
  };
}

/** Follows a feed from nothing. Every number once and in order, and nothing stored that was there. */
async function replay(db: Database, collectionId: string, wrong: (text: string) => void) {
  const state = new Map<string, Change>();
  let changes = 0;
  let versions = 0;
  for (;;) {
    const page = await readChanges(db, collectionId, changes, 5000);
    for (const change of page) {
      if (change.number !== ++changes) wrong(`change ${change.number} follows ${changes - 1}`);
      const at = `${change.sourceId} ${change.key}`;
      const known = state.get(at);
      if ((change.kind === 'added') === (known !== undefined))
        wrong(`${change.kind}: ${change.key} was ${known?.kind}`);
      if (change.kind === 'changed' && known?.version === change.version) wrong(`${change.key} was stored twice`);
      if (change.kind === 'removed') state.delete(at);
      else {
        state.set(at, change);
        versions++;
      }
    }
    if (page.length === 0) return { state, changes, versions };
  }
}
