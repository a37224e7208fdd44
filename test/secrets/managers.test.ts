import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findIn, findInFiles } from '../canary.ts';
import { Deployment } from '../deployment.ts';
import { VaultServer } from '../servers/vault.ts';

/** A deployment with the file secret manager and a Vault where another team keeps its own secrets. */
describe('several secret managers, from the command line', () => {
  let deployment: Deployment;
  let vault: VaultServer;
  let token: string;
  const put = (name: string, data: object) => {
    const known = vault.entries.get(name) ?? { notes: null, versions: [] };
    known.versions.push({ data, created: new Date().toISOString(), deletion: '', destroyed: false });
    vault.entries.set(name, known);
  };
  const add = (...words: string[]) =>
    deployment.run('sources', 'add', '--collection', 'handbook', '--type', 's3', '--path', 's3://docs', ...words);
  const addSource = async (...words: string[]) => {
    const { code, stdout, stderr } = await add(...words, '--json');
    expect(code, stderr).toBe(0);
    return JSON.parse(stdout) as { id: string };
  };
  const sync = async (id: string) => {
    const { stdout } = await deployment.run('sync', 'handbook', '--source', id, '--json');
    const { runs } = JSON.parse(stdout) as {
      runs: { state: string; error: { code: string; message: string } | null }[];
    };
    return runs[0];
  };

  beforeAll(async () => {
    deployment = await Deployment.startWithDatabase();
    vault = await new VaultServer().listen();
    vault.policies.set('both', [
      ['GET', 'secret/'],
      ['POST', 'secret/'],
      ['LIST', 'secret/'],
      ['DELETE', 'secret/'],
    ]);
    token = vault.createToken('both');
    await writeFile(join(deployment.folder, 'vault-token'), token, { mode: 0o600 });
    await writeFile(
      join(deployment.folder, 'managers.yaml'),
      `default: main
managers:
  main: { backend: file }
  team: { backend: vault, addr: "${vault.endpoint}", token_file: vault-token, paths: [apps/] }
`,
    );
    deployment.environment = {
      ...deployment.environment,
      LOCKGATE_SECRET_MANAGERS: join(deployment.folder, 'managers.yaml'),
    };
    deployment.s3.put('docs', 'a.txt', 'text');
    await deployment.json('collections', 'create', 'handbook');
  });
  afterAll(async () => {
    await deployment[Symbol.asyncDispose]();
    await vault[Symbol.asyncDispose]();
  });

  test('a secret of another tool is used with its own names of fields, at the version that is asked for', async () => {
    const { accessKeyId, secretAccessKey, s3 } = deployment;
    put('apps/crawler', { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, url: s3.endpoint });
    put('apps/crawler', { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: 'wrong', url: s3.endpoint });
    const fields = ['access_key_id=AWS_ACCESS_KEY_ID', 'secret_access_key=AWS_SECRET_ACCESS_KEY', 'endpoint=url'];
    const mapped = fields.flatMap((field) => ['--credential-field', field]);
    const first = await addSource('--credential', 'team:apps/crawler#1', ...mapped);
    expect(await sync(first.id)).toMatchObject({ state: 'completed', added: 1, credentialVersion: '1' });
    const latest = await addSource('--credential', 'team:apps/crawler', ...mapped);
    const failed = await sync(latest.id);
    expect(failed).toMatchObject({ state: 'failed', error: { code: 'credential_rejected' } });
    expect(failed?.error?.message).toContain('version 2');
    const missing = await addSource('--credential', 'team:apps/crawler', '--credential-field', 'access_key_id=nothing');
    expect(await sync(missing.id)).toMatchObject({ error: { code: 'credential_malformed' } });
    expect((await add('--credential', 'team:apps/crawler', '--credential-field', 'x')).code).toBe(2);
    expect((await add('--credential', 'nowhere:x')).stderr).toContain('no secret manager "nowhere"');
    expect((await add('--credential', 'team:others/secret')).code).not.toBe(0);
    for (const { id } of [first, latest, missing]) await deployment.json('sources', 'remove', id);
  });

  test('a credential is put together from fields that are kept elsewhere, and not from other credentials', async () => {
    const { accessKeyId, secretAccessKey, s3 } = deployment;
    put('apps/keys', { id: accessKeyId, key: secretAccessKey });
    await deployment.putSecret('composed', {
      access_key_id: 'vault.secret(team:apps/keys.id)',
      secret_access_key: 'vault.secret(team:apps/keys.key)',
      endpoint: s3.endpoint,
    });
    const { id } = await addSource('--credential', 'composed');
    expect(await sync(id)).toMatchObject({ state: 'completed' });

    // Whoever may store credentials must not have another one sent to a place of their own.
    await deployment.putSecret('victim', deployment.credential());
    for (const [field, message] of [
      ['vault.secret(main:victim.secret_access_key)', 'is a credential'],
      ['vault.secret(team:others/x.y)', 'may not be used'],
      ['vault.secret(team:apps/keys.nothing)', 'not there'],
    ] as const) {
      await deployment.putSecret('composed', {
        access_key_id: 'vault.secret(team:apps/keys.id)',
        secret_access_key: 'vault.secret(team:apps/keys.key)',
        session_token: field,
        endpoint: s3.endpoint,
      });
      const run = await sync(id);
      expect(run?.state, field).toBe('failed');
      expect(run?.error?.message, field).toContain(message);
    }
    await deployment.json('sources', 'remove', id);
  });

  test('a secret that is for one collection or one path is not for others, whatever a source says', async () => {
    const input = JSON.stringify(deployment.credential());
    const scoped = [
      'secrets',
      'put',
      'scoped',
      '--type',
      's3',
      '--for-collection',
      'handbook',
      '--for-path',
      's3://docs/open',
    ];
    expect((await deployment.start(scoped, input).ended).code).toBe(0);
    expect(await deployment.json('secrets', 'describe', 'scoped')).toMatchObject({
      scope: { collections: ['handbook'], paths: ['s3://docs/open'] },
    });
    const refused = await add('--credential', 'scoped');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('may not be used for s3://docs');
    // A source from before the scope was narrowed: the worker refuses it before any request.
    await deployment.putSecret('narrowed');
    const { id } = await addSource('--credential', 'narrowed');
    expect(await sync(id)).toMatchObject({ state: 'completed' });
    const narrow = ['secrets', 'put', 'narrowed', '--type', 's3', '--for-path', 's3://elsewhere'];
    expect((await deployment.start(narrow, input).ended).code).toBe(0);
    deployment.s3.requests = 0;
    expect(await sync(id)).toMatchObject({ state: 'failed', error: { code: 'secret_access_denied' } });
    expect(deployment.s3.requests).toBe(0);
    const widen = ['secrets', 'put', 'narrowed', '--type', 's3', '--any-use'];
    expect((await deployment.start(widen, input).ended).code).toBe(0);
    expect(await sync(id)).toMatchObject({ state: 'completed' });
    await deployment.json('sources', 'remove', id);
  });

  test('a workspace registers its own Vault, whose token is a secret and in no table', async () => {
    await using own = await new VaultServer().listen();
    own.policies.set('both', [
      ['GET', 'kv/'],
      ['POST', 'kv/'],
      ['LIST', 'kv/'],
    ]);
    const ownToken = own.createToken('both');
    const { accessKeyId, secretAccessKey, s3 } = deployment;
    const data = { access_key_id: accessKeyId, secret_access_key: secretAccessKey, endpoint: s3.endpoint };
    const version = { data, created: new Date().toISOString(), deletion: '', destroyed: false };
    own.entries.set('any/where', { notes: null, versions: [version] });
    const words = ['secrets', 'register', 'ours', '--url', own.endpoint, '--mount', 'kv'];
    // An address that the deployment does not permit is not asked.
    const refused = await deployment.start(words, ownToken).ended;
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('LOCKGATE_ALLOWED_ENDPOINTS');
    deployment.environment.LOCKGATE_ALLOWED_ENDPOINTS += `,${own.endpoint}`;
    const registered = await deployment.start(words, `${ownToken}\n`).ended;
    expect(registered.code, registered.stderr).toBe(0);
    expect(await deployment.json('secrets', 'managers')).toMatchObject({
      items: [{ name: 'main', default: true }, { name: 'team' }, { name: 'ours', of: 'workspace' }],
    });
    const { id } = await addSource('--credential', 'ours:any/where');
    expect(await sync(id)).toMatchObject({ state: 'completed' });
    const stored = await deployment.start(
      ['secrets', 'put', 'kept-there', '--type', 's3', '--manager', 'ours'],
      JSON.stringify(data),
    ).ended;
    expect(stored.code, stored.stderr).toBe(0);
    expect([...own.entries.keys()].some((key) => key.includes('kept-there'))).toBe(true);
    expect(await deployment.json('secrets', 'list', '--manager', 'ours')).toMatchObject({
      items: [{ id: 'kept-there' }],
    });

    const inUse = await deployment.run('secrets', 'unregister', 'ours');
    expect(inUse.stderr).toContain('1 source');
    expect(findIn(Buffer.from(await deployment.everyRow()), [ownToken, secretAccessKey])).toEqual([]);
    await deployment.json('sources', 'remove', id);
    await deployment.json('secrets', 'unregister', 'ours');
    expect((await add('--credential', 'ours:any/where')).stderr).toContain('no secret manager "ours"');
    for (const [name, more] of [
      ['team', []],
      ['Bad Name', []],
      ['other', ['--auth', 'approle']],
      ['other', ['--url', 'nowhere']],
    ] as const) {
      const bad = await deployment.start(['secrets', 'register', name, '--url', own.endpoint, ...more], 'x').ended;
      expect(bad.code, name).toBe(2);
    }
    const audit = await readFile(join(deployment.dataDir, 'audit', 'access.jsonl'), 'utf8');
    expect(audit).toContain('"action":"manager.register"');
  });

  test('a run says that the secret manager was asked again, and which version the source rejected', async () => {
    const { accessKeyId, secretAccessKey, s3 } = deployment;
    put('apps/slow', { access_key_id: accessKeyId, secret_access_key: secretAccessKey, endpoint: s3.endpoint });
    const { id } = await addSource('--credential', 'team:apps/slow');
    let left = 2;
    vault.fault = ({ path }) =>
      path.includes('slow') && left-- > 0 ? { kind: 'error', status: 429, code: 'quota' } : undefined;
    deployment.environment.LOCKGATE_LOG_LEVEL = 'warn';
    const { stdout, stderr } = await deployment.run('sync', 'handbook', '--source', id, '--json');
    delete deployment.environment.LOCKGATE_LOG_LEVEL;
    vault.fault = () => undefined;
    expect(stderr).toContain('secret_manager_throttled');
    const [run] = (JSON.parse(stdout) as { runs: { id: string }[] }).runs;
    await wait(100);
    expect(await deployment.json('runs', 'show', run?.id ?? '')).toMatchObject({ state: 'completed', secretWaits: 2 });
    expect((await deployment.run('runs', 'show', run?.id ?? '')).stdout).toMatch(/secret manager asked again +2/);
    await deployment.json('sources', 'remove', id);
  });

  test('describe tells versions, ages, ends and users; and nothing of all this left a value anywhere', async () => {
    await deployment.putSecret(
      'dated',
      deployment.credential({ expires_at: '2031-02-03T04:05:06Z', session_token: 'x' }),
    );
    await addSource('--credential', 'dated');
    const { stdout } = await deployment.run('secrets', 'describe', 'dated');
    expect(stdout).toMatch(/ends +2031-02-03 04:05:06 \(in \d+ days\)/);
    expect(stdout).toMatch(/age +0 days/);
    expect(stdout).toMatch(/used by +handbook: s3:\/\/docs/);
    const values = [deployment.secretAccessKey, deployment.accessKeyId];
    expect(findIn(Buffer.from(await deployment.everyRow()), [...values, token])).toEqual([]);
    expect(await findInFiles(deployment.folder, values)).toEqual([]);
    expect(await findInFiles(deployment.dataDir, [token])).toEqual([]);
  });
});
