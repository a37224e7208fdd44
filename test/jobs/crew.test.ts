import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createCollection } from '../../src/collections/collections.ts';
import { NO_CAPS } from '../../src/collections/hands.ts';
import { findRun, requestRun } from '../../src/collections/runs.ts';
import { addSource } from '../../src/collections/sources.ts';
import { listWorkers } from '../../src/collections/workers.ts';
import type { Clock } from '../../src/contract/connector.ts';
import type { Database } from '../../src/contract/database.ts';
import { RunYielded } from '../../src/jobs/crawl.ts';
import { type CrewParts, joinCrew } from '../../src/jobs/crew.ts';
import { openQueue } from '../../src/jobs/queue.ts';
import { createLog } from '../../src/log.ts';
import { freshDatabase } from '../database.ts';
import { SOURCE_SETTINGS } from '../source-settings.ts';

/** Twenty seconds pass in one. */
const FAST = 20;
const clock: Clock = {
  now: () => Date.now() * FAST,
  sleep: (ms, signal) => wait(ms / FAST, undefined, { signal }),
};

async function source(db: Database, collectionId: string, workerLabel: string | null): Promise<string> {
  const path = `s3://bucket-${Math.random().toString(36).slice(2)}`;
  return (await addSource(db, 'default', collectionId, { ...SOURCE_SETTINGS, path, workerLabel }, null)).id;
}

async function until(condition: () => boolean | Promise<boolean>, ms = 20_000): Promise<void> {
  for (const end = Date.now() + ms; Date.now() < end; await wait(20)) if (await condition()) return;
  throw new Error('it did not happen in time');
}

test('workers take the sources of their labels, and a run that nobody may take says so', async () => {
  await using db = await freshDatabase();
  await using queue = await openQueue(db, () => undefined);
  const collection = await createCollection(db, 'default', 'c');
  const runs = new Map<string | null, string>();
  for (const label of [null, 'zone-a', 'zone-b']) {
    const id = await requestRun(db, await source(db, collection.id, label), 'manual');
    await queue.send(id);
    runs.set(label, id);
  }
  expect(await findRun(db, 'default', runs.get('zone-a') as string)).toMatchObject({ waitsFor: 'worker' });
  expect(await findRun(db, 'default', runs.get(null) as string)).toMatchObject({ waitsFor: null });
  const stop = new AbortController();
  const taken = new Map<string, string[]>();
  const parts = (worker: string, labels: string[], onlyLabels: boolean): CrewParts => {
    taken.set(worker, []);
    return {
      db,
      queue,
      clock,
      log: createLog('silent', String),
      worker,
      version: 'test',
      settings: { labels, onlyLabels, concurrency: 1, handsPerRun: 1, caps: NO_CAPS },
      crawl: async (runId) => {
        taken.get(worker)?.push(runId);
        await db.query(`update lockgate.run set state = 'completed', finished_at = now() where id = $1`, [runId]);
        return 'ended';
      },
      help: async () => false,
    };
  };
  const crews = [joinCrew(parts('in zone a', ['zone-a'], true), stop.signal)];
  await until(async () => (await listWorkers(db)).length === 1);
  await until(() => taken.get('in zone a')?.length === 1);
  await wait(300);
  expect(taken.get('in zone a')).toEqual([runs.get('zone-a')]);
  expect((await listWorkers(db))[0]).toMatchObject({
    id: 'in zone a',
    labels: ['zone-a'],
    onlyLabels: true,
    alive: true,
  });
  crews.push(joinCrew(parts('anywhere', [], false), stop.signal));
  await until(() => taken.get('anywhere')?.length === 1);
  await wait(300);
  expect(taken.get('anywhere')).toEqual([runs.get(null)]);
  expect(await findRun(db, 'default', runs.get('zone-b') as string)).toMatchObject({
    state: 'queued',
    waitsFor: 'worker',
  });
  stop.abort(new Error('the test ends'));
  await Promise.all(crews);
  expect(await listWorkers(db)).toEqual([]);
});

test('a long run gives way to one that waits, and goes on behind it', async () => {
  await using db = await freshDatabase();
  await using queue = await openQueue(db, () => undefined);
  const collection = await createCollection(db, 'default', 'c');
  const long = await requestRun(db, await source(db, collection.id, null), 'manual');
  const order: string[] = [];
  const stop = new AbortController();
  const crew = joinCrew(
    {
      db,
      queue,
      clock,
      log: createLog('silent', String),
      worker: 'only one',
      version: 'test',
      settings: { labels: [], onlyLabels: false, concurrency: 1, handsPerRun: 1, caps: NO_CAPS },
      crawl: async (runId, signal) => {
        order.push(runId);
        await db.query(`update lockgate.run set state = 'running', heartbeat_at = now() where id = $1`, [runId]);
        if (runId === long && order.filter((id) => id === long).length === 1) {
          await wait(60_000, undefined, { signal }).catch(() => undefined);
          expect(signal.reason).toBeInstanceOf(RunYielded);
          await db.query(`update lockgate.run set state = 'queued', heartbeat_at = now() where id = $1`, [runId]);
          return 'yielded';
        }
        await db.query(`update lockgate.run set state = 'completed', finished_at = now() where id = $1`, [runId]);
        return 'ended';
      },
      help: async () => false,
    },
    stop.signal,
  );
  await queue.send(long);
  await until(() => order.length === 1);
  const short = await requestRun(db, await source(db, collection.id, null), 'manual');
  await queue.send(short);
  await until(() => order.length === 3, 40_000);
  expect(order).toEqual([long, short, long]);
  stop.abort(new Error('the test ends'));
  await crew;
});
