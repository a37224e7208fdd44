import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { findIn } from './canary.ts';
import { Service } from './service.ts';

/** What the operating system shows of processes that hold secrets. */
let service: Service;
const DATABASE_PASSWORD = 'canary-of-a-variable-0123456789';
beforeAll(async () => {
  service = await Service.start();
  await service.down();
  Object.assign(service.deployment.environment, {
    AN_UNRELATED_SECRET: DATABASE_PASSWORD,
    NODE_OPTIONS: '',
  });
  await service.up();
  service.deployment.s3.put('docs', 'a.txt', 'text');
  await service.deployment.putSecret();
  const source = await service.deployment.connect();
  await service.client().call('sources.sync', { id: source });
  const client = service.client();
  await vi.waitFor(
    async () => expect((await client.call('documents.list', { collection: 'handbook' })).total).toBe(1),
    { timeout: 20_000, interval: 200 },
  );
});
afterAll(() => service[Symbol.asyncDispose](), 60_000);

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly words: string;
}

function processes(): Process[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
        return [
          { pid: Number(pid), parent, words: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ') },
        ];
      } catch {
        return [];
      }
    });
}

/** The service and its worker. */
function ours(): { api: Process; worker: Process } {
  const all = processes();
  const api = all.find(({ parent, words }) => parent === process.pid && /main\.[jt]s serve/.test(words));
  const worker = all.find(({ parent, words }) => parent === api?.pid && words.includes('--role worker'));
  if (!api || !worker) throw new Error('the processes are not there');
  return { api, worker };
}

test('neither command lines nor environments have a credential, and workers get named variables only', () => {
  const { api, worker } = ours();
  const values = [service.deployment.secretAccessKey, service.token.split('_').slice(2).join('_')];
  for (const { pid, words } of [api, worker]) {
    const environment = readFileSync(`/proc/${pid}/environ`);
    expect(findIn(Buffer.concat([Buffer.from(words), environment]), values)).toEqual([]);
  }
  const inherited = readFileSync(`/proc/${worker.pid}/environ`, 'utf8');
  expect(inherited).toContain('LOCKGATE_DATA_DIR');
  expect(inherited).not.toContain(DATABASE_PASSWORD);
  // PostgreSQL, which it started, knows nothing at all.
  const database = processes().find(({ pid, words }) => {
    try {
      return words.includes('bin/postgres') && readlinkSync(`/proc/${pid}/cwd`).startsWith(service.deployment.dataDir);
    } catch {
      return false;
    }
  });
  expect(readFileSync(`/proc/${database?.pid}/environ`, 'utf8').split('\0').filter(Boolean).sort()).toEqual([
    'LC_ALL=C',
    'TZ=UTC',
  ]);
});

test('no core files, and nothing of the environment in reports', () => {
  const { api, worker } = ours();
  for (const { pid, words } of [api, worker]) {
    expect(readFileSync(`/proc/${pid}/limits`, 'utf8')).toMatch(/^Max core file size\s+0\s+0\s/m);
    expect(words).toContain('--report-exclude-env');
  }
});

test('a signal opens no debugger', async () => {
  const { api, worker } = ours();
  for (const { pid } of [api, worker]) process.kill(pid, 'SIGUSR1');
  await wait(1000);
  const open = await new Promise<boolean>((resolve) => {
    const socket = connect(9229, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
  expect(open).toBe(false);
  expect((await service.request('GET', '/healthz', { token: null })).status).toBe(200);
  expect(ours().worker.pid).toBe(worker.pid);
});
