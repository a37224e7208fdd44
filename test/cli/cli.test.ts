import { readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { RunRecord } from '../../src/collections/runs.ts';
import { emptyDatabase } from '../database.ts';
import { Deployment } from '../deployment.ts';
import { GcsServer } from '../servers/gcs.ts';

const runs = (stdout: string) => (JSON.parse(stdout) as { runs: RunRecord[] }).runs;

/** A collection with a source of 300 objects. */
async function fill(deployment: Deployment): Promise<void> {
  await deployment.putSecret();
  await deployment.connect();
  for (let i = 0; i < 300; i++) deployment.s3.put('docs', `${i}`, `x${i}`);
}

/** A sync of them that has asked for 100, and gets no answer to what it asks for then. */
async function stalledSync(deployment: Deployment) {
  let gets = 0;
  deployment.s3.fault = ({ operation }) => (operation === 'GetObject' && ++gets > 100 ? { kind: 'stall' } : undefined);
  const command = deployment.start(['sync', 'handbook', '--json']);
  while (gets < 100) await wait(10);
  return command;
}

describe('the command line', () => {
  test('help and version cost nothing and say what to type', async () => {
    await using deployment = await Deployment.start();
    const help = await deployment.run('--help');
    expect(help).toMatchObject({ code: 0, stderr: '' });
    expect(help.stdout).toContain('sync [options] <collection>');
    const add = await deployment.run('sources', 'add', '--help');
    expect(add.stdout).toContain('lockgate sources add --collection handbook --type s3');
    expect((await deployment.run('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test('rubbish gets an exit code of 2, and words that help', async () => {
    await using deployment = await Deployment.start();
    for (const words of [
      ['frobnicate'],
      ['secrets', 'put'],
      ['sync'],
      ['documents', 'list', 'x', '--limit', 'many'],
      ['secrets', 'put', 'x', '--type', 'ftp'],
    ]) {
      const answer = await deployment.run(...words);
      expect(answer.code, words.join(' ')).toBe(2);
      expect(answer.stderr, words.join(' ')).toMatch(/error: /);
    }
    await deployment.json('collections', 'create', 'c');
    await deployment.putSecret();
    const add = ['sources', 'add', '--collection', 'c', '--type', 's3', '--credential', 'my-creds', '--path'];
    const wrong: [string[], RegExp][] = [
      [[...add, 'bucket/x'], /s3:\/\/bucket/],
      [[...add, 's3://docs', '--include', '[a'], /glob/],
      [[...add, 's3://docs', '--cron', 'hourly'], /cron/],
      [[...add, 's3://docs', '--cron', '0 * * * *', '--timezone', 'Nowhere'], /time zone/],
      [[...add, 's3://docs', '--every', '1s'], /interval/],
      [['collections', 'create', '../x'], /letters/],
    ];
    for (const [words, hint] of wrong) {
      const answer = await deployment.run(...words);
      expect(answer.code, words.join(' ')).toBe(2);
      expect(answer.stderr).toMatch(hint);
    }
    for (const words of [
      ['sync', 'nothing'],
      ['sources', 'check', 'nonsense'],
      ['runs', 'show', 'nonsense'],
      ['documents', 'get', 'nonsense'],
      ['secrets', 'describe', 'nobody'],
    ]) {
      const answer = await deployment.run(...words, '--json');
      expect(answer.code, words.join(' ')).toBe(1);
      expect(JSON.parse(answer.stderr).error.code).toMatch(/_not_found$/);
    }
  });

  test('bad settings name the variable', async () => {
    await using deployment = await Deployment.start();
    await deployment.run('collections', 'create', 'c');
    const good = deployment.environment;
    for (const [name, value] of [
      ['LOCKGATE_SECRET_MANAGER', 'cupboard'],
      ['DATABASE_URL', 'mysql://x'],
      ['LOCKGATE_ALLOWED_ENDPOINTS', 'minio:9000x'],
      ['LOCKGATE_WORKSPACE', '../x'],
      ['LOCKGATE_LOG_LEVEL', 'loud'],
    ] as const) {
      deployment.environment = { ...good, [name]: value };
      const answer = await deployment.run('collections', 'list');
      expect(answer.code).toBe(1);
      expect(answer.stderr, name).toContain(name);
      // The database that was started for it has been stopped.
      await expect(stat(join(deployment.dataDir, 'postgres', 'postmaster.pid'))).rejects.toThrow('ENOENT');
    }
    deployment.environment = good;
  });

  test('a credential comes from a file or standard input, and wrong fields are named', async () => {
    await using deployment = await Deployment.start();
    const file = join(deployment.folder, 'credential.json');
    await writeFile(file, JSON.stringify(deployment.credential()));
    expect((await deployment.run('secrets', 'put', 'from-file', '--type', 's3', '--file', file)).code).toBe(0);
    const answer = await deployment.start(
      ['secrets', 'put', 'bad', '--type', 's3'],
      JSON.stringify({ access_key_id: 'hunter2', sercet_access_key: 'hunter2' }),
    ).ended;
    expect(answer.code).toBe(2);
    expect(answer.stderr).toContain('missing field secret_access_key');
    expect(answer.stderr).toContain('unknown field sercet_access_key');
    expect(answer.stderr).not.toContain('hunter2');
    const { items } = await deployment.json<{ items: { id: string }[] }>('secrets', 'list');
    expect(items.map(({ id }) => id)).toEqual(['from-file']);
  });
});

describe('a sync', () => {
  test('from nothing to documents, changes and removals', async () => {
    await using deployment = await Deployment.fromNothing();
    await deployment.putSecret();
    const sourceId = await deployment.connect('handbook', '--exclude', '*.tmp', '--max-bytes', '1000');
    for (const key of ['a.txt', 'b.txt', 'c.tmp', 'folder/'])
      deployment.s3.put('docs', key, key.endsWith('/') ? '' : `body of ${key}`);
    deployment.s3.put('docs', 'large.txt', 'x'.repeat(1001));
    const first = await deployment.run('sync', 'handbook', '--json');
    expect(first.code, first.stderr).toBe(0);
    expect(runs(first.stdout)[0]).toMatchObject({
      state: 'completed',
      added: 2,
      excluded: 3,
      failed: 0,
      credentialVersion: '1',
    });
    deployment.s3.put('docs', 'a.txt', 'another body');
    deployment.s3.delete('docs', 'b.txt');
    const second = await deployment.run('sync', 'handbook');
    expect(second.stdout).toContain('0 added, 1 changed, 1 removed');
    const page = await deployment.json<{ total: number; items: { id: string; path: string }[]; nextCursor: null }>(
      'documents',
      'list',
      'handbook',
    );
    expect(page).toMatchObject({ total: 1, nextCursor: null, items: [{ path: 'a.txt', size: 12 }] });
    expect((await deployment.run('documents', 'get', page.items[0]?.id ?? '')).stdout).toBe('another body');
    const { stdout } = await deployment.run('changes', 'handbook', '--after', '2', '--json');
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
        .map(({ number, kind, path }) => [number, kind, path]),
    ).toEqual([
      [3, 'changed', 'a.txt'],
      [4, 'removed', 'b.txt'],
    ]);
    expect((await deployment.run('secrets', 'remove', 'my-creds')).stderr).toContain('used by 1 source');
    expect(await deployment.json('sources', 'remove', sourceId)).toMatchObject({ documents: 1 });
    expect(await deployment.json('documents', 'list', 'handbook')).toMatchObject({ total: 0 });
    expect((await deployment.run('changes', 'handbook', '--after', '4')).stdout).toContain('removed');
  });

  test('a document that fails does not fail the run, is listed with its reason, and is tried again', async () => {
    await using deployment = await Deployment.start();
    await deployment.putSecret();
    await deployment.connect();
    for (const key of ['good.txt', 'bad.txt', 'cold.txt']) deployment.s3.put('docs', key, key);
    deployment.s3.put('docs', 'cold.txt', 'frozen', { storageClass: 'GLACIER' });
    deployment.s3.fault = ({ key }) =>
      key === 'bad.txt' ? { kind: 'error', status: 403, code: 'AccessDenied' } : undefined;
    const first = await deployment.run('sync', 'handbook', '--json');
    expect(first.code).toBe(3);
    const [run] = runs(first.stdout);
    expect(run).toMatchObject({ state: 'completed', added: 1, failed: 1 });
    const shown = await deployment.json<{ failures: { path: string; code: string }[] }>('runs', 'show', run?.id ?? '');
    expect(shown.failures.map(({ path, code }) => [path, code])).toEqual([
      ['bad.txt', 'permission_denied'],
      ['cold.txt', 'archived'],
    ]);
    deployment.s3.fault = () => undefined;
    const second = await deployment.run('sync', 'handbook', '--json');
    expect(second.code).toBe(0);
    expect(runs(second.stdout)[0]).toMatchObject({ added: 1, unchanged: 1, failed: 0 });
  });

  test('a listing that breaks off removes nothing, and says why', async () => {
    await using deployment = await Deployment.start();
    await deployment.putSecret();
    await deployment.connect();
    for (let i = 0; i < 30; i++) deployment.s3.put('docs', `${i}`, 'x');
    deployment.s3.pageSize = 10;
    expect((await deployment.run('sync', 'handbook')).code).toBe(0);
    for (let i = 0; i < 30; i++) deployment.s3.delete('docs', `${i}`);
    deployment.s3.put('docs', 'new', 'x');
    deployment.s3.fault = ({ operation }) =>
      operation === 'ListObjectsV2' ? { kind: 'error', status: 403, code: 'AccessDenied' } : undefined;
    const failed = await deployment.run('sync', 'handbook');
    expect(failed.code).toBe(1);
    expect(failed.stdout).toContain('s3:ListBucket');
    expect(await deployment.json('documents', 'list', 'handbook')).toMatchObject({ total: 30 });
    deployment.s3.fault = () => undefined;
    expect((await deployment.run('sync', 'handbook')).stdout).toContain('30 removed');
  });

  test('a run that would remove most of a source waits for approval', async () => {
    await using deployment = await Deployment.start();
    await deployment.putSecret();
    await deployment.connect('handbook', '--guard-documents', '10');
    for (let i = 0; i < 40; i++) deployment.s3.put('docs', `${i}`, 'x');
    expect((await deployment.run('sync', 'handbook')).code).toBe(0);
    for (let i = 0; i < 30; i++) deployment.s3.delete('docs', `${i}`);
    deployment.s3.put('docs', 'new', 'x');
    const stopped = await deployment.run('sync', 'handbook', '--json');
    expect(stopped.code).toBe(4);
    const [run] = runs(stopped.stdout);
    expect(run).toMatchObject({ state: 'needs_approval', missing: 30, added: 1, removed: 0 });
    expect(await deployment.json('documents', 'list', 'handbook')).toMatchObject({ total: 41 });
    // A newer run finds the same, and takes the older one's place.
    const again = runs((await deployment.run('sync', 'handbook', '--json')).stdout)[0];
    expect((await deployment.run('runs', 'approve', run?.id ?? '')).stderr).toContain('superseded');
    expect((await deployment.run('runs', 'approve', again?.id ?? '')).stdout).toContain('30 removed');
    expect(await deployment.json('documents', 'list', 'handbook')).toMatchObject({ total: 11 });
    expect((await deployment.run('sync', 'handbook')).code).toBe(0);
  });

  test('a content store or an audit log that cannot be written ends the run with words that help', async () => {
    await using deployment = await Deployment.start();
    await deployment.putSecret();
    await deployment.connect();
    deployment.s3.put('docs', 'a', 'x');
    const staging = join(deployment.dataDir, 'content', 'staging');
    expect((await deployment.run('doctor')).code).toBe(0);
    await rm(staging, { recursive: true });
    await symlink('/proc/nowhere', staging);
    const unwritable = await deployment.run('sync', 'handbook');
    expect(unwritable.code).toBe(1);
    expect(unwritable.stdout + unwritable.stderr).toContain('content store cannot be written');
    await rm(staging);
    const audit = join(deployment.dataDir, 'audit');
    await rename(audit, `${audit}.kept`);
    await writeFile(audit, '');
    const unaudited = await deployment.run('sync', 'handbook');
    expect(unaudited.code).toBe(1);
    expect(unaudited.stdout).toContain('no credential is released');
    expect(deployment.s3.counts.get('ListObjectsV2') ?? 0).toBeLessThanOrEqual(1);
    await rm(audit);
    expect((await deployment.run('sync', 'handbook')).code).toBe(0);
  });

  test('a database that dies in mid-run is started again, and the run goes on where it was', async () => {
    await using deployment = await Deployment.start();
    await fill(deployment);
    deployment.s3.fault = ({ operation }) => (operation === 'GetObject' ? { kind: 'delay', ms: 100 } : undefined);
    const command = deployment.start(['sync', 'handbook']);
    while ((deployment.s3.counts.get('GetObject') ?? 0) < 100) await wait(10);
    const pid = Number((await readFile(join(deployment.dataDir, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[0]);
    process.kill(pid, 'SIGKILL');
    const { code, stdout, stderr } = await command.ended;
    expect(code, stderr).toBe(0);
    expect(stdout).toContain('300 added');
    expect(await deployment.json('documents', 'list', 'handbook')).toMatchObject({ total: 300 });
  });

  test('a run is cancelled within seconds, and keeps what it has', async () => {
    await using deployment = await Deployment.start();
    await fill(deployment);
    const command = await stalledSync(deployment);
    await wait(500);
    const { items } = await deployment.json<{ items: RunRecord[] }>('runs', 'list');
    const asked = Date.now();
    expect((await deployment.run('runs', 'cancel', items[0]?.id ?? '')).code).toBe(0);
    const ended = await command.ended;
    expect(Date.now() - asked).toBeLessThan(10_000);
    expect(ended.code).toBe(1);
    expect(runs(ended.stdout)[0]).toMatchObject({ state: 'cancelled', added: 100 });
    deployment.s3.fault = () => undefined;
    expect(runs((await deployment.run('sync', 'handbook', '--json')).stdout)[0]).toMatchObject({
      state: 'completed',
      added: 200,
      unchanged: 100,
    });
  });

  test.each(['sync', 'plan'])(
    'SIGTERM stops a %s at its checkpoint, and the next goes on with the same run',
    async (what) => {
      await using deployment = await Deployment.start();
      await fill(deployment);
      let words = ['sync', 'handbook', '--json'];
      if (what === 'plan') {
        const { plans } = await deployment.json<{ plans: { id: string }[] }>('sync', 'handbook', '--dry-run');
        words = ['plans', 'execute', plans[0]?.id ?? '', '--json'];
      }
      deployment.s3.fault = ({ operation }) => (operation === 'GetObject' ? { kind: 'delay', ms: 100 } : undefined);
      const command = deployment.start(words);
      while ((deployment.s3.counts.get('GetObject') ?? 0) < 100) await wait(10);
      command.child.kill('SIGTERM');
      const stopped = await command.ended;
      expect(stopped.code).toBe(130);
      const [run] = runs(stopped.stdout);
      expect(run?.state).toBe('running');
      expect(run?.added).toBeGreaterThan(0);
      const [again] = runs((await deployment.run(...words)).stdout);
      expect(again).toMatchObject({ id: run?.id, state: 'completed', added: 300 });
    },
  );

  test('of two syncs of a source one executes the run, and the other goes on with it when that one is killed', async () => {
    await using deployment = await Deployment.start();
    await fill(deployment);
    const first = await stalledSync(deployment);
    const second = deployment.start(['sync', 'handbook', '--json']);
    await wait(1500);
    expect(deployment.s3.counts.get('ListObjectsV2')).toBe(1);
    deployment.s3.fault = () => undefined;
    first.child.kill('SIGKILL');
    await first.ended;
    const { stdout, code } = await second.ended;
    expect(code).toBe(0);
    expect(runs(stdout)[0]).toMatchObject({ state: 'completed', added: 300, attempt: 2 });
  });

  test('a credential that is rotated while a run waits is taken up', async () => {
    await using deployment = await Deployment.start();
    await deployment.putSecret();
    await deployment.connect();
    for (let i = 0; i < 50; i++) deployment.s3.put('docs', `${i}`, `x${i}`);
    let held = 0;
    let revoked = false;
    deployment.s3.fault = ({ operation }) => {
      if (operation !== 'GetObject' || revoked) return undefined;
      held++;
      return { kind: 'error', status: 503, code: 'SlowDown' };
    };
    const command = deployment.start(['sync', 'handbook', '--json']);
    while (held === 0) await wait(10);
    deployment.s3.keys.set('AKIAFAKEROTATED', { secretAccessKey: 'fake' });
    await deployment.putSecret(
      'my-creds',
      deployment.credential({ access_key_id: 'AKIAFAKEROTATED', secret_access_key: 'fake' }),
    );
    // Now the old key is switched off.
    deployment.s3.keys.set(deployment.accessKeyId, { secretAccessKey: 'rotated-elsewhere' });
    revoked = true;
    const ended = await command.ended;
    expect(runs(ended.stdout)[0], ended.stderr).toMatchObject({ state: 'completed', added: 50, failed: 0 });
    // Each attempt is counted: the throttled ones, and one that the old key was refused.
    expect(runs(ended.stdout)[0]?.requestsThrottled).toBe(held);
    expect(runs(ended.stdout)[0]?.requests).toBeGreaterThanOrEqual(51 + held);
    const audit = (await readFile(join(deployment.dataDir, 'audit', 'access.jsonl'), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const versions = audit
      .filter(({ action, outcome }) => action === 'secret.access' && outcome === 'ok')
      .map(({ secret }) => secret.version);
    expect(versions).toEqual(['1', '2']);
  });
});

test('a collection takes documents from S3 and GCS at once', async () => {
  await using deployment = await Deployment.start();
  await using gcs = await new GcsServer().listen();
  const { environment, s3 } = deployment;
  deployment.environment = { ...environment, LOCKGATE_ALLOWED_ENDPOINTS: `${s3.endpoint},${gcs.endpoint}` };
  s3.put('docs', 'from-s3.txt', 'one');
  for (const key of ['folder/from-gcs.txt', 'folder-old/not-this.txt']) gcs.put('library', key, 'two');
  await deployment.putSecret();
  await deployment.connect();
  const file = JSON.stringify({ ...gcs.createKeyFile('reader'), endpoint: gcs.endpoint });
  expect((await deployment.start(['secrets', 'put', 'google', '--type', 'gcs'], file).ended).code).toBe(0);
  const add = [
    'sources',
    'add',
    '--collection',
    'handbook',
    '--type',
    'gcs',
    '--path',
    'gs://library/folder',
    '--credential',
  ];
  expect((await deployment.run(...add, 'my-creds')).stderr).toContain('of type s3, not gcs');
  const { id } = await deployment.json<{ id: string }>(...add, 'google');
  expect(await deployment.json('sources', 'check', id)).toMatchObject({ reachable: true, readable: true });
  expect((await deployment.run('sync', 'handbook')).code).toBe(0);
  const { items } = await deployment.json<{ items: { path: string }[] }>('documents', 'list', 'handbook');
  expect(items.map(({ path }) => path).sort()).toEqual(['from-gcs.txt', 'from-s3.txt']);
});

test('with DATABASE_URL the database is yours, and its password leaves the environment', async () => {
  await using db = await emptyDatabase();
  await using deployment = await Deployment.fromNothing();
  deployment.environment = { ...deployment.environment, DATABASE_URL: db.url };
  await deployment.putSecret();
  await deployment.connect();
  deployment.s3.put('docs', 'a', 'x');
  expect((await deployment.run('sync', 'handbook')).code).toBe(0);
  expect((await deployment.run('doctor')).stdout).toContain('from DATABASE_URL');
  expect(await db.query('select key from lockgate.document')).toEqual([{ key: 'a' }]);
  await expect(stat(join(deployment.dataDir, 'postgres'))).rejects.toMatchObject({ code: 'ENOENT' });
});

test('a worker syncs by schedule, without being asked', async () => {
  await using deployment = await Deployment.start();
  await deployment.putSecret();
  await deployment.connect('handbook', '--every', '10s');
  deployment.s3.put('docs', 'a', 'x');
  const worker = deployment.start(['worker']);
  const total = async () => (await deployment.json<{ total: number }>('documents', 'list', 'handbook')).total;
  const reach = async (wanted: number) => {
    const until = Date.now() + 30_000;
    while ((await total()) < wanted && Date.now() < until) await wait(200);
    return total();
  };
  const first = await reach(1);
  deployment.s3.put('docs', 'b', 'y');
  const second = first === 1 ? await reach(2) : 0;
  worker.child.kill('SIGTERM');
  const { code, stderr } = await worker.ended;
  expect([first, second], stderr).toEqual([1, 2]);
  expect(code).toBe(0);
  expect(stderr).toContain('"msg":"worker stopped"');
  const { items } = await deployment.json<{ items: RunRecord[] }>('runs', 'list');
  expect(items.every(({ trigger }) => trigger === 'schedule')).toBe(true);
});
