import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { NO_CAPS } from '../../src/collections/hands.ts';
import { openRunStore } from '../../src/collections/run-store.ts';
import { findRun, requestRun } from '../../src/collections/runs.ts';
import { crawl } from '../../src/jobs/crawl.ts';
import { leadRun } from '../../src/jobs/lead-run.ts';
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
