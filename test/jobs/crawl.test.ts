import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NO_CAPS } from '../../src/collections/hands.ts';
import { openRunStore } from '../../src/collections/run-store.ts';
import { abandonedRuns, addRun, findRun, requestRun } from '../../src/collections/runs.ts';
import { SecretManagerUnavailableError } from '../../src/contract/errors.ts';
import { type CrawlParts, crawl } from '../../src/jobs/crawl.ts';
import { leadRun } from '../../src/jobs/lead-run.ts';
import { DEFAULT_LIMITS } from '../../src/sync/limits.ts';
import { crawlingOf } from '../crawling.ts';
import { freshDatabase } from '../database.ts';
import { S3Server } from '../servers/s3.ts';

let server: S3Server;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockgate-crawl-'));
  server = await new S3Server().listen();
  for (let i = 0; i < 20; i++) server.put('docs', `${i}`, `body ${i}`);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

function prepare(db: Awaited<ReturnType<typeof freshDatabase>>, workspace?: string) {
  return crawlingOf(db, server, join(folder, 'content'), workspace);
}

/** The same with a secret manager that does something before it gives a value out. */
function accessedAfter(parts: CrawlParts, before: () => Promise<void>): CrawlParts {
  const sourceParts: CrawlParts['sourceParts'] = (workspace) => {
    const own = parts.sourceParts(workspace);
    const access: typeof own.reader.access = async (ref, purpose) => {
      await before();
      return own.reader.access(ref, purpose);
    };
    return { ...own, reader: { access } };
  };
  return { ...parts, sourceParts };
}

test('late jobs of ended runs do not keep the next run of the source from being executed', async () => {
  await using db = await freshDatabase();
  const { parts, source } = await prepare(db);
  const signal = new AbortController().signal;
  const ended: string[] = [];
  for (let round = 0; round < 10; round++) {
    const runId = await requestRun(db, source.id, 'manual');
    await Promise.all([...ended, runId, ...ended].map((id) => crawl(parts, id, signal)));
    expect((await findRun(db, 'default', runId)).state).toBe('completed');
    ended.push(runId);
  }
});

test('several jobs of one run execute it once, and a run in live hands is left alone', async () => {
  await using db = await freshDatabase();
  const { parts, source } = await prepare(db);
  const signal = new AbortController().signal;
  const first = await requestRun(db, source.id, 'manual');
  await Promise.all(Array.from({ length: 5 }, () => crawl(parts, first, signal)));
  expect(await findRun(db, 'default', first)).toMatchObject({ state: 'completed', attempt: 1, added: 20 });
  const second = await requestRun(db, source.id, 'manual');
  const held = await leadRun(parts, second, 'other', NO_CAPS, signal);
  if (held === null || held === 'waits') throw new Error('the run was not taken');
  await crawl(parts, second, signal);
  expect(await findRun(db, 'default', second)).toMatchObject({ state: 'running', attempt: 1 });
  // It hangs: nothing is heard of it, and its lock stays. Whoever comes takes over, and it can do nothing more.
  await db.query(`update lockgate.run set heartbeat_at = now() - interval '1 minute' where id = $1`, [second]);
  const late = openRunStore(db, {
    id: second,
    ...held,
    rules: '',
    sourceId: source.id,
    collectionId: source.collectionId,
  });
  await crawl(parts, second, signal);
  expect(await findRun(db, 'default', second)).toMatchObject({ state: 'completed', attempt: 2 });
  await expect(late.heartbeat()).rejects.toMatchObject({ code: 'run_lost' });
  await held[Symbol.asyncDispose]();
});

test('workers that end one after the other over a run do so only so many times', async () => {
  await using db = await freshDatabase();
  const { parts, source } = await prepare(db);
  const signal = new AbortController().signal;
  const id = await requestRun(db, source.id, 'manual');
  for (let n = 0; n < 12; n++) {
    const lead = await leadRun(parts, id, 'doomed', NO_CAPS, signal);
    if (lead === null || lead === 'waits') break;
    // As a kill does: the lock is free, and the run is not.
    await lead[Symbol.asyncDispose]();
  }
  await crawl(parts, id, signal);
  expect(await findRun(db, 'default', id)).toMatchObject({ state: 'failed', error: { code: 'run_stalled' } });
  // The next run is a new one, and nothing of the old one stands in its way.
  const next = await requestRun(db, source.id, 'manual');
  await crawl(parts, next, signal);
  expect(await findRun(db, 'default', next)).toMatchObject({ state: 'completed', added: 20 });
});

test('a run stays with who leads it while a secret manager takes its time', async () => {
  await using db = await freshDatabase();
  const { parts, source } = await prepare(db);
  const id = await requestRun(db, source.id, 'manual');
  const { promise: held, resolve: answer } = Promise.withResolvers<void>();
  const limits = { ...DEFAULT_LIMITS, heartbeatMs: 20 };
  const crawling = crawl({ ...accessedAfter(parts, () => held), limits }, id, new AbortController().signal);
  await expect.poll(async () => (await findRun(db, 'default', id)).state).toBe('running');
  await db.query(`update lockgate.run set heartbeat_at = now() - interval '1 minute' where id = $1`, [id]);
  await expect.poll(() => abandonedRuns(db, 30)).toEqual([]);
  answer();
  await crawling;
  expect(await findRun(db, 'default', id)).toMatchObject({ state: 'completed', attempt: 1 });
});

