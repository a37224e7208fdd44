import { expect, test } from 'vitest';
import { tormentSchedules } from './schedules.ts';
import { torment } from './torment.ts';

const SEED = Number(process.env.LOCKGATE_TEST_SEED ?? Date.now() % 2 ** 31);

test('whatever dies and fails, in the end every collection is as its buckets and every feed is exact', async () => {
  const figures = await torment({
    seed: SEED,
    seconds: 25,
    workers: 3,
    collections: 3,
    sources: 8,
    objects: 3000,
    faults: 0.05,
    say: () => undefined,
  });
  expect(figures.wrong, `seed ${SEED}`).toEqual([]);
  expect(figures.workersKilled).toBeGreaterThan(5);
  expect(figures.databaseRestarts).toBeGreaterThan(0);
  expect(figures.readsPerVersion).toBeLessThan(3);
}, 400_000);

test('of three schedulers that are killed again and again, each due time has exactly one run', async () => {
  const figures = await tormentSchedules({ seed: SEED, seconds: 15, schedules: 50 });
  expect(figures, `seed ${SEED}`).toMatchObject({ twice: 0, never: 0 });
  expect(figures.killed).toBeGreaterThan(3);
}, 200_000);
