import { describe, expect, test } from 'vitest';
import { createCollection } from '../src/collections/collections.ts';
import { takeDueSources } from '../src/collections/due-sources.ts';
import { takeRun } from '../src/collections/hands.ts';
import { finishRun, requestRun } from '../src/collections/runs.ts';
import { addSource, findSource, pauseSource } from '../src/collections/sources.ts';
import type { Clock } from '../src/contract/connector.ts';
import { nextAttempt, nextDueTime, parseCron, parseInterval } from '../src/jobs/due-time.ts';
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

  test('each zone’s odd hours: half an hour in Lord Howe, none in UTC', () => {
    // Clocks go back half an hour at 2:00 on 2026-04-05, and forward at 2:00 on 2026-10-04.
    const back = dueTimes('45 1 * * *', 'Australia/Lord_Howe', '2026-04-04T00:00:00Z', 3);
    expect(new Set(back.map((time) => time.slice(0, 10))).size).toBe(3);
    const forward = dueTimes('15 2 * * *', 'Australia/Lord_Howe', '2026-10-02T00:00:00Z', 3).map((time) =>
      Date.parse(time),
    );
    expect(forward.length).toBe(3);
    for (const [i, time] of forward.entries())
      if (i > 0) expect(Math.abs(time - (forward[i - 1] as number) - 86_400_000)).toBeLessThanOrEqual(3_600_000);
    for (const [zone, from] of [
      ['Australia/Lord_Howe', '2026-04-04T12:00:00Z'],
      ['Australia/Lord_Howe', '2026-10-03T12:00:00Z'],
      ['Europe/London', '2026-03-28T22:00:00Z'],
    ] as const) {
      const times = dueTimes('0 * * * *', zone, from, 8).map((time) => Date.parse(time));
      // In the zone's own hours, none is left out; where clocks move by half an hour, so do they.
      for (const [i, time] of times.entries()) {
        if (i > 0) expect([1_800_000, 3_600_000, 5_400_000], zone).toContain(time - (times[i - 1] as number));
      }
    }
    expect(dueTimes('*/20 * * * * *', 'UTC', '2026-01-01T00:00:00Z', 3)[1]).toBe('2026-01-01T00:00:40.000Z');
  });

  test('a source that keeps failing waits, twice as long with each failure, and jitter puts off', () => {
    const schedule = parseInterval('1m');
    const at = new Date('2026-01-01T00:00:00Z');
    const minutes = (failures: number, jitterSeconds = 0, random = 0) =>
      ((nextAttempt(schedule, at, { failures, jitterSeconds }, random)?.getTime() ?? 0) - at.getTime()) / 60_000;
    expect([0, 1, 2, 3].map((failures) => minutes(failures))).toEqual([1, 1, 1, 1]);
    expect(minutes(4)).toBeGreaterThanOrEqual(2);
    expect(minutes(8)).toBeGreaterThanOrEqual(32);
    expect(minutes(500)).toBeLessThanOrEqual(361);
    expect(minutes(0, 120, 0.5)).toBe(2);
    const daily = parseCron('0 3 * * *', 'UTC');
    expect(nextAttempt(daily, at, { failures: 9, jitterSeconds: 0 }, 0)?.toISOString()).toBe(
      '2026-01-01T03:00:00.000Z',
    );
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
  const queue = {
    sendAll: async (runs: { id: string }[]) => void sent.push(...runs.map(({ id }) => id)),
  } as unknown as CrawlQueue;
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

test('a source that failed too often pauses with the reason, and is followed again when somebody says so', async () => {
  await using db = await freshDatabase();
  const collection = await createCollection(db, 'default', 'c');
  const settings = { ...SOURCE_SETTINGS, autoSync: true, schedule: { everySeconds: 60 }, pauseAfter: 3 };
  const { id } = await addSource(db, 'default', collection.id, settings, new Date());
  const run = async (state: 'failed' | 'completed') => {
    const runId = await requestRun(db, id, 'schedule');
    const taken = await takeRun(db, runId, 'test');
    const attempt = taken.kind === 'taken' ? taken.attempt : 0;
    const error = state === 'failed' ? { code: 'credential_rejected', message: 'It was rejected.' } : null;
    await finishRun(db, runId, attempt, state, error, 0);
    return findSource(db, 'default', id);
  };
  expect(await run('failed')).toMatchObject({ failures: 1, pausedAt: null });
  expect(await run('completed')).toMatchObject({ failures: 0 });
  await run('failed');
  await run('failed');
  const paused = await run('failed');
  expect(paused).toMatchObject({
    failures: 3,
    pausedAt: expect.any(Date),
    pausedReason: expect.stringContaining('It was rejected.'),
  });
  expect(await takeDueSources(db, new Date(Date.now() + 3_600_000), 10)).toEqual([]);
  await pauseSource(db, id, null);
  expect(await findSource(db, 'default', id)).toMatchObject({ failures: 0, pausedAt: null, pausedReason: null });
  expect((await takeDueSources(db, new Date(Date.now() + 1000), 10)).map((source) => source.id)).toEqual([id]);
  await pauseSource(db, id, 'Paused by hand.');
  expect(await takeDueSources(db, new Date(Date.now() + 1000), 10)).toEqual([]);
});