test('a worker serves every workspace', async () => {
  await using db = await freshDatabase();
  const first = await prepare(db, 'one');
  const second = await prepare(db, 'two');
  for (const [workspace, { source }] of [
    ['one', first],
    ['two', second],
  ] as const) {
    const runId = await requestRun(db, source.id, 'manual');
    await crawl(first.parts, runId, new AbortController().signal);
    expect(await findRun(db, workspace, runId)).toMatchObject({ state: 'completed', added: 20 });
  }
});

describe('a run of a schedule', () => {
  const signal = new AbortController().signal;
  type Db = Awaited<ReturnType<typeof freshDatabase>>;

  /** Everything but a secret manager that is away as long as `isAway`. */
  async function withAway(db: Db) {
    const { parts, source } = await prepare(db);
    const away = { isAway: true };
    const meet = async () => {
      if (away.isAway) throw new SecretManagerUnavailableError('secret_manager_unavailable', 'It is away.', 'Wait.');
    };
    return { parts: accessedAfter(parts, meet), source, away };
  }
  const scheduled = async (db: Db, sourceId: string) => {
    const id = await addRun(db, sourceId, 'schedule');
    if (!id) throw new Error('the source has a run');
    await db.query(`update lockgate.run set created_at = now() - interval '1 hour' where id = $1`, [id]);
    return id;
  };
  const timeComes = (db: Db, id: string) => db.query('update lockgate.run set retry_at = now() where id = $1', [id]);

  test('waits for a secret manager that is away, with growing pauses, and is done when it is back', async () => {
    await using db = await freshDatabase();
    const { parts, source, away } = await withAway(db);
    const id = await scheduled(db, source.id);
    for (const pause of [30, 60, 120]) {
      expect((await abandonedRuns(db, 30)).map((run) => run.id)).toEqual([id]);
      expect(await crawl(parts, id, signal)).toBe('waits');
      const run = await findRun(db, 'default', id);
      expect(run).toMatchObject({
        state: 'queued',
        waitsFor: 'secrets',
        error: { code: 'secret_manager_unavailable' },
      });
      const seconds = ((run.retryAt?.getTime() ?? 0) - Date.now()) / 1000;
      expect(seconds).toBeGreaterThan(pause - 15);
      expect(seconds).toBeLessThan(pause + 15);
      expect(await abandonedRuns(db, 30)).toEqual([]);
      await timeComes(db, id);
    }
    away.isAway = false;
    expect(await crawl(parts, id, signal)).toBe('ended');
    expect(await findRun(db, 'default', id)).toMatchObject({
      state: 'completed',
      added: 20,
      waitsFor: null,
      retryAt: null,
      error: null,
    });
  });

  test('goes on from its checkpoint when the source was away in its middle', async () => {
    await using db = await freshDatabase();
    const { parts: all, source } = await prepare(db);
    const parts = { ...all, limits: { ...DEFAULT_LIMITS, unavailableInARow: 1, concurrentReads: 1 } };
    const id = await scheduled(db, source.id);
    let gets = 0;
    server.fault = ({ operation }) =>
      operation === 'GetObject' && ++gets > 5 ? { kind: 'error', status: 503, code: 'ServiceUnavailable' } : undefined;
    expect(await crawl(parts, id, signal)).toBe('waits');
    expect(await findRun(db, 'default', id)).toMatchObject({ state: 'queued', waitsFor: 'source', added: 5 });
    server.fault = () => undefined;
    await timeComes(db, id);
    await crawl(parts, id, signal);
    expect(await findRun(db, 'default', id)).toMatchObject({ state: 'completed', added: 20, attempt: 2 });
  });

  test('gets no further by noting that documents fail, and is put off so often only', async () => {
    await using db = await freshDatabase();
    const { parts: all, source } = await prepare(db);
    const parts = { ...all, limits: { ...DEFAULT_LIMITS, unavailableInARow: 2, concurrentReads: 1 } };
    const id = await scheduled(db, source.id);
    const putOff = async () =>
      (await db.query<{ n: number }>('select put_off as n from lockgate.run where id = $1', [id]))[0]?.n;
    server.fault = ({ operation }) =>
      operation === 'GetObject' ? { kind: 'error', status: 503, code: 'ServiceUnavailable' } : undefined;
    for (const times of [1, 2]) {
      expect(await crawl(parts, id, signal)).toBe('waits');
      expect(await putOff()).toBe(times);
      await timeComes(db, id);
    }
    expect(await findRun(db, 'default', id)).toMatchObject({ listed: 20, added: 0, failed: 2 });
    server.fault = () => undefined;
    await crawl(parts, id, signal);
    expect(await findRun(db, 'default', id)).toMatchObject({ state: 'completed', added: 20 });
  });

  test('fails when it was put off too often, or when the next one is due before, as one that somebody asked for does at once', async () => {
    await using db = await freshDatabase();
    const { parts, source } = await withAway(db);
    const often = await scheduled(db, source.id);
    for (let times = 0; times < 8; times++) {
      expect(await crawl(parts, often, signal)).toBe('waits');
      await timeComes(db, often);
    }
    await crawl(parts, often, signal);
    expect(await findRun(db, 'default', often)).toMatchObject({ state: 'failed', attempt: 9 });
    await db.query(`update lockgate.source set next_due_at = now() + interval '20 seconds' where id = $1`, [source.id]);
    const soon = await scheduled(db, source.id);
    await crawl(parts, soon, signal);
    expect(await findRun(db, 'default', soon)).toMatchObject({ state: 'failed', attempt: 1 });
    await db.query('update lockgate.source set next_due_at = null where id = $1', [source.id]);
    const asked = await requestRun(db, source.id, 'manual');
    await crawl(parts, asked, signal);
    expect(await findRun(db, 'default', asked)).toMatchObject({
      state: 'failed',
      error: { code: 'secret_manager_unavailable' },
    });
  });
});
