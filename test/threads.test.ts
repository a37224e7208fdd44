import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { openPackIndex } from '../src/collections/pack-index.ts';
import { findRun, requestRun } from '../src/collections/runs.ts';
import { openDirectoryStore } from '../src/content/directory.ts';
import type { AccessPurpose, SecretReader } from '../src/contract/secret-manager.ts';
import type { OpenDatabase } from '../src/db/pool.ts';
import { type CrawlParts, crawl } from '../src/jobs/crawl.ts';
import { DEFAULT_LIMITS, type SyncLimits } from '../src/sync/limits.ts';
import { HandThreads } from '../src/threads/hands.ts';
import { crawlingOf } from './crawling.ts';
import { freshDatabase } from './database.ts';
import { Deployment } from './deployment.ts';
import { S3Server } from './servers/s3.ts';

const OBJECTS = 4000;
/** The listing soon waits for who leads. */
const LIMITS: SyncLimits = { ...DEFAULT_LIMITS, batchEntries: 32, unsettledEntries: 256, offeredBatches: 8 };
/** As many as it takes with the usual limits. */
const MANY = 24_000;
const NEVER = new AbortController().signal;

let server: S3Server;
let folder: string;
let reads: string[];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockgate-threads-'));
  server = await new S3Server().listen();
  for (let i = 0; i < OBJECTS; i++) server.put('docs', `${i}`, `body ${i}`);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});
beforeEach(() => {
  reads = [];
  // Each read takes long enough that there is something left for a thread when it is there.
  server.fault = ({ operation, key }) => {
    if (operation !== 'GetObject') return undefined;
    reads.push(key);
    return { kind: 'delay', ms: 50 };
  };
});

/** What a run is executed with where one thread may help, and who asked for the credential. */
async function prepare(
  db: Awaited<ReturnType<typeof freshDatabase>>,
  { accessing = async (_: AccessPurpose) => {}, stopMs = 10_000, most = 1 } = {},
) {
  const content = await mkdtemp(join(folder, 'content-'));
  const { parts: alone, source } = await crawlingOf(db, server, content);
  const { log, worker, caps } = alone;
  const opening = alone.sourceParts('default');
  const actors: string[] = [];
  const reader: SecretReader = {
    access: async (ref, purpose) => {
      actors.push(purpose.actor);
      await accessing(purpose);
      return opening.reader.access(ref, purpose);
    },
  };
  const deployment = {
    content: { kind: 'directory' as const, folder: content },
    dataDir: content,
    allowedEndpoints: [server.endpoint],
    ambient: false,
    logLevel: 'silent',
    tracing: false,
    caps,
    handsPerRun: 8,
  };
  const parts: CrawlParts = {
    ...alone,
    content: await openDirectoryStore(
      content,
      openPackIndex(async () => db),
    ),
    sourceParts: () => ({ ...opening, reader }),
    limits: LIMITS,
    threads: new HandThreads({ db, reader, log, worker, most, deployment, stopMs }),
  };
  return { parts, actors, runId: await requestRun(db, source.id, 'manual') };
}

/** The next thread that this process starts, with its end. */
function nextThread(): Promise<{ thread: Worker; ended: Promise<unknown> }> {
  return new Promise((resolve) =>
    process.once('worker', (thread) =>
      resolve({ thread, ended: new Promise((over) => thread.once('exit', () => over(null))) }),
    ),
  );
}

async function expectAll(db: OpenDatabase, runId: string): Promise<void> {
  expect(await findRun(db, 'default', runId)).toMatchObject({ state: 'completed', added: OBJECTS, failed: 0 });
  const [row] = await db.query(
    'select count(*) as documents, count(distinct sha256) as contents from lockgate.document',
  );
  expect(row).toEqual({ documents: OBJECTS, contents: OBJECTS });
  expect(await db.query('select * from lockgate.hand')).toEqual([]);
}

