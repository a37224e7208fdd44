import { setTimeout as wait } from 'node:timers/promises';
import { createCollection } from '../../src/collections/collections.ts';
import { addSource } from '../../src/collections/sources.ts';
import { migrate } from '../../src/db/migrate.ts';
import { openPool } from '../../src/db/pool.ts';
import { Fleet } from '../fleet.ts';
import { SOURCE_SETTINGS } from '../source-settings.ts';
import { seeded } from './torment.ts';

const SCHEDULERS = 3;

export interface ScheduleFigures {
  readonly killed: number;
  /** Seconds at which schedules were due, all together, and those that had a run. */
  readonly due: number;
  readonly fired: number;
  /** Due times with more than one run, and those with none. */
  readonly twice: number;
  readonly never: number;
}

/**
 * Has three schedulers fire schedules of one second, of which one at a time is killed and started again. Runs end as soon as
 * they are made, as if workers had infinite speed: so each due time must have a run of its own.
 */
export async function tormentSchedules(options: {
  readonly seed: number;
  readonly seconds: number;
  readonly schedules: number;
}): Promise<ScheduleFigures> {
  const random = seeded(options.seed);
  await using fleet = await Fleet.open();
  await using db = openPool(fleet.target, 3);
  await migrate(db);
  const collection = await createCollection(db, 'default', 'c');
  const names = Array.from({ length: SCHEDULERS }, (_, n) => `scheduler ${n}`);
  for (const name of names) fleet.start(name, ['serve', '--role', 'scheduler']);
  await wait(3000);
  const first = new Date(Math.ceil(Date.now() / 1000) * 1000 + 1000);
  for (let n = 0; n < options.schedules; n++) {
    const schedule = { cron: '* * * * * *', timezone: 'UTC' };
    const settings = { ...SOURCE_SETTINGS, path: `s3://bucket-${n}`, autoSync: true, schedule };
    await addSource(db, 'default', collection.id, settings, first);
  }
  const until = first.getTime() + options.seconds * 1000;
  const ending = (async () => {
    for (; Date.now() < until + 15_000; await wait(30))
      await db.query(`update lockgate.run set state = 'completed', finished_at = now() where state = 'queued'`);
  })();
  let killed = 0;
  while (Date.now() < until) {
    const name = names[Math.floor(random() * SCHEDULERS)] as string;
    await fleet.kill(name);
    killed++;
    await wait(300 + random() * 1500);
    fleet.start(name);
    await wait(1500 + random() * 1500);
  }
  await ending;
  const rows = await db.query<{ source: string; due: Date; runs: number }>(
    `select source_id as source, due_at as due, count(*) as runs from lockgate.run where due_at <= $1 group by 1, 2`,
    [new Date(until)],
  );
  const seconds = Math.round((until - first.getTime()) / 1000) + 1;
  const due = seconds * options.schedules;
  const twice = rows.filter(({ runs }) => runs > 1).length;
  return { killed, due, fired: rows.length, twice, never: due - rows.length };
}
