import { describe, expect, test } from 'vitest';
import { createCollection } from '../src/collections/collections.ts';
import { addSource } from '../src/collections/sources.ts';
import type { Clock } from '../src/contract/connector.ts';
import { nextDueTime, parseCron, parseInterval } from '../src/jobs/due-time.ts';
import type { CrawlQueue } from '../src/jobs/queue.ts';
import { sweepDueSources } from '../src/jobs/scheduler.ts';
import { createLog } from '../src/log.ts';
import { freshDatabase } from './database.ts';
import { SOURCE_SETTINGS } from './source-settings.ts';

function dueTimes(cron: string, timezone: string, from: string, count: number): string[] {
  const times: string[] = [];
  for (let at: Date | null = new Date(from); times.length < count; ) {
    at = at && nextDueTime(parseCron(cron, timezone), at);
    if (!at) break;
    times.push(at.toISOString());
  }
  return times;
}

describe('due times', () => {
  test('a time that does not exist runs once, at the next moment that does', () => {
    const times = dueTimes('30 2 * * *', 'America/New_York', '2026-03-07T12:00:00Z', 3);
    expect(times).toHaveLength(3);
    expect(times[0]?.slice(0, 10)).toBe('2026-03-08');
    expect(times.slice(1)).toEqual(['2026-03-09T06:30:00.000Z', '2026-03-10T06:30:00.000Z']);
  });

  test('a time that comes twice runs once', () => {
    const times = dueTimes('30 1 * * *', 'America/New_York', '2026-10-31T12:00:00Z', 2);
    expect(times.map((time) => time.slice(0, 10))).toEqual(['2026-11-01', '2026-11-02']);
  });

  test('an hourly job misses no hour', () => {
    for (const [zone, from] of [
      ['America/New_York', '2026-11-01T03:00:00Z'],
      ['Europe/London', '2026-10-24T22:00:00Z'],
      ['America/New_York', '2026-03-08T03:00:00Z'],
    ] as const) {
      const times = dueTimes('0 * * * *', zone, from, 8).map((time) => Date.parse(time));
      for (const [i, time] of times.entries()) if (i > 0) expect(time - (times[i - 1] as number), zone).toBe(3_600_000);
    }
  });

  test('bad schedules are refused with what to write instead', () => {
    for (const cron of ['', 'x', '61 * * * *', '* * *', '0 0 30 2 *'])
      expect(() => parseCron(cron, 'UTC'), cron).toThrow(expect.objectContaining({ code: 'invalid_cron' }));
    expect(() => parseCron('* * * * *', 'Mars/Olympus')).toThrow(expect.objectContaining({ code: 'invalid_timezone' }));
    for (const every of ['', '5', '5x', '1s', '-1m'])
      expect(() => parseInterval(every), every).toThrow(expect.objectContaining({ code: 'invalid_interval' }));
    expect(parseInterval('15m')).toEqual({ everySeconds: 900 });
  });
});

test('of several schedulers one queues each due time, and what was missed runs once', async () => {
  await using db = await freshDatabase();
  const collection = await createCollection(db, 'default', 'c');
  const start = Date.parse('2026-01-01T00:00:00Z');
  let now = start;
  const clock: Clock = { now: () => now, sleep: async () => undefined };
  const sent: string[] = [];
  const queue = { send: async (runId: string) => void sent.push(runId) } as unknown as CrawlQueue;
  await addSource(
    db,
    'default',
    collection.id,
    { ...SOURCE_SETTINGS, autoSync: true, schedule: { everySeconds: 60 } },
    new Date(start),
  );
  await addSource(
    db,
    'default',
    collection.id,
    { ...SOURCE_SETTINGS, autoSync: false, schedule: { everySeconds: 60 } },
    new Date(start),
  );
  const sweepAll = async () => {
    const parts = { db, queue, clock, log: createLog('silent', String) };
    return (await Promise.all([1, 2, 3, 4, 5].map(() => sweepDueSources(parts)))).reduce(
      (sum, queued) => sum + queued,
      0,
    );
  };
  expect(await sweepAll()).toBe(1);
  expect(await sweepAll()).toBe(0);
  await db.query("update lockgate.run set state = 'completed'");
  // Ten minutes of downtime are caught up with one run.
  now += 600_000;
  expect(await sweepAll()).toBe(1);
  expect(await sweepAll()).toBe(0);
  expect(new Set(sent).size).toBe(2);
});