test('a thread takes its share of a large run, reads nothing twice, and asks for the credential here', async () => {
  await using db = await freshDatabase();
  const { parts, actors, runId } = await prepare(db);
  const started = nextThread();
  await crawl(parts, runId, NEVER);
  await (await started).ended;
  await expectAll(db, runId);
  expect(actors).toEqual(['worker test', 'worker test/1']);
  expect(reads).toHaveLength(OBJECTS);
  // Those of the thread are counted with the others.
  expect((await findRun(db, 'default', runId)).requests).toBeGreaterThanOrEqual(OBJECTS);
});

test('what a thread had that broke is fetched by who leads, without waiting for it', async () => {
  await using db = await freshDatabase();
  const { parts, runId } = await prepare(db);
  const running = crawl(parts, runId, NEVER);
  const { thread, ended } = await nextThread();
  const helps = 'select 1 from lockgate.fetch_batch b join lockgate.hand h on h.id = b.hand_id where not h.leads';
  while ((await db.query(helps)).length === 0) await wait(5);
  await thread.terminate();
  await ended;
  const began = Date.now();
  await running;
  // An unknown end of another process is believed after thirty seconds.
  expect(Date.now() - began).toBeLessThan(20_000);
  await expectAll(db, runId);
});

test('a thread that gets no credential, or hangs, holds nothing up', async () => {
  await using db = await freshDatabase();
  const refusing = await prepare(db, {
    accessing: async ({ actor }) => {
      if (actor.endsWith('/1')) throw new Error('not now');
    },
  });
  await crawl(refusing.parts, refusing.runId, NEVER);
  await expectAll(db, refusing.runId);

  await using other = await freshDatabase();
  const hanging = await prepare(other, {
    accessing: async ({ actor }) => {
      if (actor.endsWith('/1')) await new Promise(() => undefined);
    },
    stopMs: 100,
  });
  const started = nextThread();
  await crawl(hanging.parts, hanging.runId, NEVER);
  await (await started).ended;
  await expectAll(other, hanging.runId);
});

test('an interrupted run leaves no thread behind, and goes on from where it was', async () => {
  await using db = await freshDatabase();
  const { parts, runId } = await prepare(db);
  const stop = new AbortController();
  const running = crawl(parts, runId, stop.signal).catch((error) => error);
  const { ended } = await nextThread();
  while (reads.length < 2500) await wait(5);
  stop.abort(new Error('stop'));
  expect(await running).toMatchObject({ message: 'stop' });
  await ended;
  expect(await db.query('select * from lockgate.hand where not leads')).toEqual([]);
  await crawl(parts, runId, NEVER);
  await expectAll(db, runId);
});

test('where none may be, there is none', async () => {
  await using db = await freshDatabase();
  const { parts, actors, runId } = await prepare(db, { most: 0 });
  await crawl(parts, runId, NEVER);
  await expectAll(db, runId);
  expect(actors).toEqual(['worker test']);
});

test('from the command line it is in the audit log under its own name, and nothing of the secret is left anywhere', async () => {
  await using deployment = await Deployment.start();
  for (let i = 0; i < MANY; i++) deployment.s3.put('docs', `${i}`, `body ${i}`);
  await deployment.putSecret();
  await deployment.connect();
  deployment.environment = { ...deployment.environment, LOCKGATE_THREADS: '1', LOCKGATE_LOG_LEVEL: 'debug' };
  const { code, stdout, stderr } = await deployment.run('sync', 'handbook');
  expect(code, stderr).toBe(0);
  expect(stdout).toContain(`${MANY} added`);
  for (const said of [stdout, stderr, await deployment.everyRow()])
    expect(said).not.toContain(deployment.secretAccessKey);
  const { items } = await deployment.json<{ items: { action: string; outcome: string; actor: string }[] }>(
    'audit',
    'list',
  );
  const actors = items.filter(({ action }) => action === 'secret.access').map(({ actor }) => actor.replace(/^.*:/, ''));
  expect(new Set(actors.map((actor) => actor.replace(/^\d+/, '')))).toEqual(new Set(['', '/1']));
  expect((await deployment.run('doctor')).code).toBe(0);
  expect((await deployment.run('leakcheck')).code).toBe(0);
});
