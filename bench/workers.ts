/**
 * How much faster several workers are with one source. Each read takes as long as it does from a cloud far away, so that what is
 * measured is how the work is shared and not how fast this machine is.
 *
 *   npm run bench:workers -- --objects 20000 --latency 100
 */
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { openPool } from '../src/db/pool.ts';
import { Fleet } from '../test/fleet.ts';

const { values } = parseArgs({
  options: {
    objects: { type: 'string', default: '20000' },
    bytes: { type: 'string', default: '4096' },
    latency: { type: 'string', default: '100' },
    workers: { type: 'string', default: '1,2,4' },
  },
});

async function measure(workers: number): Promise<number> {
  await using fleet = await Fleet.open();
  await using db = openPool(fleet.target, 2);
  const body = Buffer.alloc(Number(values.bytes), 'lockgate ');
  for (let i = 0; i < Number(values.objects); i++) {
    body.writeUInt32LE(i);
    fleet.s3.put('docs', `${String(i % 1000).padStart(3, '0')}/${i}`, body);
  }
  fleet.s3.fault = ({ operation }) =>
    operation === 'GetObject' ? { kind: 'delay', ms: Number(values.latency) } : undefined;
  await fleet.putSecret('my-creds');
  await fleet.command(['collections', 'create', 'handbook']);
  const words = ['--collection', 'handbook', '--type', 's3', '--credential', 'my-creds', '--path', 's3://docs'];
  await fleet.command(['sources', 'add', ...words, '--cron', '0 0 1 1 *']);
  for (let n = 0; n < workers; n++) fleet.start(`worker ${n}`, ['worker']);
  while ((await db.query('select 1 from lockgate.worker')).length < workers) await wait(100);
  await db.query('update lockgate.source set next_due_at = now()');
  for (;;) {
    const [run] = await db.query<{ state: string; seconds: number; added: number }>(
      'select state, extract(epoch from finished_at - started_at)::float8 as seconds, added from lockgate.run',
    );
    if (run?.state === 'completed' && run.added === Number(values.objects)) return run.seconds;
    if (run?.state === 'failed') throw new Error('the run failed');
    await wait(200);
  }
}

const print = (text: string) => process.stdout.write(`${text}\n`);
print(`${values.objects} objects of ${values.bytes} bytes, ${values.latency} ms for each read\n`);
print('| workers | seconds | documents/s | ratio |\n|---|---|---|---|');
let first = 0;
for (const workers of values.workers.split(',').map(Number)) {
  const seconds = await measure(workers);
  first ||= seconds;
  const rate = Math.round(Number(values.objects) / seconds);
  print(`| ${workers} | ${seconds.toFixed(1)} | ${rate} | ${(first / seconds).toFixed(2)} |`);
}
