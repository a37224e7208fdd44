import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { openPool } from '../../src/db/pool.ts';
import { Fleet } from '../fleet.ts';
import { Apart, canSeparate } from './apart.ts';

const OBJECTS = 3000;

test.skipIf(!canSeparate())(
  'a worker whose network is cut in mid-run is replaced within a minute, and is a worker again when it is mended',
  async () => {
    await using fleet = await Fleet.open();
    await using first = new Apart(1);
    await using second = new Apart(2);
    await using db = openPool(fleet.target, 3);
    for (let i = 0; i < OBJECTS; i++) fleet.s3.put('docs', `k${i}`, `content ${i}`);
    // So slow that the cut is in the middle.
    fleet.s3.fault = ({ operation }) => (operation === 'GetObject' ? { kind: 'delay', ms: 150 } : undefined);
    const socket = { path: join(fleet.target.host, '.s.PGSQL.5432') };
    const hosts = { first, second };
    const endpoints: string[] = [fleet.s3.endpoint];
    const places = new Map<string, { enter: readonly string[]; environment: Record<string, string> }>();
    // One name for the bucket's server on both hosts: the secret names one endpoint.
    const s3 = await first.relay({ port: Number(new URL(fleet.s3.endpoint).port) }, 9000);
    for (const [name, host] of Object.entries(hosts)) {
      const database = await host.relay(socket);
      const { user, database: named } = fleet.target;
      places.set(name, { enter: host.enter, environment: { DATABASE_URL: `postgres://${user}@${database}/${named}` } });
    }
    // From the second host the first one's address is routed over its own cable.
    second.reach(first);
    endpoints.push(`http://${s3}`);
    fleet.environment = { ...fleet.environment, LOCKGATE_ALLOWED_ENDPOINTS: endpoints.join(',') };
    await fleet.putSecret('my-creds', `http://${s3}`);
    await fleet.command(['collections', 'create', 'handbook']);
    const words = ['--collection', 'handbook', '--type', 's3', '--credential', 'my-creds', '--path', 's3://docs'];
    await fleet.command(['sources', 'add', ...words, '--every', '10s']);
    for (const [name, place] of places) fleet.start(name, ['worker'], place);

    const run = async () =>
      (
        await db.query<{ state: string; attempt: number; worker: string; added: number }>(
          'select state, attempt, worker, added from lockgate.run order by created_at limit 1',
        )
      )[0];
    await until(async () => ((await run())?.added ?? 0) > 100, 60_000);
    const leader = (await run())?.worker as string;
    const workers = await db.query<{ id: string }>('select id from lockgate.worker');
    expect(workers).toHaveLength(2);
    const pid = Number(leader.split(':').at(-1));
    const name = fleet.pidOf('first') === pid ? 'first' : 'second';
    hosts[name].cut();
    const cutAt = Date.now();
    await until(async () => ((await run())?.attempt ?? 0) > 1, 70_000);
    const tookOver = (Date.now() - cutAt) / 1000;
    expect((await run())?.worker).not.toBe(leader);
    expect(tookOver).toBeLessThan(60);
    await until(async () => (await run())?.state === 'completed', 120_000);
    hosts[name].mend();
    // It says again that it is there, though its connections were lost.
    const isBack = async () =>
      (
        await db.query(`select 1 from lockgate.worker where id = $1 and heartbeat_at > now() - interval '8 seconds'`, [
          leader,
        ])
      ).length > 0;
    await until(isBack, 150_000);
    const [count] = await db.query<{ documents: number; changes: number; keys: number }>(
      `select (select count(*) from lockgate.document) as documents, count(*) as changes, count(distinct key) as keys
         from lockgate.change`,
    );
    expect(count).toEqual({ documents: OBJECTS, changes: OBJECTS, keys: OBJECTS });
  },
  500_000,
);

async function until(condition: () => Promise<boolean>, ms: number): Promise<void> {
  for (const end = Date.now() + ms; Date.now() < end; await wait(200)) if (await condition()) return;
  throw new Error('it did not happen in time');
}
